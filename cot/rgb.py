"""Pixels of any Pillow mode -> 8-bit RGB.

In: an image that is open, as Pillow has it. Out: a new one, transparent parts on white, deep values scaled. Sizes were
checked before; colour profiles are ignored.
"""

from PIL import Image, ImageChops

from cot.errors import ImageError
from cot.source import shown

_PHOTOMETRIC = 262
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT = 339
_UNSIGNED = 1
_BAND = 256
"""Rows of a deep image that are scaled at a time: as numbers they take ten times the memory of its pixels."""


def to_rgb(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """A new 8-bit RGB image without metadata; transparent parts become white.

    name: of the image, for messages. notes: what the user should know of it is put to them.
    Raises ImageError if it is empty or of a mode that has no RGB.
    """
    if min(image.size) < 1:
        raise ImageError(f"image {shown(name)} has no pixels, {image.size}; expected at least 1 x 1")
    try:
        if image.mode.startswith(("I", "F")):
            image = _to_eight_bits(image, notes)
        elif image.mode == "La":
            image = image.convert("LA")
        elif image.format == "BMP" and image.mode == "RGBA" and not image.getchannel("A").getbbox():
            image = image.convert("RGB")  # programs that know no transparency write 0 everywhere
        if image.has_transparency_data:
            alpha = image.convert("RGBA")
            rgb = Image.new("RGB", alpha.size, "white")
            rgb.paste(alpha, mask=alpha)
        else:
            rgb = image.convert("RGB")
    except (ValueError, OSError, TypeError) as error:
        raise ImageError(
            f"image {shown(name)} has the colour mode {image.mode!r}, which has no RGB here; convert it to RGB first"
        ) from error
    rgb.info = {}
    return rgb


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Grey of 9 to 32 bits to grey of 8, scaled and not clipped; with alpha if one grey means transparent.

    Values of 32 bits have no agreed white: the smallest of 1 (fractions only), 255 and 65535 that
    holds them all is taken, else their own range is stretched. Values that are no numbers become black.
    """
    import numpy

    values = numpy.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        # Pillow takes them for signed ones, so that the largest would be the darkest.
        values = values.view(numpy.uint32)
    low, high = 0.0, 2.0 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1.0
    if image.mode in ("I", "F"):
        finite = values if image.mode == "I" else values[numpy.isfinite(values)]
        bits = tags.get(_BITS_PER_SAMPLE, (32,))[0]
        least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        low, high = next(((0.0, white) for white in whites if least >= 0 and most <= white), (least, most))
        notes.append(f"{bits}-bit values: {low:g} is shown as black and {high:g} as white")
    eight = numpy.empty(values.shape, numpy.uint8)
    for top in range(0, len(values), _BAND):
        band = values[top : top + _BAND].astype(numpy.float64)
        scaled = numpy.where(numpy.isfinite(band), band - low, 0.0) * (255.0 / ((high - low) or 1.0))
        eight[top : top + _BAND] = numpy.rint(scaled.clip(0.0, 255.0))
    grey = Image.fromarray(eight)
    if tags.get(_PHOTOMETRIC) == 0:
        # The file counts from white to black. Pillow turns that round for 8 bits, not for more.
        grey = ImageChops.invert(grey)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(numpy.where(values == transparent, 0, 255).astype(numpy.uint8)))
    return grey
