"""The tool that looks closer: cuts a region out of an image and enlarges it.

In: an image and a box in relative coordinates. Out: an image. Pure functions; no model is asked.
"""

from typing import Final

from PIL import Image

from cot.image import LoadedImage, from_pixels
from cot.region import Box
from cot.step import ToolUse

MAX_ENLARGEMENT: Final = 8
"""Times the size of the region at most: more pixels show nothing more."""


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
