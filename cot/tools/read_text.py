"""The tool that reads: the text in an image, or in a region of it, by rapidocr.

In: an image and a box in relative coordinates. Out: lines of text with their boxes, in the order in which people read.
The models (PP-OCR, for English and Chinese) lie inside the package; they are handed over as files, so that the package
downloads none. It is an extra, and is imported when something is read for the first time.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cot.errors import ToolError, quoted
from cot.image import LoadedImage
from cot.region import Box, parse_box
from cot.tools.tool import Tool, as_tool
from cot.trace.plain import plain

MIN_CONFIDENCE: Final = 0.8
"""Lines that are less certain are left out: shapes and textures are taken for single letters."""

MAX_LINES: Final = 200
MAX_LINE_CHARACTERS: Final = 200
MAX_CHARACTERS: Final = 4000
"""Of the text that a step gets; what is longer ends with "…"."""

TIMEOUT_SECONDS: Final = 120.0
"""A page of small print takes a minute of one core."""

PACKAGES: Final = ("rapidocr", "onnxruntime")
_WHOLE: Final = Box(0, 0, 1, 1)
_MIN_SIDE: Final = 736
"""Smaller regions are enlarged until their shorter side has so many pixels, as rapidocr does..."""
_MAX_SIDE: Final = 1600
"""... and their longer side at most so many, for else a thin strip would need gigabytes."""
_DIGITS: Final = 4

_MAX_REMEMBERED: Final = 64
"""Regions whose lines are kept: an evaluation asks several questions about an image, one after the other."""

_turn: Final = threading.Lock()


@dataclass(frozen=True)
class TextLine:
    """A line of text, plain and not empty. box: around it, relative to the whole image. confidence: in [0, 1]."""

    text: str
    box: Box
    confidence: float

    @property
    def middle(self) -> float:
        """How far down its middle is, in [0, 1]."""
        return (self.box.top + self.box.bottom) / 2


_remembered: Final[dict[tuple[str, Box, float], tuple[TextLine, ...]]] = {}


def read_text(
    image: LoadedImage, region: Box | None = None, *, min_confidence: float = MIN_CONFIDENCE
) -> tuple[TextLine, ...]:
    """The lines of text in a region, row by row from top to bottom, each from left to right; at most `MAX_LINES`.

    region: None for the whole image. min_confidence: in [0, 1], of a line. What has no letter and no digit is no line.
    Not for two threads at a time. Raises ToolError if the packages are missing.
    """
    import numpy

    edges = (region or _WHOLE).edges(image)
    pixels = _fitted(image.pixels.crop(edges))
    found = _reader()(numpy.asarray(pixels)[:, :, ::-1])  # it takes blue first
    left, top, right, bottom = edges
    across, down = (right - left) / pixels.width, (bottom - top) / pixels.height
    lines = []
    for corners, text, confidence in zip(*(_listed(found, name) for name in ("boxes", "txts", "scores")), strict=True):
        places = [((left + x * across) / image.width, (top + y * down) / image.height) for x, y in corners.tolist()]
        if float(confidence) >= min_confidence and (line := line_of(text, places, float(confidence))):
            lines.append(line)
    return tuple(line for row in rows(lines) for line in row)[:MAX_LINES]


def line_of(text: str, corners: Sequence[tuple[float, float]], confidence: float) -> TextLine | None:
    """A line as it was read, made harmless and short; None if nothing of it is left, or it has no extent.

    corners: (x, y) relative to the whole image. confidence: in [0, 1].
    """
    shown = plain(text, one_line=True, most=MAX_LINE_CHARACTERS)
    if not any(character.isalnum() for character in shown):
        return None
    edges = (*map(min, zip(*corners, strict=True)), *map(max, zip(*corners, strict=True)))
    try:
        return TextLine(shown, Box(*(round(min(1.0, max(0.0, edge)), _DIGITS) for edge in edges)), min(1.0, confidence))
    except ToolError:
        return None


def rows(lines: Iterable[TextLine]) -> list[list[TextLine]]:
    """Rows from top to bottom. A line stands in a row if it and the row's topmost line reach each other's middle."""
    found: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box.top):
        first = found[-1][0] if found else None
        if first and line.middle < first.box.bottom and line.box.top < first.middle < line.box.bottom:
            found[-1].append(line)
        else:
            found.append([line])
    return [sorted(row, key=lambda line: line.box.left) for row in found]


def as_text(lines: Sequence[TextLine], *, with_regions: bool = False) -> str:
    """One row of text a line of at most `MAX_CHARACTERS` in all, or with the regions one piece of it a line."""
    if with_regions:
        told = [f"{line.box} {line.text} ({line.confidence:.2f})" for line in lines]
    else:
        told = [" ".join(line.text for line in row) for row in rows(lines)]
    text = "\n".join(told)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def read_text_tool() -> Tool:
    """The same for steps. Raises ToolError if the packages are missing."""
    return as_tool("read_text", _for_steps, timeout_seconds=TIMEOUT_SECONDS, version=", ".join(_versions()), turn=_turn)


def _for_steps(
    image: LoadedImage, region: str = str(_WHOLE), with_regions: bool = False, min_confidence: float = MIN_CONFIDENCE
) -> str | None:
    """Reads the text in an image, or in a region of it; None where there is none.

    region: `[left, top, right, bottom]` from 0 to 1. with_regions: also say where each piece of text stands.
    """
    box = parse_box(region)
    if box is None:
        raise ToolError(f"got the region {quoted(region)}; expected [left, top, right, bottom] from 0 to 1")
    key = (image.sha256, box, min_confidence)
    if key not in _remembered:
        while len(_remembered) >= _MAX_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        _remembered[key] = read_text(image, box, min_confidence=min_confidence)
    return as_text(_remembered[key], with_regions=with_regions) or None


def _versions() -> list[str]:
    try:
        return [f"{name} {version(name)}" for name in PACKAGES]
    except PackageNotFoundError as error:
        raise ToolError(
            f"to read text needs the package {error.name}; in a checkout of cot run: pip install -e '.[ocr]'"
        ) from error


@cache
def _reader() -> Any:
    """What finds and reads lines, with its models loaded from the package's own folder."""
    _versions()
    import onnxruntime
    import rapidocr

    onnxruntime.disable_telemetry_events()
    folder = Path(rapidocr.__file__).parent / "models"
    models = {}
    for part in ("Det", "Cls", "Rec"):
        files = sorted(folder.glob(f"*_{part.lower()}_*.onnx"))
        if len(files) != 1:
            raise ToolError(
                f"got {len(files)} models {part!r} in {folder}; expected one; install it again: pip install rapidocr"
            )
        models[f"{part}.model_path"] = str(files[0])
    limits = {
        "Global.use_preprocess_img": False, "Det.limit_type": "max", "Det.limit_side_len": _MAX_SIDE,
        "Det.max_candidates": MAX_LINES, "Rec.rec_batch_num": 1,
    }  # fmt: skip
    return rapidocr.RapidOCR(params={"Global.log_level": "critical", **limits, **models})


def _fitted(pixels: Image.Image) -> Image.Image:
    """Of a size at which text can be found."""
    scale = min(max(1.0, _MIN_SIDE / min(pixels.size)), _MAX_SIDE / max(pixels.size))
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    return pixels if size == pixels.size else pixels.resize(size, Image.Resampling.BICUBIC)


def _listed(found: Any, name: str) -> list[Any]:
    values = getattr(found, name, None)
    return [] if values is None else list(values)
