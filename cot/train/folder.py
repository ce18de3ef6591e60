"""The folders that training writes: that they can be written, by one process at a time, and whole.

In: what the command line names. Out: a folder that is there, held, or filled. It knows nothing of what is written.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cot.errors import DataError, UsageError
from cot.evaluate.lock import take_lock

LOCK_FILE: Final = ".lock"


def make_folder(folder: Path, option: str) -> None:
    """Make a folder, and see that files can be written there. Raises UsageError, naming the option, if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{option} {folder} cannot be written: {error.strerror}; name another folder") from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder for as long as the block takes. Raises DataError if another process does."""
    lock = take_lock(folder / LOCK_FILE)
    if lock is None:
        raise DataError(f"another process trains in {folder}; wait for it, or name another --work")
    with lock:
        yield


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """A new folder to write files to; they take the places of those in `folder`, or make it, when all are whole.

    What else is in `folder` stays, and all of it if the block raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as new:
        yield Path(new)
        for path in Path(new).iterdir():
            os.replace(path, folder / path.name)
