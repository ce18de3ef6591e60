"""Writes every result as a row of a Parquet file, some thousand at a time, so that any number of them fits."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final

from cot.compare import Chosen
from cot.dataset.parquet import load_pyarrow
from cot.report.columns import COLUMNS, TOKENS, row

GROUP_ROWS: Final = 5000
"""Rows of a row group at most; one group is in memory at a time."""

_FLOATS: Final = ("score", "confidence", "seconds")
_LISTS: Final = ("choices", "targets")


def write_parquet(chosen: Sequence[Chosen], file: BinaryIO) -> None:
    """Write all results, in the columns of `COLUMNS`; what is missing is null.

    Scores, confidences and seconds are 64-bit floats, tokens and calls 64-bit integers, choices and ground truths lists
    of text; all else is text, as it was. Raises DataError, also where pyarrow is not installed, and OSError.
    """
    arrow = load_pyarrow()
    kinds = {
        **dict.fromkeys(COLUMNS, arrow.string()),
        **dict.fromkeys(_FLOATS, arrow.float64()),
        **dict.fromkeys(TOKENS, arrow.int64()),
        **dict.fromkeys(_LISTS, arrow.list_(arrow.string())),
    }
    schema = arrow.schema(list(kinds.items()))
    with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(row(one, result) for one in chosen for result in one.run.results(one.strategy)):
            writer.write_batch(arrow.RecordBatch.from_pylist(group, schema))


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while group := list(islice(rows, GROUP_ROWS)):
        yield group
