"""Names of the folders of runs: `<date>-<time>-<random>`, in UTC, so that names in order are runs in order.

In: the folder of the traces. Out: names and dates. No file in a run's folder is opened.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from cot.errors import TraceError

RUN_FOLDER: Final = re.compile("[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
"""Name of a run's folder: its date and time in UTC, and what tells it from others of the same second."""

STAMP: Final = "%Y%m%d-%H%M%S"
"""How it begins."""

STAMP_CHARACTERS: Final = 15


def started_at(folder: str) -> datetime | None:
    """When a run began, UTC, by the name of its folder; None if no run's folder has such a name."""
    if not RUN_FOLDER.fullmatch(folder):
        return None
    try:
        return datetime.fromisoformat(f"{folder[:8]}T{folder[9:STAMP_CHARACTERS]}Z")
    except ValueError:
        return None


def folder_names(trace_dir: Path, *, follow_links: bool = True) -> list[str]:
    """Names of the folders in a folder of traces, sorted; none if it is missing. Raises TraceError if it is unreadable.

    follow_links: whether a link to a folder counts as one.
    """
    try:
        with os.scandir(trace_dir) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=follow_links))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TraceError(
            f"cannot read the folder {trace_dir}: {error.strerror or error}; expected traces; name it with --trace-dir"
        ) from error


def newest_first(
    trace_dir: Path, file: str, fits: Callable[[datetime | None], bool] = lambda _: True
) -> Iterator[tuple[datetime | None, str]]:
    """When each run began, None for a folder with another name, and the path of its `file`, there or not: newest first.

    Of runs that began in one second the one whose file was written to last. fits: which times are wanted.
    Raises TraceError if the folder is unreadable.
    """
    # Joined as text: a `Path` for each part takes longer than reading the file.
    folder = os.path.join(trace_dir, "")
    names = reversed(folder_names(trace_dir))
    found = ((when, f"{folder}{name}{os.sep}{file}") for name in names if fits(when := started_at(name)))
    for _, same in groupby(found, key=lambda one: one[0] or one[1]):
        several = list(same)
        yield from sorted(several, key=lambda one: _written(one[1]), reverse=True) if several[1:] else several


def newest(trace_dir: Path, file: str) -> Path | None:
    """The file of that name in the folder of the newest run that has one, by `newest_first`; None if none has."""
    runs = newest_first(trace_dir, file, lambda when: when is not None)
    return next((Path(path) for _, path in runs if os.path.exists(path)), None)


def _written(path: str) -> int:
    """When a file was written to last, in nanoseconds; before all others if it is missing."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1
