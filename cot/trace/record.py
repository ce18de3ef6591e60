"""Writes a trace: `<trace_dir>/<date>-<time>-<random>/trace.jsonl`, with the images beside it.

In: events and images. Out: one line of JSON an event, append-only, handed to the operating system by one write
before the next step goes on, so that a killed process loses no finished event. It does not `fsync`:
a power cut may take the last lines.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from cot.errors import TraceError, reason
from cot.image import LoadedImage
from cot.source import shown
from cot.trace.event import SCHEMA, Call, Note, RunFinished, RunStarted, StepTaken
from cot.trace.folder import STAMP
from cot.trace.images import IMAGES_FOLDER, keep_image
from cot.trace.lock import hold
from cot.trace.redact import Redaction, What

TRACE_FILE: Final = "trace.jsonl"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Recorder:
    """An open trace. Use as a context manager, or call `close`."""

    def __init__(self, trace_dir: Path, *, redact: frozenset[What] = frozenset()) -> None:
        """Make a new run folder in `trace_dir`, which is made if missing. Raises TraceError if it cannot be.

        redact: what is never written, neither to the trace nor beside it.
        """
        name = datetime.now(UTC).strftime(STAMP)
        self.folder: Final = trace_dir / f"{name}-{secrets.token_hex(4)}"
        self.trouble: str | None = None
        """Why nothing more is recorded, if so: what was found out already must not be lost for its trace."""
        self.finished: RunFinished | None = None
        """How the run ended, once it did."""
        self._redaction = Redaction(redact)
        self._keeps_images = not redact & {"images", "all"}
        self._start = time.perf_counter()
        self._next = 0
        try:
            self.folder.mkdir(parents=True)
            self._file = self.path.open("ab", buffering=0)
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
        if isinstance(event, RunFinished):
            self.finished = event
        if self.trouble:
            return
        data = _line(self._redaction(event), self._next, round(time.perf_counter() - self._start, 6))
        try:
            # Without a buffer this is one write of the whole line, so that readers see whole lines.
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except (OSError, ValueError) as error:
            self._give_up(f"cannot write to {shown(str(self.path))}", error)
        self._next += 1

    def add_image(self, image: LoadedImage) -> None:
        """Keep the image beside the trace, once, unless images are left out. Trouble is told as by `record`."""
        if not self._keeps_images:
            return
        try:
            keep_image(self.folder, image, shared=self.folder.parent)
        except OSError as error:
            self._give_up(f"cannot write an image to {shown(str(self.folder))}", error)

    def _give_up(self, what: str, error: Exception) -> None:
        trouble = f"{what}: {reason(error)}; free some space or name another folder"
        if self._next == 0:
            raise TraceError(trouble) from error
        self.trouble = f"the trace is not whole: {trouble}"

    def close(self) -> None:
        """Close the file. Nothing is lost without it. A trace without events leaves no folder behind."""
        self._file.close()
        if self._next == 0:
            self.path.unlink(missing_ok=True)
            for folder in (self.folder / IMAGES_FOLDER, self.folder):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _line(event: RunStarted | Call | StepTaken | Note | RunFinished, number: int, at_seconds: float) -> bytes:
    """One line of ASCII JSON. Raises ValueError for a number that JSON has not."""
    # pydantic's own serialiser takes a fifth of the time of dumping the model and then its values.
    measured = {**event.measured.__dict__, "at_seconds": at_seconds}
    line = {"schema": SCHEMA, **event.__dict__, "seq": number, "measured": measured}
    try:
        data = to_json(line)
    except PydanticSerializationError:
        # UTF-8 cannot hold halves of surrogate pairs, as in odd file names: escapes stand in their place.
        text = json.dumps(to_jsonable_python(line), ensure_ascii=False)
        data = _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode()
    if not data.isascii() or b"NaN" in data or b"Infinity" in data:
        data = json.dumps(json.loads(data), allow_nan=False, separators=(",", ":")).encode("ascii")
    return data + b"\n"
