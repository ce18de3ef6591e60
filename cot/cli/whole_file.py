"""A file that a command writes whole, or leaves as it was."""

import contextlib
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from cot.errors import DataError, UsageError, reason


def write(text: str, out: Path | None) -> None:
    """Write a file and say so, or write to stdout if there is none or it is `-`. Raises as `whole_file` does."""
    if out is None or str(out) == "-":
        sys.stdout.write(text)
        return
    with whole_file(out) as path:
        path.write_text(text, encoding="utf-8", newline="\n")
    typer.echo(f"wrote {out}", err=True)


def check_free(out: Path, option: str = "") -> None:
    """Raise UsageError for a file that would take the place of a run's or of a `trace.jsonl`. option: what names it."""
    from cot.evaluate.folder import run_of_file
    from cot.trace.record import TRACE_FILE

    place, got = out.resolve(), f"{option} {out}".lstrip()
    if run := run_of_file(place):
        raise UsageError(f"got {got}, which is a file of the run {run}; expected one that is none of it")
    if place.name == TRACE_FILE and place.exists():
        raise UsageError(f"got {got}, which is a trace; expected a file of another name")


def check_outs(outs: dict[str, Path | None]) -> None:
    """Raise UsageError, before anything is read or written, for a file that would take the place of another, and
    DataError for one in a folder that is not there."""
    taken: dict[Path, str] = {}
    for option, out in outs.items():
        if out is None:
            continue
        check_free(out, option)
        place = out.resolve()
        if place in taken:
            raise UsageError(f"got {out} for {taken[place]} and for {option}; expected a file of its own for each")
        taken[place] = option
        if not place.parent.is_dir():
            raise _unwritable(out, os.strerror(errno.ENOENT))


@contextlib.contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to; it takes the place of `out` when all went well, and else is removed.

    A link stays one, and what is no ordinary file, such as a pipe, is itself what to write to.
    Raises DataError in place of an OSError, also of the block's own, and UsageError as `check_free` does.
    """
    check_free(out)
    ordinary = out.is_file() or not out.exists()
    target = out.resolve() if ordinary else out
    path = target.with_name(f".cot-{secrets.token_hex(4)}.tmp") if ordinary else target
    try:
        if ordinary and target.exists():
            # What only its owner may read stays so, and is so from the beginning.
            path.touch(mode=0o600)
        yield path
        if ordinary:
            if target.exists():
                shutil.copymode(target, path)
            os.replace(path, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(out, error.strerror or reason(error)) from error
    finally:
        if ordinary:
            path.unlink(missing_ok=True)


def _unwritable(out: Path, why: str) -> DataError:
    return DataError(f"cannot write {out}: {why}; expected a file in a folder that can be written to")
