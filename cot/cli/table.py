"""Tables on stdout: in columns for people, and line by line for other programs.

What comes from models and files must have been made `cot.trace.plain.plain` by the caller, or go through `add_row`.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> "Console":
    """Of stdout. A pipe has no width: nothing is wrapped there, so that it can be searched line by line."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 10_000
    return Console(markup=False, highlight=False, emoji=False, width=width)


def table(*headings: str) -> "Table":
    """An empty table without lines; long cells are wrapped within their column."""
    from cot.cli.trimmed import TrimmedTable

    made = TrimmedTable(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def add_row(made: "Table", *cells: object) -> None:
    """Add a row of anything; each cell is shown as plain text on one line."""
    from rich.text import Text

    from cot.trace.plain import plain

    made.add_row(*(Text(plain(str(cell), one_line=True)) for cell in cells))


def columns(headings: Sequence[str], rows: Iterable[Sequence[str]], *, most: Sequence[int]) -> Iterator[str]:
    """Rows of any number as lines, one each, fast; rich takes a millisecond for each row of a table.

    most: cells that a column takes on a terminal at most; columns with 0 share what is left evenly. What is longer is
    cut there and ends with "…". On a pipe nothing is cut.
    """
    from rich.cells import cell_len, set_cell_size

    lines = [headings, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        widths = _narrowed(widths, most, shutil.get_terminal_size().columns)
    for cells in lines:
        fitted = (
            set_cell_size(cell, width) if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "…"
            for cell, width in zip(cells, widths, strict=True)
        )
        yield "  ".join(fitted).rstrip()


def _narrowed(widths: Sequence[int], most: Sequence[int], whole: int) -> list[int]:
    """Widths of columns that fit into a whole, with two blanks between them; none is narrower than 1."""
    fitted = [min(width, limit) for width, limit in zip(widths, most, strict=True)]
    left = whole - sum(fitted) - 2 * (len(fitted) - 1)
    # The narrowest first: what it does not need is for the others.
    sharing = sorted((index for index, limit in enumerate(most) if not limit), key=lambda index: widths[index])
    for place, index in enumerate(sharing):
        fitted[index] = max(1, min(widths[index], left // (len(sharing) - place)))
        left -= fitted[index]
    return fitted
