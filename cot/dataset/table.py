"""Loaders of tables: JSONL, JSON, CSV and TSV.

JSONL, CSV and TSV are read a row at a time, however long they are; a JSON file is read whole.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from cot.dataset.spec import DataSpec, Row, data_path
from cot.errors import DataError, quoted, reason

MAX_LINE_CHARACTERS: Final = 256 * 2**20
"""Longest line of JSONL, and longest cell of a CSV or TSV file: an image in base64 fits."""

MAX_JSON_BYTES: Final = 4 * 2**30
"""Largest JSON file that is read whole."""


def jsonl(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """One JSON object a line; empty lines are skipped. Raises DataError with the line's number."""
    path = data_path(spec, folder)
    with _opened(path) as file:
        number = 0
        while line := _line(file, path, number + 1):
            number += 1
            if line.strip():
                where = f"{path}, line {number}"
                yield Row(_object(_parsed(line, where), where), where)


def json_rows(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A JSON list of objects, or an object that holds one under `rows`. Raises DataError."""
    path = data_path(spec, folder)
    found = read_json(path)
    if spec.rows is not None:
        if not isinstance(found, dict) or spec.rows not in found:
            known = ", ".join(map(str, found)) if isinstance(found, dict) else f"it holds a {type(found).__name__}"
            raise DataError(f"{path} has no {spec.rows!r}, where the task expects its rows; known: {known[:200]}")
        found = found[spec.rows]
    for number, value in enumerate(listed(found, path), 1):
        where = f"{path}, row {number}"
        yield Row(_object(value, where), where)


def json_map(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A JSON object of objects, each a row with its name as the field `key`. Raises DataError."""
    path = data_path(spec, folder)
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}; expected an object with a row for each key")
    for key, value in found.items():
        where = f"{path}, {quoted(key)}"
        yield Row({**_object(value, where), "key": key}, where)


def delimited(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """CSV (`,`) or TSV (tab) with quotes as spreadsheets write them; the first line names the columns.

    Every cell is text. Raises DataError for a row with more or fewer cells than columns.
    """
    path = data_path(spec, folder)
    # The csv module has one bound for the process, and its own is too small for an image.
    csv.field_size_limit(MAX_LINE_CHARACTERS)
    with _opened(path, newline="") as file:
        reader = csv.reader(file, delimiter="," if spec.loader == "csv" else "\t", strict=True)
        columns = list(spec.fields)
        while True:
            try:
                cells = next(reader, None)
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: {reason(error)}; expected text in UTF-8; save it again as such") from error
            except csv.Error as error:
                kind = spec.loader.upper()
                raise DataError(f"{path}, line {reader.line_num}: {reason(error)}; expected {kind} in UTF-8") from error
            if cells is None:
                return
            if not cells:
                continue
            if not columns:
                columns = _header(cells, path, "," if spec.loader == "csv" else "\t")
                continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise DataError(f"{where}: got {len(cells)} cells; expected {len(columns)}: {', '.join(columns)[:200]}")
            yield Row(dict(zip(columns, cells, strict=True)), where)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises DataError."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise DataError(f"{path} has {size} bytes; expected at most {MAX_JSON_BYTES} of JSON; make it JSONL")
    with _opened(path) as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: no JSON: {reason(error)}; expected a file of JSON in UTF-8") from error


def listed(value: Any, path: Path) -> list[Any]:
    """A value that must be a list. Raises DataError."""
    if not isinstance(value, list):
        raise DataError(f"{path} holds a {type(value).__name__}; expected a list of rows; name it with `rows`")
    return value


def _opened(path: Path, newline: str | None = None) -> IO[str]:
    if not path.is_file():
        raise DataError(f"{path} is no file; expected one of data; check the path in the task")
    try:
        # A mark at the beginning is what some spreadsheets write, and no part of the first name.
        return path.open(encoding="utf-8-sig", newline=newline)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}; check its permissions") from error


def _line(file: IO[str], path: Path, number: int) -> str:
    try:
        line = file.readline(MAX_LINE_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: {reason(error)}; expected text in UTF-8") from error
    if len(line) > MAX_LINE_CHARACTERS:
        raise DataError(f"{path}, line {number}: longer than {MAX_LINE_CHARACTERS} characters; expected one row a line")
    return line


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON: {reason(error)}; expected one object a line") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: got a {type(value).__name__}; expected an object with the row's fields")
    return value


def _header(cells: list[str], path: Path, delimiter: str) -> list[str]:
    if len(cells) == 1 and any(other in cells[0] for other in ",;\t" if other != delimiter):
        raise DataError(
            f"{path}, line 1: got one column {cells[0]!r:.150}; expected {delimiter!r} between columns; save it so"
        )
    if len(set(cells)) != len(cells) or not all(cells):
        raise DataError(f"{path}, line 1: columns must be distinct and have names, got {cells!r}"[:300])
    return cells
