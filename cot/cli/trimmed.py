"""A table whose lines end with their last word. rich fills each up to the width of the widest."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table


class TrimmedTable(Table):
    """A table without blanks at the ends of its lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the table."""
        for line in Segment.split_lines(_segments(super().__rich_console__(console, options))):
            while line and not line[-1].text.rstrip():
                line.pop()
            if line:
                line[-1] = line[-1]._replace(text=line[-1].text.rstrip())
            yield from line
            yield Segment.line()


def _segments(rendered: RenderResult) -> Iterator[Segment]:
    return (part for part in rendered if isinstance(part, Segment))
