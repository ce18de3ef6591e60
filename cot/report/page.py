"""Writes a report as one HTML file that needs nothing else.

In: a `Report`. Out: the text of a page, made harmless by `cot.trace.safe_page`. Scores and plots are there without a
script; the list of samples is data that the page's one script shows, as text, a page at a time.
"""

from collections.abc import Iterable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import jinja2

from cot.compare.tally import RIGHT_FROM
from cot.report.collect import Report, Row
from cot.report.data_images import DataImages
from cot.report.plots import plots
from cot.report.sample_view import Pictures, step_lines, trace_of
from cot.trace.plain import escaped
from cot.trace.safe_page import PAGES, asset, page_environment, render

_FOLDER: Final = Path(__file__).resolve().parent / "pages"
_TEXT_CHARACTERS: Final = 2000
_MAX_TEXTS: Final = 64
"""Choices or ground truths of a sample that are shown."""


def report_page(report: Report, *, images: bool = True, data: DataImages | None = None) -> str:
    """The page. Traces of the samples in `report.rows` are read for their images and steps.

    images: whether there are any. data: where those come from that no trace has; None to leave them out.
    """
    pictures = Pictures()
    rows = [_row(row, report, pictures if images else None) for row in report.rows]
    notes = list(report.notes)
    if images and data:
        notes += _add_images(rows, report, pictures, data)
    if pictures.full:
        notes.append("not every sample has its image here, which keeps the page small")
    shown = {"columns": [column.name for column in report.columns], "pictures": pictures.urls, "rows": rows}
    return render(
        _environment(),
        "report.html.jinja",
        style=asset(PAGES / "style.css") + asset(_FOLDER / "report.css"),
        script=asset(_FOLDER / "report.js"),
        report=report,
        notes=notes,
        images=images,
        data=_harmless(shown),
        plots={task: plots(report, task) for task in report.tasks},
        RIGHT_FROM=RIGHT_FROM,
    )


def _add_images(rows: list[dict[str, Any]], report: Report, pictures: Pictures, data: DataImages) -> list[str]:
    """Give samples without a picture that of the data; what a reader must know."""
    for task in report.tasks:
        wanted = {
            number: row.first
            for number, row in enumerate(report.rows)
            if row.first.task == task and rows[number]["picture"] is None
        }
        if not wanted:
            continue
        runs = [column.chosen.run for column in report.columns if task in column.details]
        for number, source in data.find(task, wanted, runs):
            if pictures.full:
                break
            rows[number]["picture"] = pictures.of_data(source, data.limits)
    bad = pictures.problems
    return [*data.problems, *([f"{len(bad)} images cannot be shown, the first: {bad[0]}"] if bad else [])]


def _row(row: Row, report: Report, pictures: Pictures | None) -> dict[str, Any]:
    picture: int | None = None
    answers: list[dict[str, Any] | None] = []
    for number, column in enumerate(report.columns):
        result = row.results.get(number)
        if result is None:
            answers.append(None)
            continue
        trace = trace_of(column.chosen, result)
        if trace and pictures and picture is None:
            picture = pictures.of_trace(trace)
        answers.append(
            {
                "status": result.status,
                "answer": _cut(result.answer) if result.answer is not None else None,
                "score": result.score,
                "confidence": round(result.confidence, 4) or None,
                "why": _cut(result.explanation),
                "tokens": result.usage.get("prompt_tokens", 0) + result.usage.get("completion_tokens", 0),
                "seconds": round(result.seconds, 3),
                "steps": step_lines(trace) if trace else [],
                "trace": str(column.chosen.run.trace_folder(result)) if trace else None,
            }
        )
    first = row.first
    return {
        "task": _cut(first.task),
        "id": _cut(first.id),
        "category": _cut(first.category),
        "question": _cut(first.question),
        "choices": _some(first.choices),
        "targets": _some(dict.fromkeys(first.targets)),
        "picture": picture,
        "answers": answers,
    }


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"


def _some(texts: Iterable[str]) -> list[str]:
    found = [_cut(text) for text in islice(texts, _MAX_TEXTS + 1)]
    return found if len(found) <= _MAX_TEXTS else [*found[:-1], "…"]


def _harmless(value: Any) -> Any:
    """Plain data with invisible and control characters in its texts written out."""
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else escaped(value)
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    return {key: _harmless(one) for key, one in value.items()} if isinstance(value, dict) else value


@cache
def _environment() -> jinja2.Environment:
    environment = page_environment(_FOLDER)
    environment.filters |= {"score": _score, "interval": _interval, "signed": _signed}
    return environment


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"[{100 * value[0]:.1f}, {100 * value[1]:.1f}]"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"
