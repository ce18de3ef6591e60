"""Which of several choices a text is, however it is written. Pure functions.

In: a model's text, and choices. Out: a choice as it is spelled among them, or None: nothing is guessed. A text that
says more than its choice is none; reading those is a matter of metrics (`cot/metric/choice.py`).
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

_QUOTES: Final = "*_`\"'\u201c\u201d\u2018\u2019 \t\n"
_PREFIX: Final = re.compile(
    r"(?:the\s+)?(?:(?:final|correct)\s+)?answer(?:\s*[:：]|\s+is\b[:：]?)\s*"
    r"|(?:(?:最终|正确)的?)?答案(?:\s*[:：]|[是为][:：]?)\s*",
    re.IGNORECASE,
)
_FULL_STOPS: Final = (".", "。")
_MEASURE: Final = re.compile(rf"(?:{_PREFIX.pattern})?(\d++(?:[.,]\d++)*+ ?[\"'\u201d\u2019])\.?", re.IGNORECASE)
_ARTICLE: Final = re.compile(r"(?:an?|the)\s+(?=\D\S)")
_LETTERED: Final = re.compile(r"[(\[]?([a-z])[*_]{0,3}[)\]]?[.:]?[*_]{0,3}(?:\s+(.+))?", re.DOTALL)
_WORD: Final = re.compile(r"[\w'\u2019]+")


def measure(text: str) -> str | None:
    """A number with the mark behind it, if a text is nothing else: 6' is a height, and 12" a length."""
    found = _MEASURE.fullmatch(text.strip())
    return found[1] if found else None


def bare(text: str) -> str:
    """The text without "Answer:" or "答案：", quotes, emphasis and a final full stop."""
    inner = text.strip(_QUOTES)
    if found := _PREFIX.match(inner):
        inner = inner[found.end() :].strip(_QUOTES)
    return inner[:-1].rstrip(_QUOTES) if inner.endswith(_FULL_STOPS) and len(inner) > 1 else inner


def core(text: str) -> str:
    """What `bare` leaves, but for case, blanks and an article at its beginning: the same for "A dog." and "dog"."""
    folded = _fold(bare(text))
    article = _ARTICLE.match(folded)
    return folded[article.end() :] if article else folded


def find_choice(text: str, choices: Sequence[str], *, lettered: bool = True) -> str | None:
    """The one choice that a text is: to the letter; or but for case, blanks and what `bare` takes away; or but for an
    article at its beginning; or by its place, as a letter (`B`, `(b)`, `B) dog`). The first way that finds any counts.

    lettered: whether letters are read. One that is a word of another choice ("vitamin B") could mean either, and is
    not. None if no choice is found, or several are.
    """
    shown = text.strip()
    folded, inner = {_fold(shown), _fold(bare(shown))} - {""}, core(shown)
    ways: tuple[Callable[[str], bool], ...] = (
        lambda choice: choice == shown,
        lambda choice: choice == bare(shown),
        lambda choice: not folded.isdisjoint((_fold(choice), _fold(bare(choice)))),
        lambda choice: inner != "" and inner == core(choice),
    )
    for way in ways:
        if found := [choice for choice in choices if way(choice)]:
            return found[0] if len(found) == 1 else None
    return _by_letter(shown, choices) if lettered else None


def _by_letter(shown: str, choices: Sequence[str]) -> str | None:
    found = _LETTERED.fullmatch(bare(shown).casefold())
    index = ord(found[1]) - ord("a") if found else len(choices)
    if not found or index >= len(choices):
        return None
    if found[2] is not None:
        return choices[index] if core(found[2]) == core(choices[index]) else None
    others = (choice for place, choice in enumerate(choices) if place != index)
    return None if any(found[1] in _WORD.findall(core(other)) for other in others) else choices[index]


def _fold(text: str) -> str:
    return " ".join(text.casefold().replace("\u2212", "-").split())
