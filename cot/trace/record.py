"""Writes a trace: `<trace_dir>/<date>-<time>-<random>/trace.jsonl`, with the images beside it.

In: events and images. Out: one line of JSON an event, append-only, handed to the operating system
before the next step goes on, so that a killed process loses no finished event. It does not `fsync`:
a power cut may take the last lines.
"""

import contextlib
import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cot.errors import TraceError
from cot.image import LoadedImage
from cot.trace.event import SCHEMA, Call, Note, RunFinished, RunStarted, StepTaken
from cot.trace.folder import STAMP
from cot.trace.lock import hold

TRACE_FILE: Final = "trace.jsonl"
IMAGES_FOLDER: Final = "images"


def image_path(folder: Path, sha256: str) -> Path:
    """Where the image with these pixels lies beside what was recorded in a folder."""
    return folder / IMAGES_FOLDER / f"{sha256}.png"


def keep_image(path: Path, image: LoadedImage) -> None:
    """Write an image, once; a killed process leaves none that is half. Raises OSError."""
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    half = path.with_suffix(".part")
    half.write_bytes(image.to_png())
    half.replace(path)


class Recorder:
    """An open trace. Use as a context manager, or call `close`."""

    def __init__(self, trace_dir: Path) -> None:
        """Make a new run folder in `trace_dir`, which is made if missing. Raises TraceError if it cannot be."""
        name = datetime.now(UTC).strftime(STAMP)
        self.folder: Final = trace_dir / f"{name}-{secrets.token_hex(4)}"
        self._start = time.perf_counter()
        self._next = 0
        try:
            self.folder.mkdir(parents=True)
            self._file = self.path.open("x", encoding="ascii", newline="\n")
            hold(self._file)
        except OSError as error:
            raise TraceError(
                f"cannot write a trace to {trace_dir}: {error.strerror or error};"
                " expected a folder that can be written to; name one with --trace-dir"
            ) from error

    @property
    def path(self) -> Path:
        """The trace's file."""
        return self.folder / TRACE_FILE

    def record(self, event: RunStarted | Call | StepTaken | Note | RunFinished) -> None:
        """Append one event; its number and time are set here. Raises TraceError if it cannot be written."""
        at = round(time.perf_counter() - self._start, 6)
        measured = event.measured.model_copy(update={"at_seconds": at})
        numbered = event.model_copy(update={"seq": self._next, "measured": measured})
        line = json.dumps({"schema": SCHEMA, **numbered.model_dump(mode="json")}, allow_nan=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            raise TraceError(f"cannot write to {self.path}: {error}; free some space or name another folder") from error
        self._next += 1

    def add_image(self, image: LoadedImage) -> Path:
        """Keep the image beside the trace, once. Raises TraceError if it cannot be written."""
        path = image_path(self.folder, image.sha256)
        try:
            keep_image(path, image)
        except OSError as error:
            raise TraceError(f"cannot write {path}: {error}; free some space or name another folder") from error
        return path

    def close(self) -> None:
        """Close the file. Nothing is lost without it. A trace without events leaves no folder behind."""
        self._file.close()
        if self._next == 0:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
