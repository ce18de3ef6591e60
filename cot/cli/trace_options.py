"""What the verbs of `cot trace` have in common: how a trace, a date and an age are named.

In: words of the command line. Out: opened traces, times, bytes. It prints nothing.
"""

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cot.cli.set_by import set_by_told
from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.trace.read import Trace

PATH: Final = typer.Argument(metavar="PATH|last", help="An id, a run folder, its trace.jsonl, or: last.")
REDACT: Final = typer.Option(
    help="Leave out prompts (with words that may repeat them), images, or all; several by commas, or one option each."
)

_AGE: Final = re.compile("([0-9]{1,5})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE: Final = re.compile("([0-9]{1,6})(B|KiB|MiB|GiB|TiB)")


@contextlib.contextmanager
def traces_folder(trace_dir: Path | None) -> Iterator[Path]:
    """The folder of the traces, by the command line or the setting; errors of what stands inside tell who set it."""
    from cot.config import load_settings

    settings, _ = load_settings({"trace_dir": trace_dir})
    with set_by_told(settings, "trace_dir"):
        yield settings.trace_dir


def opened(name: str, trace_dir: Path | None) -> "Trace":
    """The trace that is meant. Raises TraceError."""
    from cot.trace.read import find_trace, read_trace

    with traces_folder(trace_dir) as folder:
        return read_trace(find_trace(name, folder))


def age(text: str, option: str) -> timedelta:
    """How long `30d` is; m, h, d and w are minutes, hours, days and weeks. Raises UsageError."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise UsageError(f"{option}: got {text[:60]!r}; expected a number and m, h, d or w, as in 30d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str | None, option: str, *, now: datetime) -> datetime | None:
    """A date and time in UTC, or an age counted back from `now`; None for None. Raises UsageError."""
    if text is None:
        return None
    if _AGE.fullmatch(text):
        return now - age(text, option)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option}: got {text[:60]!r}; expected 2026-01-31, 2026-01-31T12:00 (UTC) or 7d") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def bytes_of(text: str, option: str) -> int:
    """How many bytes `1GiB` is. Raises UsageError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{option}: got {text[:60]!r}; expected a whole number and B, KiB, MiB, GiB or TiB, as in 1GiB"
        )
    return int(match[1]) << 10 * ("B", "KiB", "MiB", "GiB", "TiB").index(match[2])
