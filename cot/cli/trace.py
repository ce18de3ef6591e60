"""`cot trace`: look at recorded runs."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cot.cli import trace_files, trace_replay
from cot.cli.options import TraceDir
from cot.cli.table import columns, console
from cot.cli.trace_options import PATH, moment, opened, traces_folder
from cot.cli.whole_file import write
from cot.errors import UsageError, did_you_mean, quoted

if TYPE_CHECKING:
    from cot.trace.listing import Listed

_HEADINGS: Final = ("id", "started (UTC)", "ended", "strategy", "model", "question", "answer")
_WIDTHS: Final = (8, 16, 10, 9, 10, 0, 0)
"""Of the columns, at most, on a terminal; what is left is for question and answer."""

app = typer.Typer(help="Look at recorded runs.", no_args_is_help=True)


@app.callback()
def _trace() -> None:
    """Look at recorded runs."""


@app.command("list")
def list_(
    text: Annotated[str, typer.Option(help="Only with this in question or answer, whatever the case.")] = "",
    since: Annotated[str | None, typer.Option(help="Not before: 2026-01-31, or 7d for the last seven days.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this date (UTC), or this long ago.")] = None,
    model: Annotated[str, typer.Option(help="Only with this in the model's name.")] = "",
    strategy: Annotated[str, typer.Option(help="Only of this strategy.")] = "",
    stop_reason: Annotated[
        str, typer.Option(help="Only those that ended so: answered, unparsed, …, unfinished, unreadable.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="Print at most this many; 0 for all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    trace_dir: TraceDir = None,
) -> None:
    """List runs, newest first. The id names a run to the other verbs."""
    from cot.trace.listing import ENDINGS, Wanted, list_traces

    if stop_reason and stop_reason not in ENDINGS:
        raise UsageError(f"--stop-reason: got {stop_reason[:60]!r}; expected one of {', '.join(ENDINGS)}")
    now = datetime.now(UTC)
    wanted = Wanted(moment(since, "--since", now=now), moment(until, "--until", now=now), model, strategy, stop_reason,
                    text)  # fmt: skip
    with traces_folder(trace_dir) as folder:
        found = list(list_traces(folder, wanted, limit=limit + 1 if limit else None))
    shown = found[:limit] if limit else found
    if as_json:
        typer.echo(json.dumps([_row(listed) for listed in shown], indent=2))
    elif shown:
        sys.stdout.writelines(f"{line}\n" for line in columns(_HEADINGS, map(_cells, shown), most=_WIDTHS))
    if not shown:
        said = f"no such trace in {folder}" if wanted != Wanted() else f"no trace in {folder} yet"
        typer.echo(said + _unknown(strategy), err=True)
    elif len(found) > len(shown):
        typer.echo(f"there are more than {limit}; see them all with --limit 0", err=True)


@app.command()
def show(
    path: Annotated[str, PATH],
    full: Annotated[
        bool, typer.Option("--full", help="Whole prompts and replies, constraints, and each token's probability.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a tree.")] = False,
    trace_dir: TraceDir = None,
) -> None:
    """Print a run: what was asked, each call with its prompt and raw text, each step, and the end."""
    trace = opened(path, trace_dir)
    if as_json:
        from cot.trace.read import as_json as json_of

        typer.echo(json.dumps(json_of(trace), indent=2))
        return
    from cot.trace.show import trace_tree

    console().print(trace_tree(trace, full=full))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="An id, a run folder, its trace.jsonl, or: last.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    html: Annotated[Path | None, typer.Option(help="Write a page to this file instead.")] = None,
    trace_dir: TraceDir = None,
) -> None:
    """Print what differs between two runs, step by step: plan, values, prompts and cost."""
    from cot.trace.diff import diff_traces

    found = diff_traces(opened(a, trace_dir), opened(b, trace_dir))
    if html is not None:
        from cot.trace.page import diff_page

        write(diff_page(found), html)
        return
    from cot.trace.show_diff import diff_lines

    console().print(diff_lines(found))


for command in (trace_files.html, trace_replay.replay, trace_files.export, trace_files.prune, trace_files.schema):
    app.command()(command)


def _unknown(strategy: str) -> str:
    """Words on a strategy that is not known; no error, since a trace may be of one that is gone or elsewhere."""
    from cot.planner.names import strategy_names

    if not strategy or strategy in (known := strategy_names()):
        return ""
    return f"; no strategy is called {quoted(strategy)}{did_you_mean(strategy, known)}; known: {', '.join(known)}"


def _row(listed: "Listed") -> dict[str, Any]:
    return {
        "path": str(listed.path),
        "started_at": listed.started_at and listed.started_at.isoformat(),
        "question": listed.question,
        "answer": listed.answer,
        "model": listed.model,
        "strategy": listed.strategy,
        "stop_reason": listed.stop_reason,
        "completion_tokens": listed.tokens,
        "seconds": listed.seconds,
    }


def _cells(listed: "Listed") -> tuple[str, ...]:
    from cot.trace.plain import plain

    name = os.path.basename(os.path.dirname(listed.file))
    started = "" if listed.started_at is None else listed.started_at.isoformat(" ", "minutes")[:16]
    cells = (name[-8:] if started else name, started, listed.stop_reason, listed.strategy, listed.model)
    return tuple(plain(cell, one_line=True) for cell in (*cells, listed.question, listed.answer))
