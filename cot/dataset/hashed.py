"""The hash of the files that rows are read from, which takes a small part of the time that reading the rows does.

In: a task's data, and its loader. Out: a hash, by which a look at all rows can be told to have seen the same ones.
"""

import hashlib
from pathlib import Path
from typing import Final

from cot.dataset.official import vlmeval, vqav2
from cot.dataset.parquet import parquet, parquet_files
from cot.dataset.spec import DataSpec, Loader, existing
from cot.dataset.table import delimited, json_map, json_rows, jsonl
from cot.errors import DataError

OF_FILES: Final[tuple[Loader, ...]] = (jsonl, json_rows, json_map, delimited, parquet, vqav2, vlmeval)
"""Loaders whose rows follow from the task and the bytes of `path` and `annotations`, and from nothing else."""


def files_sha256(spec: DataSpec, folder: Path, loader: Loader, *, max_bytes: int | None = None) -> str | None:
    """SHA-256, in hex, of all bytes that a loader reads; None for one that reads more than files, or if one is none.

    folder: what relative paths start from. max_bytes: None is also given for files that are larger together.
    """
    if loader not in OF_FILES:
        return None
    digest = hashlib.sha256()
    try:
        paths = [existing(name, folder, "") for name in (spec.path, spec.annotations) if name is not None]
        files = [file for path in paths for file in (parquet_files(path) if loader is parquet else [path])]
        if not all(file.is_file() for file in files):  # what is none may have no end
            return None
        if max_bytes is not None and sum(file.stat().st_size for file in files) > max_bytes:
            return None
        for file in files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except (OSError, DataError):
        # What is wrong is said by who reads the rows.
        return None
    return digest.hexdigest()
