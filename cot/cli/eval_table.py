"""The tables that `cot eval` prints: what each task came to, and its categories by strategy.

In: summaries, one for each thing that was taken from the model. Out: text. Names come from files, so they are made
plain.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from cot.evaluate.ablation import NO_ABLATION
from cot.evaluate.part import CategoryScore, GroupScore, Part
from cot.evaluate.summary import Summary
from cot.trace.plain import plain

_ALL: Final = "all"
_TOKENS: Final = "tokens a sample"
_FAITHFULNESS: Final = "faithfulness"
_FIGURES: Final = (_ALL, _TOKENS, _FAITHFULNESS, "calibration error")


def score_table(summaries: Sequence[Summary]) -> str:
    """The parts, a line each, with a head; with the ablation where there are several summaries.

    Scores are in percent, intervals 95%. Below a part stand its group scores, which count groups in place of samples.
    """
    several = len(summaries) > 1
    head = ["task", "strategy", *(["ablation"] if several else []), "n", "score", "95%", "correct", "partial", "wrong",
            "unparsed", "errored", "tokens in", "out", "calls"]  # fmt: skip
    rows = []
    for summary in summaries:
        ablation = [summary.ablation or NO_ABLATION] if several else []
        for part in summary.parts:
            rows.append([part.task, part.strategy, *ablation, *_figures(part)])
            for group in part.group_scores:
                rows.append([f"{part.task}: {group.name}", part.strategy, *ablation, *_group_figures(group)])
    return _aligned([head, *(sorted(rows, key=lambda row: row[:2]) if several else rows)], left=2 + several)


def category_table(summaries: Sequence[Summary], strategies: Sequence[str]) -> str:
    """Categories by strategy, with the ablation where there are several summaries; empty where no task has categories.

    A line for each category of a task, one for all of it, and three for what its answers cost and are worth: tokens
    of prompts and answers a sample, faithfulness of the steps, and expected calibration error of the confidence. Below
    several tasks stand the tokens over all of them.
    Scores are whole percents with their 95% interval.
    """
    if not any(part.categories for summary in summaries for part in summary.parts):
        return ""
    several = len(summaries) > 1
    lines = [["task", "category", *(["ablation"] if several else []), "n", *strategies]]
    tasks = sorted({part.task for summary in summaries for part in summary.parts})
    for task in tasks:
        of_task = {summary.ablation: {p.strategy: p for p in summary.parts if p.task == task} for summary in summaries}
        names = sorted({one.category for parts in of_task.values() for p in parts.values() for one in p.categories})
        for label, is_category in (*((name, True) for name in names), *((figure, False) for figure in _FIGURES)):
            for ablation, parts in of_task.items():
                cells = [_cell(parts[name], label, is_category) if name in parts else "" for name in strategies]
                if any(cells):
                    n = _n(next(iter(parts.values())), label, is_category)
                    shown = [ablation or NO_ABLATION] if several else []
                    lines.append([task, label or "none", *shown, n, *cells])
    for summary in summaries if len(tasks) > 1 else ():
        overall = [_tokens([part for part in summary.parts if part.strategy == name]) for name in strategies]
        lines.append(["all tasks", _TOKENS, *([summary.ablation or NO_ABLATION] if several else []), "", *overall])
    return _aligned(lines, left=2 + several)


def figures_table(summaries: Sequence[Summary]) -> str:
    """What metrics say beyond a mean, a table for each: precision and F1 of POPE, accuracy+ of MME; empty without.

    Shares are in percent; `score` is that of MME, a sum of percents.
    """
    several = len(summaries) > 1
    parts = [(summary.ablation or NO_ABLATION, part) for summary in summaries for part in summary.parts if part.figures]
    tables = []
    for metric in dict.fromkeys(part.metric for _, part in parts):
        told = [(ablation, part, part.figures or {}) for ablation, part in parts if part.metric == metric]
        names = list(dict.fromkeys(name for *_, groups in told for figures in groups.values() for name in figures))
        head = ["task", "strategy", *(["ablation"] if several else []), "category"]
        lines = [[*head, *(name.replace("_", " ") for name in names)]]
        for ablation, part, groups in told:
            shown = [part.task, part.strategy, *([ablation] if several else [])]
            for category, figures in groups.items():
                label = category or ("all" if len(groups) == 1 else "none")
                lines.append(
                    [*shown, label, *(_figure(name, figures[name]) if name in figures else "" for name in names)]
                )
        tables.append(_aligned(lines, left=3 + several))
    return "\n\n".join(tables)


def percent(score: float | None) -> str:
    """`87.5%`; a dash where there is no score."""
    return "-" if score is None else f"{100 * score:.1f}%"


def interval_text(interval: tuple[float, float] | None, *, signed: bool = False) -> str:
    """`[85.1, 89.6]`, in percent; `-` for none. signed: of a difference, `[-3.3, +13.3]`."""
    if interval is None:
        return "-"
    low, high = (f"{100 * bound:{'+' if signed else ''}.1f}" for bound in interval)
    return f"[{low}, {high}]"


def _figure(name: str, value: float | int | None) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if name == "score" and value is not None else percent(value)


def _figures(part: Part) -> list[str]:
    usage = (part.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "calls"))
    n, *others = (str(figure) for figure in (part.n, *part.counts.values(), *usage))
    return [n, percent(part.score), interval_text(part.interval), *others]


def _group_figures(group: GroupScore) -> list[str]:
    counts = (str(group.right), "", str(group.scored - group.right), "", str(group.n - group.scored))
    return [str(group.n), percent(group.score), interval_text(group.interval), *counts, "", "", ""]


def _cell(part: Part, label: str, is_category: bool) -> str:
    """What stands under a strategy, in the line of a category or of a figure of the whole part."""
    if is_category:
        one = _category(part, label)
        return _score(one.score, one.interval) if one else ""
    if label == _ALL:
        return _score(part.score, part.interval)
    if label == _TOKENS:
        return _tokens([part])
    if label == _FAITHFULNESS:
        return "" if part.steps is None or part.steps.faithfulness is None else f"{part.steps.faithfulness:.1%}"
    return "" if part.calibration_error is None else f"{part.calibration_error:.3f}"


def _tokens(parts: Sequence[Part]) -> str:
    """Mean over all samples; empty where there are none."""
    return f"{sum(part.tokens for part in parts) / sum(part.n for part in parts):.0f}" if parts else ""


def _category(part: Part, name: str) -> CategoryScore | None:
    return next((one for one in part.categories if one.category == name), None)


def _n(part: Part, label: str, is_category: bool) -> str:
    """Samples that a score is of; all strategies were asked the same ones."""
    one = _category(part, label) if is_category else None
    return str(one.n) if one else str(part.n) if label == _ALL else ""


def _score(score: float | None, interval: tuple[float, float] | None) -> str:
    if score is None:
        return "-"
    if interval is None:
        return f"{100 * score:.0f}"
    return f"{100 * score:.0f} [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"


def _aligned(rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Rows in columns, of which the first `left` are flush left."""
    return "\n".join(_lines([[plain(cell, one_line=True) for cell in row] for row in rows], left))


def _lines(rows: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell_len(cell))
            cells.append(cell + pad if column < left else pad + cell)
        yield "  ".join(cells).rstrip()
