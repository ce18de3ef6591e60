"""The command `cot`: one file a verb. This one puts them together, and turns errors into exit codes.

A verb's file may be imported to show `cot --help`, so it imports what is slow (a model's
engine, training) inside its functions.

Exit codes: 0 done, 1 an error that was expected (`CotError`) or, silently, nobody reads the
output any more, 2 a wrong command line or setting, 130 interrupted.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from typing import Annotated

import typer

from cot import __version__
from cot.cli import config
from cot.errors import CotError

app = typer.Typer(
    name="cot",
    help="Answer questions about images by reasoning in visible steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cot {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Answer questions about images by reasoning in visible steps."""


def _add_verbs() -> None:
    for name in ("ask", "trace", "train"):
        if importlib.util.find_spec(f"cot.cli.{name}") is None:
            continue
        verb = importlib.import_module(f"cot.cli.{name}")
        if hasattr(verb, "app"):
            app.add_typer(verb.app, name=name)
        else:
            app.command(name)(getattr(verb, name))
    app.add_typer(config.app, name="config")


_add_verbs()


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    arguments: without the program's name; the process's own if None.
    """
    try:
        try:
            app(args=arguments, prog_name="cot")
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        sys.stdout.flush()
        return code
    except CotError as error:
        return _report(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _report("interrupted", 130)
    except BrokenPipeError:
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        place = f" ({error.filename})" if error.filename else ""
        return _report(f"the system refused: {error.strerror or error}{place}; free some space or check the path", 1)


def _discard_output() -> None:
    """If stdout cannot be written, write it nowhere: Python flushes once more on exit, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            target = sys.stdout.fileno()
            os.dup2(os.open(os.devnull, os.O_WRONLY), target)


def _report(message: str, code: int) -> int:
    """One line on stderr, whatever the message holds."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
