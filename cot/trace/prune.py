"""Deletes old traces, and images that no trace refers to.

In: the folder of the traces, and what may stay. Out: what is to go, oldest first, and then its deletion. Only
folders that have the name of a run, and only files that a run writes, are ever touched; links are not
followed, and a run that is being written is left alone.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cot.errors import TraceError
from cot.trace.folder import folder_names, started_at
from cot.trace.lock import is_held
from cot.trace.record import IMAGES_FOLDER, TRACE_FILE

FRESH_SECONDS: Final = 60.0
"""A folder without a trace file may be about to get one; only after this long it is an empty one."""

_IMAGE: Final = re.compile(r"([0-9a-f]{64})\.(png|part)")


@dataclass(frozen=True)
class Removal:
    """What is to go of one run. why: for people. files: of the run. whole: whether its folder goes too."""

    folder: Path
    why: str
    files: tuple[Path, ...]
    bytes: int
    whole: bool


def what_to_prune(
    trace_dir: Path, *, older_than: datetime | None = None, max_bytes: int | None = None
) -> tuple[Removal, ...]:
    """What is to go, oldest first; nothing is deleted yet.

    older_than: runs that began before it go. max_bytes: of the others the oldest go until all that are left have
    together at most this many bytes, those that are being written counted too; >= 0. Images in a run's folder that
    its trace does not name go whatever is asked for. Raises TraceError if the folder cannot be read.
    """
    removals: list[Removal] = []
    kept: list[tuple[Path, tuple[Path, ...], int]] = []
    left = 0
    for folder, began in _runs(trace_dir):
        files = _files(folder)
        size = sum(path.lstat().st_size for path in files)
        if _in_use(folder):
            left += size
        elif older_than is not None and began < older_than:
            removals.append(Removal(folder, f"began {began:%Y-%m-%d %H:%M}", files, size, whole=True))
        elif (orphans := _orphans(folder, files)) == files:
            removals.append(Removal(folder, "has no trace", files, size, whole=True))
        else:
            if orphans:
                freed = sum(path.lstat().st_size for path in orphans)
                removals.append(Removal(folder, "images that its trace does not name", orphans, freed, whole=False))
                files, size = tuple(path for path in files if path not in orphans), size - freed
            left += size
            kept.append((folder, files, size))
    for folder, files, size in kept:
        if max_bytes is None or left <= max_bytes:
            break
        removals.append(Removal(folder, "to make room", files, size, whole=True))
        left -= size
    return tuple(removals)


def prune(removals: tuple[Removal, ...]) -> int:
    """Delete what `what_to_prune` named, and return the bytes freed. What is in use by now is left alone.

    Raises TraceError at the first file that cannot be deleted.
    """
    freed = 0
    for removal in removals:
        if _in_use(removal.folder):
            continue
        # The trace goes first: a deletion that is cut short leaves images without one, which go the next time.
        for path in sorted(removal.files, key=lambda path: path.name != TRACE_FILE):
            try:
                size = path.lstat().st_size
                path.unlink()
                freed += size
            except FileNotFoundError:
                continue
            except OSError as error:
                raise TraceError(f"cannot delete {path}: {error.strerror or error}; check who owns it") from error
        if removal.whole:
            # A folder in which somebody put other files stays, with them.
            for folder in (removal.folder / IMAGES_FOLDER, removal.folder):
                with contextlib.suppress(OSError):
                    folder.rmdir()
    return freed


def _runs(trace_dir: Path) -> Iterator[tuple[Path, datetime]]:
    """Folders with the name of a run, oldest first."""
    for name in folder_names(trace_dir, follow_links=False):
        began = started_at(name)
        if began is not None:
            yield trace_dir / name, began


def _files(folder: Path) -> tuple[Path, ...]:
    """The files of a run: its trace and its images, nothing else that may lie there."""
    images = folder / IMAGES_FOLDER
    found = [folder / TRACE_FILE]
    if images.is_dir() and not images.is_symlink():
        found += sorted(path for path in images.iterdir() if _IMAGE.fullmatch(path.name))
    return tuple(path for path in found if path.is_file() and not path.is_symlink())


def _orphans(folder: Path, files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Images whose hash stands nowhere in the trace, whatever kind of line would name it."""
    images = [path for path in files if path.name != TRACE_FILE]
    trace = folder / TRACE_FILE
    if not images:
        return ()
    if trace not in files:
        return files
    named: set[bytes] = set()
    with trace.open("rb") as file:
        for line in file:
            named |= {path.stem.encode() for path in images if path.stem.encode() in line}
            if len(named) == len(images):
                return ()
    return tuple(path for path in images if path.stem.encode() not in named)


def _in_use(folder: Path) -> bool:
    try:
        return is_held(folder / TRACE_FILE)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime < FRESH_SECONDS
        return True
    except OSError:
        return True
