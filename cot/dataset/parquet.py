"""Parquet, by the optional package pyarrow: what brings it in, and a loader of rows."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy

from cot.dataset.spec import SHOWN, DataSpec, Row, data_path
from cot.errors import DataError, reason

BATCH_ROWS: Final = 64
"""Rows in memory at once: each may hold an image."""

_BUFFER_BYTES: Final = 1 << 20

SHORT: Final = {
    "float": numpy.float32, "float32": numpy.float32, "halffloat": numpy.float16, "float16": numpy.float16,
}  # fmt: skip
"""Kinds of numbers of 32 and 16 bits, as Arrow and as Hugging Face call them."""


def load_pyarrow() -> Any:
    """The package pyarrow, with its `parquet`. Raises DataError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError("Parquet needs the package pyarrow: pip install 'pyarrow>=17'") from error
    return pyarrow


def parquet(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A Parquet file, or a folder of `*.parquet` by name; a few rows are read at a time.

    Cells are what Python has for them: text, numbers, lists, and `{"bytes": …, "path": …}` where Hugging Face keeps an
    image, so that a task says `images: image.bytes`. Raises DataError for a file that is none or is cut short.
    """
    library = load_pyarrow().parquet
    for file in parquet_files(data_path(spec, folder)):
        yield from _rows(library, file)


def as_written(value: Any, kind: str) -> Any:
    """A number of a kind in `SHORT`, alone or in lists, with no more digits than it has: 0.3 and not
    0.30000001192092896."""
    if isinstance(value, list):
        return [as_written(one, kind) for one in value]
    return float(str(SHORT[kind](value))) if isinstance(value, float) else value


def parquet_files(path: Path) -> list[Path]:
    """A file, or the `*.parquet` of a folder by name, hidden ones left out. Raises DataError if there is none."""
    files = sorted(path.glob(f"{SHOWN}.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path} holds no files *.parquet; expected one at least; check the path in the task")
    return files


def _shortener(kind: Any) -> Callable[[Any], Any] | None:
    """What makes of a cell of a type one with its short numbers as they were written; None where it can hold none."""
    if str(kind) in SHORT:
        return partial(as_written, kind=str(kind))
    if hasattr(kind, "value_type"):
        of_value = _shortener(kind.value_type)
        return of_value and (lambda cell: [*map(of_value, cell)] if isinstance(cell, list) else of_value(cell))
    fields = kind if str(kind).startswith("struct<") else ()
    of_field = {field.name: shorten for field in fields if (shorten := _shortener(field.type))}
    if not of_field:
        return None
    return lambda cell: cell and cell | {name: shorten(cell[name]) for name, shorten in of_field.items()}


def _rows(library: Any, file: Path) -> Iterator[Row]:
    number = 0
    try:
        # Without a buffer a whole column of a row group would be read at once.
        with library.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES) as opened:
            names = opened.schema_arrow.names
            if len(set(names)) != len(names):
                raise DataError(f"columns must be distinct, got {names!r}"[:300])
            # Once for each column, and not for each of its cells.
            short = {field.name: shorten for field in opened.schema_arrow if (shorten := _shortener(field.type))}
            for batch in opened.iter_batches(BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    written = {name: shorten(values[name]) for name, shorten in short.items()}
                    yield Row(values | written, f"{file}, row {number}")
    except Exception as error:
        # A damaged file makes pyarrow raise almost anything.
        raise DataError(
            f"{file}, after row {number}: {reason(error)}; expected a file of Parquet; copy or export it again"
        ) from error
