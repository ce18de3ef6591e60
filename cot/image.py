"""Open, verify, orient, bound and hash an image.

In: what the user named, read by `cot.source`. Out: a `LoadedImage`, 8-bit RGB, upright.
Files come from outside and may be hostile: only the formats below are tried, the size in
pixels and the scans of a JPEG are checked before anything is decoded, and only the first frame is
decoded. Colour profiles are ignored: values are taken as sRGB. It does not resize.
"""

import hashlib
import io
import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from cot.errors import ImageError, reason
from cot.png import png_bytes
from cot.rgb import to_rgb
from cot.source import DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT_SECONDS, read_source, shown

DEFAULT_MAX_PIXELS = 100_000_000
"""Width times height at most: 100 megapixels, 300 MB once decoded."""

HARD_MAX_PIXELS = 178_956_970
"""What Pillow itself refuses above, whatever `max_pixels` says."""

MAX_SIDE = 65_535
"""Pixels a side at most, as in JPEG: Pillow needs memory of its own for longer rows."""

MAX_SCANS = 100
"""Scans of a JPEG at most, as in TIFF: each goes over the whole image again, however few bytes it has. Programs write
about ten."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""The only formats that are tried, by Pillow's names."""

PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
"""Bytes of one text or colour profile in a PNG: what Pillow allows all of them together. Profiles of screens, and what
editors note down, are larger than the megabyte that it allows each, and none of it is used. Pillow has one such bound
for the process."""

_EXPECTED = "expected a PNG, JPEG, WebP, GIF, BMP or TIFF file"
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
"""Begins a part of a JPEG. Within the bytes of a scan, 255 is followed by other values."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_LYING = (5, 6, 7, 8)
"""Orientations whose rows become columns."""


@dataclass(frozen=True)
class Original:
    """What an image was before it became upright RGB. mode: Pillow's name of it: `RGBA`, `P`, `I;16`, `CMYK`."""

    mode: str
    width: int
    height: int


@dataclass(frozen=True)
class LoadedImage:
    """An image that was opened and checked. Equal to another if sha256, source and notes are.

    pixels: RGB, uint8, (width, height) as PIL has it; orientation applied, alpha on white.
    sha256: hex digest over the pixels, see `pixel_hash`; the same for any lossless file of them.
    source: where it came from, for people: a path, a URL without credentials, or "-".
    notes: what was done that the user should know ("only the first frame is used").
    original: None if it is not known.
    """

    pixels: Image.Image = field(repr=False, compare=False)
    sha256: str
    source: str
    notes: tuple[str, ...] = ()
    original: Original | None = field(default=None, compare=False)

    @property
    def width(self) -> int:
        """Pixels per row."""
        return self.pixels.width

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.pixels.height

    def to_png(self) -> bytes:
        """The pixels as a PNG file without metadata; `load_image` of it has the same sha256."""
        return png_bytes(self.pixels)


def pixel_hash(pixels: Image.Image) -> str:
    """SHA-256, in hex, of width and height (4 bytes each, big-endian), then the RGB bytes row by row.

    pixels: RGB, uint8.
    """
    digest = hashlib.sha256(struct.pack(">II", *pixels.size))
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def from_pixels(pixels: Image.Image, *, source: str, notes: tuple[str, ...] = ()) -> LoadedImage:
    """Wrap pixels made in memory (a crop, a drawing) of any Pillow mode; the argument is not kept.

    Raises ImageError if they are empty or of a mode that has no RGB.
    """
    found = list(notes)
    rgb = to_rgb(pixels, source, found)
    original = Original(pixels.mode, *pixels.size)
    return LoadedImage(rgb, pixel_hash(rgb), source, tuple(found), original)


@dataclass(frozen=True)
class ImageLimits:
    """What an image may cost to open."""

    max_bytes: int = DEFAULT_MAX_BYTES
    """Size of the file at most."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Width times height at most."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    """Bound on a whole download."""


DEFAULT_LIMITS = ImageLimits()


def load_image(source: str | Path | BinaryIO, limits: ImageLimits = DEFAULT_LIMITS) -> LoadedImage:
    """Open an image from a path, a `file://`, `http://` or `https://` URL, `-` (standard input) or a stream.

    Raises ImageError if it is missing, empty, damaged, too large, or not an image.
    """
    data, name = read_source(source, max_bytes=limits.max_bytes, timeout_seconds=limits.timeout_seconds)
    if not data:
        raise ImageError(f"image {shown(name)} is empty (0 bytes); {_EXPECTED}; check how it was made")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            # What Pillow warns of is either an error here (too many pixels) or no matter to the user.
            warnings.simplefilter("ignore")
            opened = _open(data, name, min(limits.max_pixels, HARD_MAX_PIXELS))
            original = _original(opened)
            _scale_transparent_colour(opened)
            _decode(opened, name, notes)
            orientation = _orientation(opened, notes)
            rgb = to_rgb(opened, name, notes)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        return LoadedImage(rgb, pixel_hash(rgb), name, tuple(notes), original)
    except MemoryError as error:
        raise ImageError(
            f"image {shown(name)} does not fit the memory that is free; expected a smaller one; shrink it"
        ) from error


def _open(data: bytes, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header only."""
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"image {shown(name)} is not an image that can be read, or is cut short (it starts with {data[:12]!r}); "
            f"{_EXPECTED}; convert or export it again"
        ) from error
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        raise _too_many(name, f"{count[0] if count else 'too many'} pixels", max_pixels) from error
    except Exception as error:
        raise _damaged(name, error) from error
    width, height = opened.size
    if width < 1 or height < 1:
        raise ImageError(f"image {shown(name)} is {width} x {height} pixels; expected at least 1 x 1; export it again")
    if max(width, height) > MAX_SIDE:
        raise ImageError(
            f"image {shown(name)} is {width} x {height} pixels; expected at most {MAX_SIDE} a side; shrink or cut it"
        )
    if width * height > max_pixels:
        raise _too_many(name, f"{width} x {height} = {width * height} pixels", max_pixels)
    if opened.format in ("JPEG", "MPO") and _has_too_many_scans(data):
        raise ImageError(f"image {shown(name)} has more than {MAX_SCANS} scans; expected a few; save it again")
    return opened


def _has_too_many_scans(data: bytes) -> bool:
    """Whether a JPEG has, up to its end: thumbnails in its parts do not count, nor what cameras put behind it."""
    at = scans = 0
    while scans <= MAX_SCANS and (marker := _JPEG_MARKER.search(data, at)) and marker[1] != b"\xd9":
        at = marker.end()
        if marker[1] != b"\xd8":
            at += int.from_bytes(data[at : at + 2])
        scans += marker[1] == b"\xda"
    return scans > MAX_SCANS


def _original(opened: Image.Image) -> Original:
    """As the header has it, so before anything is decoded."""
    width, height = opened.size
    # Pillow tells the size of a TIFF as it will be when it is upright.
    if getattr(opened, "tag_v2", {}).get(ExifTags.Base.Orientation) in _LYING:
        width, height = height, width
    return Original(opened.mode, width, height)


def _scale_transparent_colour(opened: ImageFile.ImageFile) -> None:
    """A PNG names the colour that is transparent in as many bits as its pixels have there, and Pillow makes 8 of those
    of 2, 4 and, of colours, 16, but leaves the name as it is (W3C "Portable Network Graphics", section 11.3.1.1).
    Colours of 16 bits are then told apart by their first 8.
    """
    named = opened.info.get("transparency")
    match opened.tile[0].args if opened.tile else None:
        case "L;2" if isinstance(named, int):
            opened.info["transparency"] = (named & 3) * 85
        case "L;4" if isinstance(named, int):
            opened.info["transparency"] = (named & 15) * 17
        case "RGB;16B" if isinstance(named, tuple):
            opened.info["transparency"] = tuple(value >> 8 for value in named)


def _decode(opened: Image.Image, name: str, notes: list[str]) -> None:
    """Decode the first frame. Pillow's parsers raise almost anything on hostile data, hence `Exception`."""
    size = opened.size
    try:
        if getattr(opened, "is_animated", False):
            # Behind a photograph in an MPO lies what a camera put there, such as a preview or depths.
            part = {"TIFF": "page", "MPO": "picture"}.get(opened.format or "", "frame")
            notes.append(f"only the first {part} is used")
        opened.load()
    except Exception as error:
        raise _damaged(name, error) from error
    if sorted(opened.size) != sorted(size):
        raise _damaged(name, ValueError(f"header says {size}, data says {opened.size}"))


def _orientation(opened: Image.Image, notes: list[str]) -> int:
    """EXIF orientation, 1 to 8; 1 is upright. For TIFF Pillow has applied it, and says 1."""
    try:
        value = opened.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        notes.append("its EXIF data is damaged, so it may be turned the wrong way")
        return 1
    return value if isinstance(value, int) else 1


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"image {shown(name)} is damaged or cut short: {reason(error)}; "
        "expected a complete file; copy or export it again"
    )


def _too_many(name: str, got: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"image {shown(name)} has {got}; expected at most {max_pixels}; shrink it or raise max_image_pixels"
    )
