"""Writes a trace: `<trace_dir>/<date>-<time>-<random>/trace.jsonl`, with the images beside it.

In: events and images. Out: one line of JSON an event, append-only, handed to the operating system
before the next step goes on, so that a killed process loses no finished event. It does not `fsync`:
a power cut may take the last lines.
"""

import json
import secrets
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cot.errors import TraceError
from cot.image import LoadedImage
from cot.source import shown
from cot.trace.event import SCHEMA, Call, Note, RunFinished, RunStarted, StepTaken
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
    try:
        half.write_bytes(image.to_png())
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


class Recorder:
    """An open trace. Use as a context manager, or call `close`."""

    def __init__(self, trace_dir: Path) -> None:
        """Make a new run folder in `trace_dir`, which is made if missing. Raises TraceError if it cannot be."""
        name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        self.folder: Final = trace_dir / f"{name}-{secrets.token_hex(4)}"
        self.trouble: str | None = None
        """Why nothing more is recorded, if so: what was found out already must not be lost for its trace."""
        self._start = time.perf_counter()
        self._next = 0
        try:
            self.folder.mkdir(parents=True)
            self._file = self.path.open("x", encoding="ascii", newline="\n")
            hold(self._file)
        except OSError as error:
            raise TraceError(
                f"cannot write a trace to {shown(str(trace_dir))}: {error.strerror or error};"
                " expected a folder that can be written to; name one with --trace-dir"
            ) from error

    @property
    def path(self) -> Path:
        """The trace's file."""
        return self.folder / TRACE_FILE

    def record(self, event: RunStarted | Call | StepTaken | Note | RunFinished) -> None:
        """Append one event; its number and time are set here.

        Raises TraceError if the first one cannot be written. Later this ends the trace, and `trouble` says why.
        """
        if self.trouble:
            return
        at = round(time.perf_counter() - self._start, 6)
        measured = event.measured.model_copy(update={"at_seconds": at})
        numbered = event.model_copy(update={"seq": self._next, "measured": measured})
        line = json.dumps({"schema": SCHEMA, **numbered.model_dump(mode="json")}, allow_nan=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            trouble = f"cannot write to {shown(str(self.path))}: {error}; free some space or name another folder"
            if self._next == 0:
                raise TraceError(trouble) from error
            self.trouble = f"the trace is not whole: {trouble}"
        self._next += 1

    def add_image(self, image: LoadedImage) -> Path:
        """Keep the image beside the trace, once. What cannot be written is told as by `record`."""
        path = image_path(self.folder, image.sha256)
        try:
            keep_image(path, image)
        except OSError as error:
            trouble = f"cannot write {shown(str(path))}: {error}; free some space or name another folder"
            if self._next == 0:
                raise TraceError(trouble) from error
            self.trouble = f"the trace is not whole: {trouble}"
        return path

    def close(self) -> None:
        """Close the file. Nothing is lost without it. A trace without events leaves no folder behind."""
        self._file.close()
        if self._next == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
