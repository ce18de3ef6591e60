"""Streams that cannot be written: a pipe that nobody reads any more, a full disk."""

import contextlib
import os
from typing import IO


def write_nowhere(stream: IO[str]) -> None:
    """If a stream cannot be written, write it nowhere: Python flushes once more on exit, and would complain."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
