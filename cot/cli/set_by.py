"""Lets an error say where a wrong setting comes from, if that is not the command line.

In: settings, and what stands inside. Out: the error of that, with a few more words.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cot.errors import CotError

if TYPE_CHECKING:
    from cot.settings import Settings

_ORDINARY: Final = ("auto", "none", "true", "false")
"""Values that errors also have as words of their own."""


@contextlib.contextmanager
def set_by_told(settings: "Settings", *names: str) -> Iterator[None]:
    """Let a CotError of what stands inside tell which of these settings it names came from a variable or a file."""
    try:
        yield
    except CotError as error:
        # What was got stands before the first semicolon; behind it may stand all that is known.
        got = str(error).partition(";")[0]
        told = [
            f"{name} is set by {settings.set_by(name)}"
            for name in names
            if settings.set_by(name) and _is_named(name, getattr(settings, name), got)
        ]
        error.args = ("; ".join((str(error), *told)),)
        raise


def _is_named(name: str, value: object, got: str) -> bool:
    """Whether a message names a setting by its option or by its value, of which `templates` and a URL have parts."""
    option, text = f"--{name.replace('_', '-')}", str(value)
    parts = re.split("[=,]", text) if name == "templates" else text.split("#") if "://" in text else [text]
    words = (option, *(part for part in parts if part.lower() not in _ORDINARY))
    return any(word and re.search(rf"(?<![\w/-]){re.escape(word)}(?![\w/-])", got) for word in words)
