"""Writes every result as a line of CSV, read one at a time."""

import csv
import json
import re
from collections.abc import Sequence
from typing import IO, Any, Final

from cot.compare import Chosen
from cot.report.columns import COLUMNS, row

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def write_csv(chosen: Sequence[Chosen], file: IO[str]) -> None:
    r"""Write all results, with a line of names first. Lists are JSON; what is missing is empty. Raises DataError.

    Control characters, which a terminal would obey, are written out as `\u001b`; tabs and line breaks stay. A text that
    a spreadsheet would take for a formula has an apostrophe before it, as OWASP advises against CSV injection; numbers
    have none.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in chosen:
        for result in one.run.results(one.strategy):
            writer.writerow([_cell(value) for value in row(one, result).values()])


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return _CONTROL.sub(_written_out, json.dumps(value, ensure_ascii=False))
    if not isinstance(value, str):
        return value
    value = _CONTROL.sub(_written_out, value)
    if not value.startswith(("=", "+", "-", "@", "\t")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _written_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
