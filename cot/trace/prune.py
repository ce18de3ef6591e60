"""Deletes old traces, and images that no trace refers to.

In: the folder of the traces, and what may stay. Out: what is to go, oldest first, and then its deletion. Only
folders that have the name of a run, and only files that a run writes, are ever touched; links are not
followed, and a run that is being written is left alone.
"""

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cot.errors import TraceError
from cot.trace.folder import folder_names, started_at
from cot.trace.images import IMAGES_FOLDER
from cot.trace.lock import is_held
from cot.trace.record import TRACE_FILE

FRESH_SECONDS: Final = 60.0
"""A folder without a trace file may be about to get one; only after this long it is an empty one."""

_IMAGE: Final = re.compile(r"([0-9a-f]{64})\.(?:png|(?:[0-9a-f]{8}\.)?part)")


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
    kept: list[tuple[Path, tuple[Path, ...]]] = []
    runs = [(folder, began, _files(folder)) for folder, began in _runs(trace_dir)]
    weights = _Weights(path for _, _, files in runs for path in files)
    for folder, began, files in runs:
        if _in_use(folder):
            continue
        if older_than is not None and began < older_than:
            why = f"began {began:%Y-%m-%d %H:%M}"
            removals.append(Removal(folder, why, files, weights.remove(files), whole=True))
        elif (orphans := _orphans(folder, files)) == files:
            removals.append(Removal(folder, "has no trace", files, weights.remove(files), whole=True))
        else:
            if orphans:
                why = "images that its trace does not name"
                removals.append(Removal(folder, why, orphans, weights.remove(orphans), whole=False))
            kept.append((folder, tuple(path for path in files if path not in orphans)))
    for folder, files in kept:
        if max_bytes is None or weights.left <= max_bytes:
            break
        removals.append(Removal(folder, "to make room", files, weights.remove(files), whole=True))
    return tuple(removals)


def prune(trace_dir: Path, removals: tuple[Removal, ...]) -> int:
    """Delete what `what_to_prune` named, and return the bytes freed. What is in use by now is left alone.

    Raises TraceError at the first file that cannot be deleted.
    """
    freed = 0
    for removal in removals:
        if _in_use(removal.folder):
            continue
        # The trace goes first: a deletion that is cut short leaves images without one, which go the next time.
        for path in sorted(removal.files, key=lambda path: path.name != TRACE_FILE):
            freed += _delete(path)
        if removal.whole:
            # A folder in which somebody put other files stays, with them.
            for folder in (removal.folder / IMAGES_FOLDER, removal.folder):
                with contextlib.suppress(OSError):
                    folder.rmdir()
    # What is shared has a name in each run that shows it, and one more.
    freed += sum(_delete(path, unless_shared=True) for path in _images(trace_dir))
    with contextlib.suppress(OSError):
        (trace_dir / IMAGES_FOLDER).rmdir()
    return freed


class _Weights:
    """Counts the bytes of runs' files; an image that several of them share is one file.

    left: bytes of what was not removed.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        sizes = [(_key(status), status.st_size) for status in _statuses(files)]
        self.left = sum(dict(sizes).values())
        self._names = Counter(key for key, _ in sizes)

    def remove(self, files: Iterable[Path]) -> int:
        """How many bytes are freed if these go too; names that backups have for the same files do not count."""
        freed = 0
        for status in _statuses(files):
            self._names[_key(status)] -= 1
            freed += 0 if self._names[_key(status)] else status.st_size
        self.left -= freed
        return freed


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _statuses(files: Iterable[Path]) -> Iterator[os.stat_result]:
    """Of each file that is there still: somebody else may be pruning too."""
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            yield path.lstat()


def _delete(path: Path, *, unless_shared: bool = False) -> int:
    """The bytes that this frees: none if the file has another name yet, or is gone. Raises TraceError."""
    try:
        status = path.lstat()
        if unless_shared and status.st_nlink > 1:
            return 0
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise TraceError(f"cannot delete {path}: {error.strerror or error}; check who owns it") from error
    return status.st_size if status.st_nlink == 1 else 0


def _runs(trace_dir: Path) -> Iterator[tuple[Path, datetime]]:
    """Folders with the name of a run, oldest first."""
    for name in folder_names(trace_dir, follow_links=False):
        began = started_at(name)
        if began is not None:
            yield trace_dir / name, began


def _files(folder: Path) -> tuple[Path, ...]:
    """The files of a run: its trace and its images, nothing else that may lie there."""
    trace = folder / TRACE_FILE
    return (*([trace] if trace.is_file() and not trace.is_symlink() else []), *_images(folder))


def _images(folder: Path) -> list[Path]:
    images = folder / IMAGES_FOLDER
    if not images.is_dir() or images.is_symlink():
        return []
    found = sorted(path for path in images.iterdir() if _IMAGE.fullmatch(path.name))
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _orphans(folder: Path, files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Images whose hash stands nowhere in the trace, whatever kind of line would name it, and halves of images."""
    trace = folder / TRACE_FILE
    if trace not in files:
        return files
    unnamed = {path.stem.encode() for path in files if path.suffix == ".png"}
    if unnamed:
        with trace.open("rb") as file:
            for line in file:
                unnamed = {stem for stem in unnamed if stem not in line}
                if not unnamed:
                    break
    return tuple(path for path in files if path != trace and (path.suffix == ".part" or path.stem.encode() in unnamed))


def _in_use(folder: Path) -> bool:
    try:
        return is_held(folder / TRACE_FILE)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime < FRESH_SECONDS
        return True
    except OSError:
        return True
