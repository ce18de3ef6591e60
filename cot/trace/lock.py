"""Tells whether a trace is still being written.

In: an open trace file, or the path of one. Out: a lock that ends with the process that holds it, whatever
ends it; or whether somebody holds it. Where the system has no such locks, a trace that changed a short while
ago counts as being written.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import IO, Any, Final

if sys.platform != "win32":
    import fcntl

QUIET_SECONDS: Final = 3600.0
"""Without locks: how long a file must not have changed."""


def hold(file: IO[Any]) -> bool:
    """Hold the lock until the file is closed; False if somebody else does. Without locks nothing happens."""
    if sys.platform != "win32":
        # A file system without locks is no reason not to write.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody writes the file. Raises OSError if it cannot be opened."""
    if sys.platform == "win32":
        return time.time() - path.stat().st_mtime < QUIET_SECONDS
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - os.fstat(handle).st_mtime < QUIET_SECONDS
    finally:
        os.close(handle)
    return False
