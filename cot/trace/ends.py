"""Reads the first and the last line of a trace without what is between them, for lists of many.

In: a file. Out: two lines as bytes, and what they say as plain values. Nothing is checked as `cot.trace.read` does it.
"""

import json
import os
from typing import Any, Final

from pydantic_core import from_json

from cot.trace.event import is_readable
from cot.trace.read import MAX_LINE_BYTES

_HEAD_BYTES: Final = 4096
_TAIL_BYTES: Final = 1024
_HOW: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def ends(path: str) -> tuple[bytes, bytes]:
    """The first and the last whole line; a last line that was torn is passed over. Raises OSError."""
    # `open` and a seek more would each take longer than the reading.
    handle = os.open(path, _HOW)
    try:
        first = os.read(handle, _HEAD_BYTES)
        if len(first) < _HEAD_BYTES:
            return first.partition(b"\n")[0], _last(first, whole=True) or b""
        while b"\n" not in first and len(first) < MAX_LINE_BYTES:
            more = os.read(handle, len(first))
            if not more:
                break
            first += more
        return first.partition(b"\n")[0], _end(handle)
    finally:
        os.close(handle)


def _end(handle: int) -> bytes:
    """The last whole line of a file of at least `_TAIL_BYTES`."""
    width = _TAIL_BYTES
    begin = os.lseek(handle, -width, os.SEEK_END)
    size = begin + width
    while True:
        line = _last(os.read(handle, width), whole=begin == 0)
        if line is not None or width >= 2 * MAX_LINE_BYTES:
            return line or b""
        width *= 4
        begin = os.lseek(handle, max(0, size - width), os.SEEK_SET)


def _last(tail: bytes, *, whole: bool) -> bytes | None:
    """The last whole line; None if it may begin before the tail of which `whole` says whether it is the whole file."""
    end = tail.rfind(b"\n")
    begin = tail.rfind(b"\n", 0, max(0, end))
    if begin < 0 and not whole:
        return None
    return tail[begin + 1 : max(0, end)]


def event(line: bytes) -> dict[str, Any]:
    """The fields of a line; none if it is damaged or of a version that cannot be read."""
    try:
        found = from_json(line)
    except ValueError:
        found = _as_python_reads_it(line)
    return found if isinstance(found, dict) and is_readable(found.get("schema")) else {}


def may_hold(line: bytes, text: bytes) -> bool:
    """False only if no text in the line holds this one, whatever the case: told without reading the line as JSON.

    text: UTF-8, case-folded, without line breaks.
    """
    # Without a backslash JSON holds its texts as they are, and folding the case of ASCII is `lower`.
    return text in line.lower() or b"\\" in line or not line.isascii()


def _as_python_reads_it(line: bytes) -> Any:
    """What the faster parser refuses may be good for the slower one, which the reader of whole traces uses."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
