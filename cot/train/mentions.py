"""Finds what a question names: kinds of objects, descriptions of shapes, labels of charts."""

import re
from collections.abc import Iterator
from typing import Final

from cot.train.kinds import KINDS
from cot.train.labels import COLOURS, FORMS, SIZES, WORDS
from cot.train.shapes import noun

_FORMS: Final = tuple(name for form in (*FORMS, "") for name in noun("", "", form))
_OTHERS: Final = (*(name for kind in KINDS for name in (kind.singular, kind.plural)), "bars", "objects", *WORDS)
THINGS: Final = (*_OTHERS, *_FORMS)
"""What things are called: kinds, the words of charts, and shapes, which may have a size and a colour before them."""


def _any(words: tuple[str, ...]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


_NAMES: Final = re.compile(
    rf"\b(?:(?:{_any(tuple(SIZES))} )?(?:{_any(tuple(COLOURS))} )?{_any(_FORMS)}|{_any(_OTHERS)})\b"
)


def mentions(text: str) -> Iterator[tuple[int, str]]:
    """Where each name in a text ends, in characters, and the name."""
    for found in _NAMES.finditer(text):
        yield found.end(), found.group()
