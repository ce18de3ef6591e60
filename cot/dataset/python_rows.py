"""Rows that a Python file makes, where no other loader reads the data. It runs with all that the user may do."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cot.dataset.spec import DataSpec, Row, data_path
from cot.errors import DataError, reason

FUNCTION: Final = "rows"


def python_rows(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """What the function `rows(folder)` of the file `path` yields: a dict for each row. folder: that of the file.

    Images may be paths, `pathlib.Path`s or the bytes of files. Raises DataError for a file without the function, an
    error of its own, and a row that is no dict.
    """
    path = data_path(spec, folder)
    number = 0
    try:
        make = runpy.run_path(str(path)).get(FUNCTION)
        if not callable(make):
            raise DataError(f"{path} has no function {FUNCTION!r}; expected: def {FUNCTION}(folder): yield {{…}}")
        for values in make(path.resolve().parent):
            number += 1
            if not isinstance(values, dict):
                raise DataError(f"{path}, row {number}: got a {type(values).__name__}; expected a dict of its fields")
            yield Row(values, f"{path}, row {number}")
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        # A hook that exits would end the whole evaluation, and with the code of one that went well.
        raise DataError(f"{path}, after row {number}: {type(error).__name__}: {reason(error)}") from error


def refused(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """In place of the loader where nobody allowed it. Raises DataError."""
    raise DataError(
        f"the task runs Python, {data_path(spec, folder)}; read that file, and allow it with `cot eval --run-python`"
    )
