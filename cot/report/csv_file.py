"""Writes every result as a line of CSV, read one at a time."""

import csv
import json
from collections.abc import Sequence
from typing import IO, Any

from cot.compare import Chosen
from cot.report.columns import COLUMNS, row


def write_csv(chosen: Sequence[Chosen], file: IO[str]) -> None:
    """Write all results, with a line of names first. Lists are JSON; what is missing is empty. Raises DataError.

    A text that a spreadsheet would take for a formula has an apostrophe before it, as OWASP advises against CSV
    injection; numbers have none.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in chosen:
        for result in one.run.results(one.strategy):
            writer.writerow([_cell(value) for value in row(one, result).values()])


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
