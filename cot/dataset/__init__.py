"""Reads evaluation data: a file, a folder or an installed package -> rows, one at a time.

It knows neither tasks nor models: which field is the question is for `cot.task` to say.
"""

from cot.dataset.loaders import LOADERS, load_rows
from cot.dataset.spec import DataSpec, Loader, Row

__all__ = ["LOADERS", "DataSpec", "Loader", "Row", "load_rows"]
