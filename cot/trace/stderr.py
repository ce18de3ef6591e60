"""A console on stderr, for what is good to know and not the answer itself."""

from typing import Any, NoReturn

from rich.console import Console

from cot.streams import write_nowhere


class Stderr(Console):
    """Prints words as they are, without markup. Where nobody reads them any more, or a disk is full, the work that they
    tell of goes on; rich ends the program, and writes to stdout no more."""

    def __init__(self, **more: Any) -> None:
        super().__init__(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True, **more)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print, or write nowhere from now on."""
        try:
            super().print(*objects, **how)
        except OSError:
            write_nowhere(self.file)

    def on_broken_pipe(self) -> NoReturn:
        """Leave the error to `print`."""
        raise BrokenPipeError
