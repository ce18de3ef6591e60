"""Finds what a question names: kinds of objects, descriptions of shapes, labels of charts."""

import re
from collections.abc import Iterator
from typing import Final

from cot.train.kinds import KINDS
from cot.train.labels import COLOURS, FORMS, SIZES, WORDS
from cot.train.shapes import noun


def _any(words: list[str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


_FORMS: Final = [name for form in ("", *FORMS) for name in noun("", "", form)]
_NAMES: Final = re.compile(
    rf"\b(?:(?:{_any([*SIZES])} )?(?:{_any([*COLOURS])} )?{_any(_FORMS)}"
    rf"|{_any([name for kind in KINDS for name in (kind.singular, kind.plural)] + [*WORDS])})\b"
)


def mentions(text: str) -> Iterator[tuple[int, str]]:
    """Where each name in a text ends, in characters, and the name."""
    for found in _NAMES.finditer(text):
        yield found.end(), found.group()
