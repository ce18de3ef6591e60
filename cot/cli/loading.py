"""Says that a model is being loaded, where that takes long and somebody watches, and what to know of one that is.

In: a model's name, and what loads it. Out: lines on stderr; of slow loading none to other programs, which read it from
a pipe.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from cot.engine.base import Engine

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


def say_notes(engine: "Engine") -> None:
    """Say what is to be known of a model that was loaded, and whose templates it is asked with."""
    from cot.prompt import own_notes
    from cot.trace.plain import plain

    for note in (engine.info.note, *own_notes()):
        if note:
            typer.echo(f"note: {plain(note, one_line=True)}", err=True)


def _say(line: str) -> None:
    # Nobody can be told on a stream that is gone, which ends no loading.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
