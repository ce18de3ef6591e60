"""A file that a command writes whole, or leaves as it was."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from cot.errors import DataError, reason


def write(text: str, out: Path | None) -> None:
    """Write a file and say so, or write to stdout if there is none or it is `-`. Raises DataError if it cannot be."""
    if out is None or str(out) == "-":
        sys.stdout.write(text)
        return
    with whole_file(out) as path:
        path.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"wrote {out}", err=True)


@contextlib.contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to; it takes the place of `out` when all went well, and else is removed.

    A link stays one, and what is no ordinary file, such as a pipe, is itself what to write to.
    Raises DataError in place of an OSError, also of the block's own.
    """
    ordinary = out.is_file() or not out.exists()
    target = out.resolve() if ordinary else out
    path = target.with_name(f".cot-{secrets.token_hex(4)}.tmp") if ordinary else target
    try:
        yield path
        if ordinary:
            os.replace(path, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        said = error.strerror or reason(error)
        raise DataError(f"cannot write {out}: {said}; expected a file in a folder that can be written to") from error
    finally:
        if ordinary:
            path.unlink(missing_ok=True)
