"""Says that a model is being loaded, where that takes long and somebody watches.

In: a model's name, and what loads it. Out: a line on stderr. Other programs, which read stderr from a pipe, get none.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

PATIENCE_SECONDS: Final = 2.0


@contextlib.contextmanager
def said_if_slow(model: str, *, quiet: bool = False) -> Iterator[None]:
    """Let what stands inside load `model`; after `PATIENCE_SECONDS` a terminal is told so, unless it is to be quiet."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from cot.trace.plain import plain

    timer = threading.Timer(PATIENCE_SECONDS, _say, [f"loading {plain(model, one_line=True)} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # A line that was begun is whole before anything else is printed.
        timer.join()


def _say(line: str) -> None:
    # Nobody can be told on a stream that is gone, which ends no loading.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
