"""`cot runs`: which evaluation runs there are, and what one came to."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cot.cli.table import add_row, console, table

if TYPE_CHECKING:
    from rich.table import Table

    from cot.compare import Detail, Listed, StoredRun

app = typer.Typer(help="Look at evaluation runs.", no_args_is_help=True)


@app.callback()
def _runs() -> None:
    """Look at evaluation runs."""


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the runs are.")] = Path("runs"),
    task: Annotated[str, typer.Option(help="Only runs of this task, and only its scores.")] = "",
    model: Annotated[str, typer.Option(help="Only with this in the model's name.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Print at most this many runs; 0 for all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List runs, newest first: a line for each task and strategy, with its score and 95% interval."""
    from cot.compare import find_runs
    from cot.trace.plain import plain

    found = find_runs(folder, task=task, model=model)
    shown = [run.look() for run in (found[:limit] if limit else found)]
    if as_json:
        typer.echo(json.dumps([run.model_dump(mode="json") for run in shown], indent=2))
    elif shown:
        console().print(_listed(shown, task))
        for run in shown:
            # In the table it would leave no room for anything else.
            if run.problem:
                typer.echo(f"unreadable: {plain(run.problem, one_line=True)}", err=True)
    if not shown:
        typer.echo(f"no such run in {folder}; make one with: cot eval TASK", err=True)
    elif len(found) > len(shown):
        typer.echo(f"there are {len(found)} runs; see them all with --limit 0", err=True)


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print what a run is and came to: scores, counts, categories, costs, and why answers are missing."""
    from cot.compare import detail
    from cot.compare.stored import open_run

    opened = open_run(run)
    found = detail(opened)
    if as_json:
        head = {"path": str(run), "state": opened.state, "done": opened.done, "total": opened.total}
        definition = opened.definition.model_dump(mode="json")
        typer.echo(json.dumps({**head, "definition": definition, **found.model_dump(mode="json")}, indent=2))
        return
    _print(opened, found)


def _listed(runs: "list[Listed]", task: str) -> "Table":
    from cot.cli.eval_table import interval_text, percent

    made = table("run", "started (UTC)", "state", "model", "task", "strategy", "n", "score", "95%", "unparsed",
                 "errored")  # fmt: skip
    for run in runs:
        state = run.state if run.state in ("finished", "unreadable") else f"{run.state} {run.done}/{run.total}"
        head = (run.path, run.started_at[:16].replace("T", " "), state, run.model)
        for part in run.parts:
            if task in ("", part.task):
                counts = (part.counts.get("unparsed", 0), part.counts.get("errored", 0))
                score = (part.n, percent(part.score), interval_text(part.interval))
                strategy = f"{part.strategy}, {run.ablation}" if run.ablation else part.strategy
                add_row(made, *head, part.task, strategy, *score, *counts)
        if not run.parts:
            add_row(made, *head, ", ".join(run.tasks))
    return made


def _print(run: "StoredRun", found: "Detail") -> None:
    from cot.cli.eval_table import figures_table, interval_text, percent, score_table
    from cot.cli.words import counted, pace
    from cot.evaluate.summary import Summary

    definition, out = run.definition, console()
    head = table("", "")
    add_row(head, "run", run.path)
    add_row(head, "state", f"{run.state}: {run.done} of {run.total} results")
    add_row(head, "started", definition.made_with.started_at)
    add_row(head, "model", f"{definition.model} ({definition.dtype}, {definition.quantization})")
    if judge := definition.judge:
        took: Counter[str] = sum((Counter(one.part.judge_usage) for one in found.parts), Counter())
        cost = f"{counted(took['calls'], 'call')}, {took['prompt_tokens']} tokens in, {took['completion_tokens']} out"
        add_row(head, "judge", f"{judge.model} ({judge.dtype}, {judge.quantization}): {cost}")
    if found.wall_seconds is not None:
        add_row(head, "wall clock", pace(found.wall_seconds, run.done))
    add_row(
        head,
        "settings",
        ", ".join(f"{name} {_short(value)}" for name, value in _settings(definition.model_dump()).items()),
    )
    head.show_header = False
    out.print(head)
    out.print()
    summary = Summary(
        complete=run.summary is not None,
        model=definition.model,
        tasks=definition.tasks,
        ablation=definition.ablation,
        parts=tuple(one.part for one in found.parts),
    )
    out.print(score_table([summary]))
    if figures := figures_table([summary]):
        out.print(f"\n{figures}")
    categories = table("task", "strategy", "category", "n", "score", "95%")
    reasons = table("task", "strategy", "status", "n", "why")
    for one in found.parts:
        for category in one.categories:
            score = (category.n, percent(category.score), interval_text(category.interval))
            add_row(categories, one.part.task, one.part.strategy, category.category, *score)
        for reason in one.reasons:
            add_row(reasons, one.part.task, one.part.strategy, reason.status, reason.n, reason.explanation)
    for made in (categories, reasons):
        if made.row_count:
            out.print()
            out.print(made)


def _settings(definition: dict[str, Any]) -> dict[str, Any]:
    names = ("revision", "language", "seed", "shuffle", "ablation")
    most = {name: max((task[name] or 0 for task in definition["tasks"]), default=0) for name in ("limit", "shots")}
    said = {**{name: definition.get(name) for name in names}, **most}
    return {**{name: value for name, value in said.items() if value}, **definition["settings"]}


def _short(value: object) -> str:
    """A number that was fitted has more places than anybody reads."""
    return f"{round(value, 3):.15g}" if isinstance(value, float) else str(value)
