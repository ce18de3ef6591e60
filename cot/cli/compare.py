"""`cot compare`: two runs, sample by sample."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.table import add_row, console, table

if TYPE_CHECKING:
    from rich.table import Table

    from cot.compare import Comparison
    from cot.compare.pairing import Flip, PairedScore, TaskComparison

RUN = "A run folder, or FOLDER:STRATEGY where the run has several."


def compare_runs(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help=RUN)],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="What it is compared with; may be the same folder.")],
    flips: Annotated[int, typer.Option(min=0, help="Show this many flips of each task and direction.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Compare two runs on the samples that both have: paired difference, flips, categories and cost.

    B - A is positive where RUN_B is better. An interval that excludes 0 is a difference beyond chance.
    Samples of one image alone have none.
    """
    from cot.compare import compare
    from cot.compare.stored import choose_two

    found = compare(*choose_two(a, b), max_flips=flips)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _print(found)


def _print(found: "Comparison") -> None:
    from cot.trace.plain import plain

    out = console()
    sides = table("", "run")
    sides.show_header = False
    add_row(sides, "A", found.a)
    add_row(sides, "B", found.b)
    for name, (first, second) in found.differing.items():
        add_row(sides, name, " -> ".join(_short(first, second)))
    for note in found.notes:
        add_row(sides, "note", note)
    out.print(sides)
    out.print()
    out.print(_scores(found))
    for task in found.tasks:
        if left_out := _unpaired(task):
            out.print(plain(left_out))
        out.print()
        out.print(_cost(task))
        for direction, shown, n in (
            ("worse", task.worse, task.overall.worse if task.overall else 0),
            ("better", task.better, task.overall.better if task.overall else 0),
        ):
            if shown:
                out.print()
                out.print(f"{direction} in B ({len(shown)} of {n}):")
                out.print(_flips(shown))


def _scores(found: "Comparison") -> "Table":
    made = table("task", "category", "n", "A", "B", "B - A", "95%", "better", "worse", "McNemar p")
    for task in found.tasks:
        if task.overall is None:
            add_row(made, task.task, "", 0, "-", "-")
            continue
        p = "-" if task.mcnemar_p is None else f"{task.mcnemar_p:.3g}"
        add_row(made, task.task, "", *_paired(task.overall), p)
        for category in task.categories:
            add_row(made, task.task, category.category, *_paired(category))
        for group in task.group_scores:
            add_row(made, f"{task.task}: {group.name}", "", *_paired(group))
    return made


def _paired(score: "PairedScore") -> tuple[object, ...]:
    from cot.cli.eval_table import interval_text

    return (
        score.n, f"{100 * score.a:.1f}%", f"{100 * score.b:.1f}%", f"{100 * score.difference:+.1f}",
        interval_text(score.interval, signed=True), score.better, score.worse,
    )  # fmt: skip


def _cost(task: "TaskComparison") -> "Table":
    from cot.trace.plain import plain

    made = table(plain(f"cost of {task.task}", one_line=True), "A", "B", "B / A")
    names = [name for name in task.cost_a.usage if name in task.cost_b.usage]
    rows = [(name.replace("_", " "), task.cost_a.usage[name], task.cost_b.usage[name]) for name in names]
    for name, first, second in rows:
        add_row(made, name, f"{first:,}", f"{second:,}", _times(first, second))
    # Samples run at the same time, so that a sum of seconds would be none of the run.
    waited = [cost.seconds / max(1, task.pairs) for cost in (task.cost_a, task.cost_b)]
    add_row(made, "seconds a sample, waiting included", *(f"{mean:,.2f}" for mean in waited), _times(*waited))
    walls = [cost.wall_seconds for cost in (task.cost_a, task.cost_b)]
    if any(wall is not None for wall in walls):
        shown = ["-" if wall is None else f"{wall:,.2f}" for wall in walls]
        add_row(made, "seconds of wall clock", *shown, _times(*walls))
    return made


def _times(first: float | None, second: float | None) -> str:
    return f"{second / first:.2f}" if first and second is not None else "-"


def _unpaired(task: "TaskComparison") -> str:
    counts = {
        "only in A": task.only_a, "only in B": task.only_b, "errored in A": task.errored_a,
        "errored in B": task.errored_b,
    }  # fmt: skip
    said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return f"{task.task}: left out of the scores: {said}" if said else ""


def _flips(flips: "tuple[Flip, ...]") -> "Table":
    traced = any(flip.a.trace or flip.b.trace for flip in flips)
    made = table("id", "category", "question", "ground truth", "A", "B", *(("traces",) if traced else ()))
    for flip in flips:
        answers = (flip.a.status if flip.a.answer is None else flip.a.answer,
                   flip.b.status if flip.b.answer is None else flip.b.answer)  # fmt: skip
        traces = " ".join(trace for trace in (flip.a.trace, flip.b.trace) if trace)
        add_row(made, flip.id, flip.category, flip.question, " | ".join(flip.targets), *answers,
                *((traces,) if traced else ()))  # fmt: skip
    return made


def _short(first: object, second: object) -> list[str]:
    """Values that differ, each shown from just before the first difference where it is long."""
    texts = ["none" if value is None else str(value) for value in (first, second)]
    places = (place for place, (one, other) in enumerate(zip(*texts, strict=False)) if one != other)
    same = next(places, min(map(len, texts)))
    begin = same - 12 if same > 40 else 0
    return [
        text if len(text) <= 60 else f"{'…' * (begin > 0)}{text[begin:][:30]}{'…' * (len(text) > begin + 30)}"
        for text in texts
    ]
