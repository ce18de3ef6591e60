"""Writes every result as a line of CSV, read one at a time."""

import csv
import json
from collections.abc import Sequence
from typing import IO, Any, Final

from cot.compare import Chosen
from cot.evaluate.result import SampleResult

TOKENS: Final = ("prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens", "calls")
COLUMNS: Final = (
    "run", "task", "strategy", "id", "group", "category", "question", "choices", "targets", "answer", "status", "score",
    "confidence", "stop_reason", "explanation", *TOKENS, "seconds", "trace",
)  # fmt: skip


def write_csv(chosen: Sequence[Chosen], file: IO[str]) -> None:
    """Write all results, with a line of names first. Lists are JSON; what is missing is empty. Raises DataError.

    A text that a spreadsheet would take for a formula has an apostrophe before it, as OWASP advises against CSV
    injection; numbers have none.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in chosen:
        for result in one.run.results(one.strategy):
            writer.writerow([_cell(value) for value in _values(one, result)])


def _values(chosen: Chosen, result: SampleResult) -> list[Any]:
    return [
        str(chosen.run.path), result.task, result.strategy, result.id, result.group, result.category, result.question,
        json.dumps(result.choices, ensure_ascii=False), json.dumps(result.targets, ensure_ascii=False), result.answer,
        result.status, result.score, result.confidence, result.stop_reason, result.explanation,
        *(result.usage.get(name) for name in TOKENS), result.seconds, result.trace,
    ]  # fmt: skip


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
