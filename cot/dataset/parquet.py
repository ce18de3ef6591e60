"""Parquet, by the optional package pyarrow: what brings it in, and a loader of rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy

from cot.dataset.spec import DataSpec, Row, data_path
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
    """A file, or the `*.parquet` of a folder by name. Raises DataError if there is none."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path} holds no files *.parquet; expected one at least; check the path in the task")
    return files


def _has_short(kind: Any) -> bool:
    """Whether cells of a type are short numbers, or lists or structs that hold some."""
    if hasattr(kind, "value_type"):
        return _has_short(kind.value_type)
    return str(kind) in SHORT or (_is_struct(kind) and any(_has_short(field.type) for field in kind))


def _is_struct(kind: Any) -> bool:
    return str(kind).startswith("struct<")


def _plain(value: Any, kind: Any) -> Any:
    """A cell with its short numbers as they were written."""
    if not _has_short(kind):
        return value
    if isinstance(value, list):
        return [_plain(one, kind.value_type) for one in value]
    if isinstance(value, dict):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    kind = getattr(kind, "value_type", kind)
    return as_written(value, str(kind)) if str(kind) in SHORT else value


def _rows(library: Any, file: Path) -> Iterator[Row]:
    number = 0
    try:
        # Without a buffer a whole column of a row group would be read at once.
        with library.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES) as opened:
            names = opened.schema_arrow.names
            if len(set(names)) != len(names):
                raise DataError(f"columns must be distinct, got {names!r}"[:300])
            short = {field.name: field.type for field in opened.schema_arrow if _has_short(field.type)}
            for batch in opened.iter_batches(BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    written = {name: _plain(values[name], kind) for name, kind in short.items()}
                    yield Row(values | written, f"{file}, row {number}")
    except Exception as error:
        # A damaged file makes pyarrow raise almost anything.
        raise DataError(
            f"{file}, after row {number}: {reason(error)}; expected a file of Parquet; copy or export it again"
        ) from error
