"""What a page shows of a sample beside its result: a small image, and the steps of its traces.

In: results whose traces lie in the run's folder. Out: pictures as data URLs, each once, and lines of text. A trace or
an image that is missing or damaged is left out.
"""

import base64
import io
from typing import Final

from PIL import Image

from cot.compare import Chosen
from cot.errors import CotError
from cot.evaluate.result import SampleResult
from cot.image import load_image
from cot.trace.read import Trace, read
from cot.trace.show import step_line

THUMBNAIL_SIDE: Final = 128
"""Pixels on the longer side."""
MAX_PICTURE_BYTES: Final = 32 * 2**20
"""Of all pictures of a page; samples behind that have none."""
MAX_STEPS: Final = 60
_STEP_CHARACTERS: Final = 400


class Pictures:
    """Thumbnails by the hash of their image. urls: as data URLs. full: whether some were left out to bound the page."""

    def __init__(self) -> None:
        self.urls: Final[list[str]] = []
        self.full = False
        self._numbers: dict[str, int | None] = {}
        self._bytes = 0

    def number(self, trace: Trace) -> int | None:
        """Place in `urls` of the first image of a trace; None if there is none."""
        started = trace.started
        if not started or not started.images:
            return None
        image = started.images[0]
        if image.sha256 not in self._numbers:
            path = trace.image_path(image)
            self._numbers[image.sha256] = None if path is None or self.full else self._add(str(path), image.sha256)
        return self._numbers[image.sha256]

    def _add(self, path: str, sha256: str) -> int | None:
        try:
            loaded = load_image(path)
        except CotError:
            return None
        if loaded.sha256 != sha256:
            return None
        smaller = loaded.pixels.copy()
        smaller.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        smaller.save(buffer, "JPEG", quality=75)
        url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        self._bytes += len(url)
        if self._bytes > MAX_PICTURE_BYTES:
            self.full = True
            return None
        self.urls.append(url)
        return len(self.urls) - 1


def trace_of(chosen: Chosen, result: SampleResult) -> Trace | None:
    """The trace of a result, if one was kept and can be read."""
    folder = chosen.run.trace_folder(result)
    try:
        return read(folder) if folder else None
    except CotError:
        return None


def step_lines(trace: Trace) -> list[str]:
    """Each step on a line."""
    lines = [step_line(taken.step).plain[:_STEP_CHARACTERS] for taken in trace.steps[:MAX_STEPS]]
    return lines + ["…"] if len(trace.steps) > MAX_STEPS else lines
