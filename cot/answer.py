"""Model text -> typed values, and back to text for people. Pure functions; no model is asked.

In: what a model said, and what kind of value was wanted. Out: a `Value`, or an AnswerError that
says why there is none. Nothing is guessed: text that holds more than the answer is not an answer.
"""

import re
from collections.abc import Sequence
from typing import Final

from cot.choice import bare, core, find_choice, measure
from cot.engine.base import Choices, Constraint, Regex
from cot.errors import AnswerError, quoted
from cot.region import parse_box
from cot.step import Value, Wants
from cot.trace.numerals import ONES
from cot.trace.plain import UNKNOWN, show_value

__all__ = [
    "INVISIBLE", "SPACES", "UNKNOWN", "comparable", "constraint_for", "match_choice", "parse_answer", "parse_free",
    "show_answer", "show_value",
]  # fmt: skip

COUNT_PATTERN: Final = "unknown|0|[1-9][0-9]{0,2}"
NUMBER_PATTERN: Final = r"unknown|-?[0-9]{1,9}(\.[0-9]{1,6})?%?"
MAX_PHRASE_CHARACTERS: Final = 80

INVISIBLE: Final = r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
"""Control, bidirectional and zero-width characters and line breaks, to be put between [ and ].
Means the same in Python's `re` and in Rust's `regex`."""

SPACES: Final = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Visible width, no ink: all characters that `str.strip` removes and `INVISIBLE` leaves."""

_COORDINATE: Final = r"(0(\.[0-9]{1,3})?|1(\.0{1,3})?)"
REGION_PATTERN: Final = rf"unknown|\[{', '.join([_COORDINATE] * 4)}\]"

PHRASE_PATTERN: Final = f"[^{INVISIBLE}{SPACES}][^{INVISIBLE}]{{0,{MAX_PHRASE_CHARACTERS - 1}}}"

_VISIBLE: Final = re.compile(f"[^{INVISIBLE}{SPACES}]")
_WORDS: Final = {word: value for value, word in enumerate((*ONES.split(), "twenty"))}
_NUMBER: Final = re.compile(r"([+\u2212-]?)([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(\.[0-9]{1,15})?\s?%?", re.ASCII)


def constraint_for(wants: Wants, choices: Sequence[str] = (), *, may_abstain: bool = True) -> Constraint | None:
    """What a model may say where a value of this kind is wanted; None for free text.

    may_abstain: whether "unknown" is added to `choices`; the other kinds always allow it.
    Raises AnswerError for `choice` without choices.
    """
    match wants:
        case "count":
            return Regex(COUNT_PATTERN)
        case "number":
            return Regex(NUMBER_PATTERN)
        case "yes_no":
            return Choices(("yes", "no", UNKNOWN), lettered=False)
        case "phrase":
            return Regex(PHRASE_PATTERN)
        case "text":
            return None
        case "choice":
            if not choices:
                raise AnswerError("a choice was wanted, but there are no choices; give at least one")
            return Choices(tuple(dict.fromkeys((*choices, UNKNOWN) if may_abstain else choices)))
        case "region":
            return Regex(REGION_PATTERN)


def parse_answer(text: str, wants: Wants, choices: Sequence[str] = ()) -> Value:
    """Read a model's text as a value of the wanted kind; None if it says "unknown".

    count: int >= 0, in digits or in words up to twenty. number: int or float; thousands may be
    separated by commas, a minus may be a hyphen or U+2212, and a percentage is its number ("12%" is 12). yes_no: bool.
    choice: the option, as it is spelled in `choices`, found as `find_choice` does ("Dog", "a dog", "B", "(b)",
    "B. dog"). region: `[left, top, right, bottom]` from 0 to 1, as text. phrase, text: stripped text. Quotes, a
    final full stop and "Answer:" around a value that is no phrase or text are no part of it. Raises AnswerError if the
    text is anything else.
    """
    shown = text.strip()
    if not _VISIBLE.search(shown):
        raise AnswerError(f"got no text; expected {_EXPECTED[wants]}")
    said = bare(shown)
    if wants == "choice":
        return _choice(shown, choices)
    if said.casefold() == UNKNOWN:
        return None
    if wants in ("phrase", "text"):
        return shown
    if wants == "region":
        box = parse_box(said)
        if box is None:
            raise AnswerError(f"got {quoted(shown)}; expected {_EXPECTED[wants]}")
        return str(box)
    value = _typed(said)
    if wants == "yes_no":
        fits = isinstance(value, bool)
    elif wants == "count":
        fits = type(value) is int and value >= 0
    else:
        fits = type(value) in (int, float)
    if not fits:
        raise AnswerError(f"got {quoted(shown)}; expected {_EXPECTED[wants]}")
    return value


def parse_free(text: str) -> Value:
    """Read an answer to a question of no stated kind: a number, yes or no, "unknown", or else its text, as 6' is.

    Raises AnswerError if there is no text.
    """
    shown = text.strip()
    if not _VISIBLE.search(shown):
        raise AnswerError("got no text; expected an answer")
    if said := measure(shown):
        return said
    said = bare(shown)
    if said.casefold() == UNKNOWN:
        return None
    value = _typed(said)
    return shown if value is None else value


def match_choice(value: Value, choices: Sequence[str]) -> str | None:
    """The one choice that says the same as a computed value, or None: 3 fits "3" and "three", True fits "Yes", and
    "True" where no choice is yes."""
    if value is None:
        return None
    if isinstance(value, str):
        return find_choice(value, choices, lettered=False)
    text = show_value(value).casefold()
    same = [choice for choice in choices if bare(choice).casefold() == text]
    if not same and isinstance(value, bool):
        same = [choice for choice in choices if bare(choice).casefold() == str(value).casefold()]
    if not same:
        typed = {choice: _typed(bare(choice)) for choice in choices}
        same = [c for c, t in typed.items() if t == value and isinstance(t, bool) == isinstance(value, bool)]
    return same[0] if len(same) == 1 else None


def show_answer(value: Value, raw: str) -> str:
    """A value in the model's own words where these say it ("007", "1,000", "12%", "Two"), else as `show_value` does."""
    try:
        said = None if isinstance(value, str) else parse_free(raw)
    except AnswerError:
        said = None
    # Computed values, and those in JSON, nobody said like that. True equals 1.
    return bare(raw) if value is not None and (type(said), said) == (type(value), value) else show_value(value)


def comparable(value: Value) -> str:
    """The same text for values that say the same: case, blanks, what `bare` takes away and an article at the beginning
    do not count, 3.0 and the text "Three" are 3, and 6' is not 6"."""
    typed = _typed(bare(value)) if isinstance(value, str) and not measure(value) else None
    text = show_value(value if typed is None else typed)
    return measure(text) or core(text).rstrip(".。") or text


_EXPECTED: Final[dict[Wants, str]] = {
    "count": "a whole number that is not negative, or unknown",
    "number": "a number, or unknown",
    "yes_no": "yes, no or unknown",
    "choice": "one of the choices",
    "phrase": "a word or a short phrase, or unknown",
    "region": "[left, top, right, bottom] from 0 to 1, left < right and top < bottom, or unknown",
    "text": "a sentence",
}


def _typed(said: str) -> bool | int | float | None:
    word = said.casefold()
    if word in ("yes", "no"):
        return word == "yes"
    if word in _WORDS:
        return _WORDS[word]
    if not (found := _NUMBER.fullmatch(said)):
        return None
    sign, whole, fraction = found.groups()
    digits = sign.replace("\u2212", "-") + whole.replace(",", "")
    return float(digits + fraction) if fraction else int(digits)


def _choice(shown: str, choices: Sequence[str]) -> Value:
    choice = find_choice(shown, choices)
    if choice is None and bare(shown).casefold() != UNKNOWN:
        listed = ", ".join(quoted(choice) for choice in choices)
        raise AnswerError(f"got {quoted(shown)}; expected one of {listed}")
    return choice
