"""The tool that looks closer: cuts a region out of an image and enlarges it.

In: an image and a box in relative coordinates. Out: an image. Pure functions; no model is asked.
"""

import math
import re
from dataclasses import astuple, dataclass
from typing import Final

from PIL import Image

from cot.errors import ToolError
from cot.image import LoadedImage, from_pixels
from cot.step import ToolUse

MAX_ENLARGEMENT: Final = 8
"""Times the size of the region at most: more pixels show nothing more."""

_COORDINATE: Final = r"\s*(0(?:\.[0-9]{1,9})?|1(?:\.0{1,9})?)\s*"
_BOX: Final = re.compile(rf"\[{','.join([_COORDINATE] * 4)}\]")


@dataclass(frozen=True)
class Box:
    """A region of an image, relative to its size: 0 is the left or upper edge, 1 the right or lower one.

    Raises ToolError unless 0 <= left < right <= 1 and 0 <= top < bottom <= 1.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ToolError(
                f"got the box {list(astuple(self))}; expected [left, top, right, bottom] from 0 to 1, "
                "with left < right and top < bottom; divide pixels by the width and the height"
            )

    def __str__(self) -> str:
        return f"[{', '.join(f'{edge:g}' for edge in astuple(self))}]"

    def edges(self, image: LoadedImage) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge in pixels: every pixel that the box touches lies within."""
        return (
            math.floor(self.left * image.width), math.floor(self.top * image.height),
            math.ceil(self.right * image.width), math.ceil(self.bottom * image.height),
        )  # fmt: skip


def parse_box(text: str) -> Box | None:
    """The box that a text consists of, `[0.1, 0.25, 0.5, 1]`; None if it is anything else."""
    found = _BOX.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return Box(*(float(number) for number in found.groups()))
    except ToolError:
        return None


def zoom(image: LoadedImage, box: Box) -> LoadedImage:
    """Cut a region out, and enlarge it until its longer side is that of the image.

    Every pixel that the box touches is kept, so at least one; the aspect ratio is the region's. At most
    `MAX_ENLARGEMENT` times, and never smaller than it was.
    """
    region = image.pixels.crop(box.edges(image))
    scale = min(MAX_ENLARGEMENT, max(image.width, image.height) / max(region.size))
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    enlarged = region.resize(size, Image.Resampling.BICUBIC)
    return from_pixels(enlarged, source=f"{image.source} {box}")


def zoom_step(image: LoadedImage, box: Box) -> tuple[ToolUse, LoadedImage]:
    """Zoom, and the step that says so: its result is the SHA-256 of the new image's pixels."""
    seen = zoom(image, box)
    arguments = {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}
    return ToolUse(name="zoom", arguments={"image": image.source, **arguments}, result=seen.sha256), seen
