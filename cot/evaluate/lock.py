"""Locks on files, which end with the process that holds them, whatever ends it."""

import sys
import time
from pathlib import Path
from typing import IO, Final

if sys.platform != "win32":
    import fcntl

_SECONDS_BETWEEN_TRIES: Final = 0.1


def take_lock(path: Path, *, shared: bool = False, wait_seconds: float = 0.0) -> IO[bytes] | None:
    """Lock a file, which is made if missing, until what is returned is closed; None if another process holds it.

    shared: others may share it. Where there are no locks, it counts as locked. Raises OSError if it cannot be opened.
    """
    # Some network file systems let only a readable file be shared, and only a writable one be locked.
    file = path.open("a+b")
    end = time.monotonic() + wait_seconds
    while not _locked(file, shared):
        if time.monotonic() >= end:
            file.close()
            return None
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return file


def _locked(file: IO[bytes], shared: bool) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks is no reason not to write.
        return True
    return True
