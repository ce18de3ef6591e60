"""Notices that templates change on disk, by looking at their times.

In: folders. Out: one event at once, and one for each later change. It reads no content.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cot.prompt.source import Folder

INTERVAL_SECONDS: Final = 0.3


def changes(folders: Sequence[Folder], *, sleep: Callable[[float], None] | None = None) -> Iterator[None]:
    """Yield at once, then whenever a template, a case file or an image below a folder is saved; for ever."""
    wait = sleep or time.sleep
    seen: dict[Path, tuple[int, int]] | None = None
    while True:
        now = _times(folders)
        if now != seen:
            seen = now
            yield
        wait(INTERVAL_SECONDS)


def _times(folders: Sequence[Folder]) -> dict[Path, tuple[int, int]]:
    found = {}
    for folder in folders:
        for path in (*folder.path.glob("*/*"), *folder.path.glob("*/*/*")):
            try:
                status = path.stat()
            except OSError:
                continue  # gone between listing and looking: editors replace files
            found[path] = (status.st_mtime_ns, status.st_size)
    return found
