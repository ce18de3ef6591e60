"""Names of the folders of runs: `<date>-<time>-<random>`, in UTC, so that names in order are runs in order.

In: the folder of the traces. Out: names and dates. No file in a run's folder is opened.
"""

import contextlib
import os
import re
from datetime import datetime
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


def newest(trace_dir: Path, file: str) -> Path | None:
    """The file of that name in the folder of the newest run that has one; None if none has.

    Of runs that began in one second the one that was written to last. Raises TraceError if the folder is unreadable.
    """
    found: list[tuple[int, Path]] = []
    second = ""
    for name in reversed(folder_names(trace_dir)):
        if not RUN_FOLDER.fullmatch(name):
            continue
        if found and name[:STAMP_CHARACTERS] != second:
            break
        path = trace_dir / name / file
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
            second = name[:STAMP_CHARACTERS]
    return max(found)[1] if found else None
