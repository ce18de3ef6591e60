"""Images on the clipboard of the machine that this process runs on.

In: nothing. Out: an opened image, or the paths of files that were copied. Raises ImageError where there is neither.
"""

from pathlib import Path

from PIL import Image, ImageGrab

from cot.errors import ImageError
from cot.image import LoadedImage, from_pixels

SOURCE = "clipboard"
_INSTEAD = "save the picture to a file and name that instead"


def read_clipboard(*, max_pixels: int) -> LoadedImage | list[str]:
    """What is on the clipboard. max_pixels: width times height of an image at most."""
    try:
        found = ImageGrab.grabclipboard()
    except Exception as error:
        # Programs that are missing or fail, and whatever Pillow's parsers raise on hostile data.
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ImageError(f"the clipboard cannot be read: {why}; {_INSTEAD}") from error
    if isinstance(found, list):
        return [str(Path(name)) for name in found]
    if not isinstance(found, Image.Image):
        raise ImageError("the clipboard holds no image; copy one first, or name a file")
    if found.width * found.height > max_pixels:
        raise ImageError(f"the clipboard holds {found.width} x {found.height} pixels; expected {max_pixels:,} at most")
    return from_pixels(found, source=SOURCE)
