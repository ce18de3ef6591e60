"""Tables on stdout: in columns for people, and line by line for other programs.

What comes from models and files must have been made `cot.trace.plain.plain` by the caller, or go through `add_row`.
"""

import sys
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
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def add_row(made: "Table", *cells: object) -> None:
    """Add a row of anything; each cell is shown as plain text on one line."""
    from rich.text import Text

    from cot.trace.plain import plain

    made.add_row(*(Text(plain(str(cell), one_line=True)) for cell in cells))
