"""The command `cot`: one file a verb. This one puts them together, and turns errors into exit codes.

A verb's file may be imported to show `cot --help`, so it imports what is slow (a model's
engine, training) inside its functions.

Exit codes: 0 done, 1 an error that was expected (`CotError`) or, silently, nobody reads the
output any more, 2 a wrong command line or setting, or a name that nothing has which is known by name (a strategy, task,
template or model), 130 interrupted, silently: the verbs say what there is to say.
"""

import io
import os
import sys
from typing import Annotated

import typer

from cot import __version__
from cot.cli import ask, calibrate, chat, compare, config, models, prompts, report, runs, trace, train
from cot.cli import eval as evaluation
from cot.cli.usage import usage_problem
from cot.errors import CotError, UsageError
from cot.streams import write_nowhere

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


app.command("ask")(ask.ask)
app.command("eval")(evaluation.evaluate_tasks)
app.command("compare")(compare.compare_runs)
app.command("report")(report.report_runs)
app.command("chat")(chat.chat)
app.command("calibrate")(calibrate.calibrate)
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(runs.app, name="runs")
app.add_typer(trace.app, name="trace")
app.add_typer(train.app, name="train")
app.add_typer(config.app, name="config")


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    arguments: without the program's name; the process's own if None.
    Raises KeyboardInterrupt only before and after the command itself.
    """
    _make_streams_usable()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except CotError as error:
        return _report(str(error), error.exit_code)
    except BrokenPipeError:
        write_nowhere(sys.stdout)
        return 1
    except OSError as error:
        write_nowhere(sys.stdout)
        from cot.source import shown

        place = f" ({shown(str(error.filename))})" if error.filename else ""
        return _report(f"the system refused: {error.strerror or error}{place}; free some space or check the path", 1)


def _run(arguments: list[str] | None) -> int:
    """Run one command line. Raises UsageError where it is wrong."""
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="cot", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
    except typer.TyperException as error:
        if problem := usage_problem(error, command, sys.argv[1:] if arguments is None else arguments):
            raise UsageError(problem) from error
        code = error.exit_code
    return code if isinstance(code, int) else int(code is not None)


def _make_streams_usable() -> None:
    """A stream that was closed on starting is empty, or is written nowhere; stdout escapes what its encoding lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It takes the place of the closed one, so that no other file is opened there.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _report(message: str, code: int) -> int:
    """One line of plain text on stderr, whatever the message holds."""
    from cot.trace.plain import plain

    try:
        typer.echo(f"error: {plain(message, one_line=True)}", err=True)
    except OSError:
        write_nowhere(sys.stderr)
    return code
