"""Reads evaluation data: a file, a folder or an installed package -> rows, one at a time.

It knows neither tasks nor models: which field is the question is for `cot.task` to say.
"""

from cot.dataset.hashed import files_sha256
from cot.dataset.loaders import LOADERS, load_rows
from cot.dataset.spec import DataSpec, Loader, Row

__all__ = ["LOADERS", "DataSpec", "Loader", "Row", "files_sha256", "load_rows"]
