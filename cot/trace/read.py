"""Reads a trace back, also one that was cut short.

In: a run folder, a trace file, or "last". Out: a `Trace` of checked events. The file may come from
anywhere: lines and events are bounded, and each event is validated. Nothing is repaired or guessed.
"""

import contextlib
import dataclasses
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import TypeAdapter, ValidationError

from cot.errors import TraceError
from cot.source import shown
from cot.trace.event import (
    SCHEMA,
    Call,
    Event,
    Note,
    RunFinished,
    RunStarted,
    StepTaken,
    TracedImage,
    is_readable,
)
from cot.trace.folder import newest
from cot.trace.images import image_path
from cot.trace.record import TRACE_FILE
from cot.trace.redact import Redaction, What, left_out

MAX_LINE_BYTES: Final = 4 * 2**20
MAX_EVENTS: Final = 100_000
MAX_TRACE_BYTES: Final = 256 * 2**20
LAST: Final = "last"
"""What names the newest trace."""

_SHA256: Final = re.compile("[0-9a-f]{64}")
_ID: Final = re.compile("[0-9a-f]{8}")

_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event)


@dataclass(frozen=True)
class Trace:
    """A run as it was recorded.

    torn: whether the last line was cut in the middle of writing, and left out of `events`.
    """

    path: Path
    events: tuple[RunStarted | Call | StepTaken | Note | RunFinished, ...]
    torn: bool = False

    @cached_property
    def name(self) -> str:
        """Of its run: that of its folder."""
        return self.path.resolve().parent.name or str(self.path)

    @property
    def started(self) -> RunStarted | None:
        """What was asked; None if not even that was written."""
        return next((event for event in self.events if isinstance(event, RunStarted)), None)

    @property
    def finished(self) -> RunFinished | None:
        """How it ended; None if it was killed."""
        return next((event for event in reversed(self.events) if isinstance(event, RunFinished)), None)

    @property
    def steps(self) -> tuple[StepTaken, ...]:
        """The finished steps."""
        return tuple(event for event in self.events if isinstance(event, StepTaken))

    @property
    def calls(self) -> tuple[Call, ...]:
        """What the model was asked."""
        return tuple(event for event in self.events if isinstance(event, Call))

    @property
    def left_out(self) -> frozenset[What]:
        """What was not recorded; nothing of a trace that is whole."""
        return left_out(self.started)

    def redacted(self, what: frozenset[What]) -> "Trace":
        """The trace without what is to be left out, and the same if that is nothing. Nothing on disk is changed."""
        if not what:
            return self
        return dataclasses.replace(self, events=tuple(map(Redaction(what), self.events)))

    def image_path(self, image: TracedImage) -> Path | None:
        """Where the pixels of an image are; None if its name is no hash, so that no trace names other files."""
        if not _SHA256.fullmatch(image.sha256):
            return None
        return image_path(self.path.parent, image.sha256)


def as_json(trace: Trace) -> dict[str, Any]:
    """The trace as one JSON object, of plain values."""
    events = [event.model_dump(mode="json") for event in trace.events]
    return {"schema": SCHEMA, "path": str(trace.path), "torn": trace.torn, "events": events}


def find_trace(name: str, trace_dir: Path) -> Path:
    """The trace file that is meant by "last" (the newest in `trace_dir`), the eight characters at the end
    of a run's name, a run folder or a file.

    Raises TraceError if there is none.
    """
    if name == LAST:
        last = newest(trace_dir, TRACE_FILE)
        if last is None:
            raise TraceError(f"there is no trace in {trace_dir} yet; make one with: cot ask IMAGE QUESTION")
        return last
    if _ID.fullmatch(name) and not Path(name).exists():
        found = [path for path in trace_dir.glob(f"*-{name}/{TRACE_FILE}") if path.is_file()]
        if len(found) == 1:
            return found[0]
    return trace_file(name)


def trace_file(name: str) -> Path:
    """The file of a trace that is named by itself or by its run folder. Raises TraceError if there is none."""
    # An unknown home folder, or a name that no file can have, is no trace either.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        path = Path(name).expanduser()
        path = path / TRACE_FILE if path.is_dir() else path
        if path.is_file():
            return path
    raise TraceError(
        f"no trace at {shown(name)}; expected an id from 'cot trace list', a run folder, its {TRACE_FILE}, or 'last'"
    )


def read(place: str | Path) -> Trace:
    """The trace in a run folder or a file, as typed events.

    Raises TraceError if there is none, or as `read_trace`.
    """
    return read_trace(trace_file(str(place)))


def read_trace(path: Path) -> Trace:
    """Read all events. A last line that was cut short is left out, and said in `torn`.

    Raises TraceError if the file cannot be read, is of another version, or holds anything else.
    """
    events: list[RunStarted | Call | StepTaken | Note | RunFinished] = []
    torn = False
    size = 0
    try:
        with path.open("rb") as file:
            while line := _line(file, path, len(events) + 1):
                size += len(line)
                if size > MAX_TRACE_BYTES:
                    raise TraceError(f"{path}: got more than {MAX_TRACE_BYTES:,} bytes; no trace is that large")
                whole = line.endswith(b"\n")
                try:
                    events.append(_event(line))
                except TraceError as error:
                    if whole or _is_json(line):
                        raise TraceError(f"{path}, line {len(events) + 1}: {error}") from error
                    torn = True
    except OSError as error:
        raise TraceError(f"cannot read {path}: {error.strerror or error}; expected a trace file") from error
    return Trace(path, tuple(events), torn)


def _line(file: BinaryIO, path: Path, number: int) -> bytes:
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise TraceError(f"{path}, line {number}: got more than {MAX_LINE_BYTES:,} bytes; no trace has such lines")
    if line and number > MAX_EVENTS:
        raise TraceError(f"{path}: got more than {MAX_EVENTS:,} lines; no trace is that long")
    return line


def _event(line: bytes) -> RunStarted | Call | StepTaken | Note | RunFinished:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TraceError("got text that is not JSON; expected one event a line") from error
    version = found.pop("schema", None) if isinstance(found, dict) else None
    if not is_readable(version):
        raise TraceError(f"got trace format {str(version)[:20]!r}; this version of cot reads formats 1 to {SCHEMA}")
    # Version 2 only adds fields, which have defaults, so that a line of version 1 is one of version 2.
    if version < 3 and found.get("event") == "call":
        found["cut"] = _says_cut(str(found.get("problem")))
    try:
        return _EVENT.validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TraceError(f"got an event with a wrong field {where}: {first['msg']}") from error


def _says_cut(problem: str) -> bool:
    """Whether the problem of a call says that its reply was cut short, which only it told up to version 2."""
    return problem.endswith(", before it was what the constraint wants") or ", cut short; expected" in problem


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
