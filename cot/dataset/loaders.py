"""The loaders by the names that task files use."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from cot.dataset.hugging_face import hugging_face
from cot.dataset.official import folder_of_images, mme, vlmeval, vqav2
from cot.dataset.parquet import parquet
from cot.dataset.python_rows import refused
from cot.dataset.spec import DataSpec, Loader, Row
from cot.dataset.table import delimited, json_map, json_rows, jsonl
from cot.errors import DataError

LOADERS: Final[Mapping[str, Loader]] = {
    "jsonl": jsonl,
    "json": json_rows,
    "json-map": json_map,
    "csv": delimited,
    "tsv": delimited,
    "parquet": parquet,
    "hugging-face": hugging_face,
    "python": refused,
    "folder": folder_of_images,
    "vqav2": vqav2,
    "mme": mme,
    "vlmeval": vlmeval,
}


def load_rows(spec: DataSpec, folder: Path, loaders: Mapping[str, Loader] = LOADERS) -> Iterator[Row]:
    """The rows of a task's data, the first `spec.n` where it says so.

    folder: what relative paths start from. loaders: by name, to add to or replace the usual ones.
    Raises DataError for an unknown loader, for a bad row with its file and line, and, at the end, if there was none.
    """
    if spec.loader not in loaders:
        raise DataError(f"unknown loader {spec.loader!r}; known: {', '.join(loaders)}")
    empty = True
    for row in islice(loaders[spec.loader](spec, folder), spec.n):
        empty = False
        yield row
    if empty:
        place = folder / spec.path if spec.path else f"the loader {spec.loader!r}"
        raise DataError(f"{place} has no rows; expected at least one, since a score of nothing is none")
