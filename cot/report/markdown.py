"""Writes a report as Markdown tables: scores, pairs, categories."""

import re

from cot.report.collect import Report
from cot.trace.plain import plain


def markdown(report: Report) -> str:
    """The report's figures. Names and texts are shown as they are, whatever they hold."""
    runs = "1 run" if len(report.columns) == 1 else f"{len(report.columns)} runs and strategies"
    parts = [f"# {runs} on {_text(', '.join(report.tasks))}\n"]
    if report.notes:
        parts.append("".join(f"- {_text(note)}\n" for note in report.notes))
    parts.append(_scores(report))
    if report.comparisons:
        parts.append(f"## Paired with {_text(report.columns[0].name)}\n\n{_pairs(report)}")
    if categories := _categories(report):
        parts.append(f"## By category\n\n{categories}")
    return "\n".join(parts)


def _scores(report: Report) -> str:
    rows = []
    for column in report.columns:
        for task, detail in column.details.items():
            part = detail.part
            tokens = (part.usage.get("prompt_tokens", 0) + part.usage.get("completion_tokens", 0)) / part.n
            model = column.chosen.run.definition.model
            rows.append([column.name, task, model, part.n, _share(part.score), _range(part.interval),
                         *part.counts.values(), f"{tokens:.0f}", f"{part.seconds / part.n:.2f}"])  # fmt: skip
            for group in part.group_scores:
                rows.append([column.name, f"{task}: {group.name}", model, group.n, _share(group.score),
                             _range(group.interval), group.right, "", group.scored - group.right, "",
                             group.n - group.scored, "", ""])  # fmt: skip
    head = ["run", "task", "model", "n", "score", "95%", "correct", "partial", "wrong", "unparsed", "errored",
            "tokens a sample", "seconds a sample, waiting included"]  # fmt: skip
    return _table(head, rows)


def _pairs(report: Report) -> str:
    rows = []
    for comparison in report.comparisons:
        for task in comparison.tasks:
            if found := task.overall:
                p = "–" if task.mcnemar_p is None else f"{task.mcnemar_p:.3g}"
                rows.append([comparison.b, task.task, found.n, _share(found.a), _share(found.b),
                             f"{100 * found.difference:+.1f}", _range(found.interval), found.better, found.worse,
                             p])  # fmt: skip
            for group in task.group_scores:
                rows.append([comparison.b, f"{task.task}: {group.name}", group.n, _share(group.a), _share(group.b),
                             f"{100 * group.difference:+.1f}", _range(group.interval), group.better, group.worse,
                             ""])  # fmt: skip
    head = ["run", "task", "pairs", "first", "this", "difference", "95%", "better", "worse", "McNemar p"]
    return _table(head, rows)


def _categories(report: Report) -> str:
    rows = [
        [column.name, task, one.category or "none", one.n, _share(one.score), _range(one.interval)]
        for column in report.columns
        for task, detail in column.details.items()
        for one in detail.categories
    ]
    return _table(["run", "task", "category", "n", "score", "95%"], rows) if rows else ""


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *([_text(str(cell)) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(text: str) -> str:
    """Plain text on one line that Markdown takes for nothing else."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", plain(text, one_line=True))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _range(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"[{100 * value[0]:.1f}, {100 * value[1]:.1f}]"
