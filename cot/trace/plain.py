"""What is shown to people: values in their words, and text from outside made safe for a terminal.

In: a value, or what a model, a file or a user said. Out: the same in plain words, without anything
that a terminal or a reader could take for something else. Rich markup is not its matter: print what
it gives as `rich.text.Text`.
"""

import re
import unicodedata
from decimal import Decimal
from typing import Final

from cot.step import Value

UNKNOWN: Final = "unknown"
"""What a model says to abstain, and what people are shown where there is no value."""

MAX_SHOWN_CHARACTERS: Final = 4000

_ESCAPES: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    "|\x1b[\\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"  # strings: title, clipboard, links
    # By one character they begin in wrongly decoded text too, where `”` became `â€` and U+009D; there they do not end.
    "|[\x90\x98\x9d-\x9f][^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]?"  # the rest
)
_UNSEEN: Final = ("Cc", "Cf", "Cs", "Cn", "Co")
_HIDDEN: Final = (*_UNSEEN, "Zl", "Zp")
_LINE_BREAKS: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def plain(text: str, *, one_line: bool = False, most: int = MAX_SHOWN_CHARACTERS) -> str:
    """Without escape sequences, control, bidirectional and invisible characters; at most `most` characters.

    one_line: line breaks and runs of spaces become one space. most: >= 1; what is longer ends with "…".
    """
    kept = text[: 4 * max(most, MAX_SHOWN_CHARACTERS)]
    if not kept.isprintable():
        kept = _LINE_BREAKS.sub("\n", _ESCAPES.sub("", kept))
        kept = "".join(c for c in kept if c in "\n\t" or unicodedata.category(c) not in _UNSEEN)
    if one_line:
        kept = " ".join(kept.split())
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def escaped(text: str) -> str:
    r"""The whole text, with what `plain` takes out written as `\x1b` or `\u202e`: for files that are read as text."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else _code(c) for c in text)


def show_value(value: Value) -> str:
    """A value as people write it: yes and no, "unknown" for None, floats without trailing zeros or exponent."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return str(value)


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
