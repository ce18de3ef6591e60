"""`cot trace`: look at recorded runs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at recorded runs.", no_args_is_help=True)


@app.callback()
def _trace() -> None:
    """Look at recorded runs."""


@app.command()
def show(
    path: Annotated[str, typer.Argument(metavar="PATH|last", help="A run folder, its trace.jsonl, or: last.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a tree.")] = False,
    trace_dir: Annotated[Path | None, typer.Option(help="Where `last` looks, instead of the setting.")] = None,
) -> None:
    """Print a run: what was asked, each call with its prompt and raw text, each step, and the end."""
    from cot.config import load_settings
    from cot.trace.read import find_trace, read_trace

    settings, _ = load_settings({"trace_dir": trace_dir})
    trace = read_trace(find_trace(path, settings.trace_dir))
    if as_json:
        events = [event.model_dump(mode="json") for event in trace.events]
        typer.echo(json.dumps({"path": str(trace.path), "torn": trace.torn, "events": events}, indent=2))
        return

    from rich.console import Console

    from cot.trace.show import trace_tree

    # A pipe has no width: nothing is wrapped there, so that it can be searched line by line.
    width = None if sys.stdout.isatty() else 10_000
    Console(markup=False, highlight=False, emoji=False, width=width).print(trace_tree(trace))
