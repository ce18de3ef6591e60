"""What a page shows of a sample beside its result: a small image, and the steps of its traces.

In: results whose traces lie in the run's folder, and images of the data. Out: pictures as data URLs, each once, and
lines of text. A trace or an image that is missing or damaged is left out.
"""

import base64
import contextlib
import hashlib
import io
from pathlib import Path
from typing import Final

from PIL import Image

from cot.compare import Chosen
from cot.errors import CotError, ImageError
from cot.evaluate.result import SampleResult
from cot.image import ImageLimits, LoadedImage, load_image
from cot.trace.images import KEPT
from cot.trace.read import Trace, read
from cot.trace.show import step_line

THUMBNAIL_SIDE: Final = 128
"""Pixels on the longer side."""
MAX_PICTURE_BYTES: Final = 32 * 2**20
"""Of all pictures of a page; samples behind that have none."""
MAX_STEPS: Final = 60
_STEP_CHARACTERS: Final = 400


class Pictures:
    """Thumbnails, each once. urls: as data URLs. full: whether some were left out to bound the page.

    problems: what is wrong with images of the data, a text each.
    """

    def __init__(self) -> None:
        self.urls: Final[list[str]] = []
        self.full = False
        self.problems: Final[list[str]] = []
        # By the hash of the pixels, and by what images of the data are: a file, or the hash of its bytes.
        self._numbers: dict[str | Path, int | None] = {}
        self._bytes = 0

    def of_trace(self, trace: Trace) -> int | None:
        """Place in `urls` of the first image of a trace; None if there is none."""
        started = trace.started
        if not started or not started.images:
            return None
        image = started.images[0]
        if image.sha256 not in self._numbers and not self.full:
            self._numbers[image.sha256] = None
            path = trace.image_path(image)
            with contextlib.suppress(ImageError):
                if path and (loaded := load_image(path, KEPT)).sha256 == image.sha256:
                    self._numbers[image.sha256] = self._add(loaded)
        return self._numbers.get(image.sha256)

    def of_data(self, source: Path | bytes, limits: ImageLimits) -> int | None:
        """Place in `urls` of an image of the data, which is opened once; None if it cannot be shown."""
        name = source if isinstance(source, Path) else f"file {hashlib.sha256(source).hexdigest()}"
        if name not in self._numbers and not self.full:
            self._numbers[name] = None
            try:
                loaded = load_image(source if isinstance(source, Path) else io.BytesIO(source), limits)
            except ImageError as error:
                self.problems.append(str(error))
            else:
                if self._numbers.get(loaded.sha256) is None:
                    self._numbers[loaded.sha256] = self._add(loaded)
                self._numbers[name] = self._numbers[loaded.sha256]
        return self._numbers.get(name)

    def _add(self, image: LoadedImage) -> int | None:
        smaller = image.pixels.copy()
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
