"""Writes PNG files (W3C "Portable Network Graphics", third edition): 8-bit RGB, no metadata.

In: pixels. Out: the bytes of a file. It reads none: `cot.image` does, with Pillow. Pillow's own writer tries five
filters on each row, which takes longer than to compress it. This one takes half of the time for files an eighth larger.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import Image, ImageChops

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_UP: Final = b"\2"
"""Filter of a row (section 9.2): its bytes are what they are more than those above them, modulo 256."""

_ROWS: Final = 256
"""Filtered at a time, so that a large image is not in memory many times over."""


def png_bytes(pixels: Image.Image) -> bytes:
    """The pixels as a PNG file. pixels: RGB, uint8, at least 1 x 1."""
    header = struct.pack(">IIBBBBB", *pixels.size, 8, 2, 0, 0, 0)
    # Runs alone make files as small as zlib's default does, in a third of its time or less.
    packer = zlib.compressobj(strategy=zlib.Z_RLE)
    data = b"".join([*map(packer.compress, _filtered(pixels)), packer.flush()])
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + PNG_END


def _filtered(pixels: Image.Image) -> Iterator[bytes]:
    """The rows, each behind its filter, some at a time."""
    width, height = pixels.size
    row = 3 * width
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        # What is cropped from above the first row is black, as the filter has it.
        above = pixels.crop((0, top - 1, width, bottom - 1))
        data = ImageChops.subtract_modulo(pixels.crop((0, top, width, bottom)), above).tobytes()
        yield b"".join([_UP + data[at : at + row] for at in range(0, len(data), row)])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


PNG_END: Final = _chunk(b"IEND", b"")
"""What every file ends with."""
