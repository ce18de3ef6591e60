"""Regions of an image: boxes in coordinates relative to its size, and their text form `[0.1, 0.25, 0.5, 1]`.

In: four numbers, or text. Out: a `Box`. It looks at no pixel.
"""

import math
import re
from dataclasses import astuple, dataclass
from typing import Final

from cot.errors import ToolError
from cot.image import LoadedImage

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
        return f"[{', '.join(f'{edge:.9f}'.rstrip('0').rstrip('.') for edge in astuple(self))}]"

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
