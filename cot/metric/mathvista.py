"""MathVista: an option, an integer, a number with so many decimals, or a list."""

import dataclasses
import math
import re
from string import ascii_uppercase
from typing import Final

from cot.answer import parse_free
from cot.errors import AnswerError, DataError, quoted
from cot.metric.choice import multiple_choice
from cot.metric.number import numbers
from cot.metric.score import Score, Target, scored, unparsed

_MARK: Final = re.compile(r"(?i:\banswer\b[\"'*_` ]{0,4}(?:is\b|[:=]))|\\boxed(?=\{)")
_FRACTION: Final = re.compile(
    r"((?:(?<![\w)\]])[-\u2212])?)"
    r"(?:\\[dt]?frac\{(\d{1,15})\}\{(\d{1,15})\}|(?<![\w./,])(\d{1,15}) ?/ ?(\d{1,15})(?![\w/]|[.,]\d))"
)
_LIST: Final = re.compile(r"\[([^\[\]]*)\]")
_MOST_DECIMALS: Final = 15


def mathvista(prediction: str, target: Target) -> Score:
    r"""1 if the answer is right, else 0.

    Officially a language model extracts the answer, and what is not the text of an option counts as the most similar
    one (lupantech/MathVista, evaluation/calculate_score.py). Here nothing is guessed: with target.choices it is read as
    in multiple choice, but a ground truth that is an option is that one, also if it is a letter; else by
    target.answer_type. `integer`: cut to a whole number, as officially. `float`: rounded to
    target.precision decimals. The number is the first behind the last "answer is" or \boxed, where 3/4 and
    \frac{3}{4} are 0.75, or else the only one in the text, which may be one in words up to twenty. `list`: the last one
    in brackets, numbers compared as numbers.
    `text`: equal but for case and spaces. Unparsed where nothing of the kind is found. Raises DataError for a ground
    truth of another kind.
    """
    if target.choices:
        # Its ground truths are the texts of options, also where these are letters in another order than A, B, C.
        right = tuple(_letter(answer, target.choices) for answer in target.answers)
        return multiple_choice(prediction, dataclasses.replace(target, answers=right))
    if target.answer_type in ("integer", "float"):
        return _number_score(prediction, target)
    if target.answer_type == "list":
        return _list_score(prediction, target)
    said, truths = _text(prediction), [_text(truth) for truth in target.answers]
    if not all(truths):
        raise DataError("got a ground truth without text; expected something to compare with")
    if not said:
        return unparsed("the prediction has no text")
    return scored(float(said in truths), said, f"{quoted(said)} is {'a' if said in truths else 'no'} ground truth")


def _letter(answer: str, choices: tuple[str, ...]) -> str:
    return ascii_uppercase[choices.index(answer)] if answer in choices else answer


def _number_score(prediction: str, target: Target) -> Score:
    places = target.precision if target.answer_type == "float" else 0
    if places is None or not 0 <= places <= _MOST_DECIMALS:
        raise DataError(f"got a float with precision {places}; expected from 0 to {_MOST_DECIMALS} decimal places")
    truths = {_as_kind(_truth(answer), target.answer_type, places) for answer in target.answers}
    number = _stated(prediction)
    if number is None or not math.isfinite(number):
        return unparsed(f"{quoted(prediction)} states no number, or several")
    value = _as_kind(number, target.answer_type, places)
    return scored(float(value in truths), str(value), f"{quoted(prediction)} is read as {value}")


def _as_kind(number: float, kind: str, places: int) -> float | int:
    return int(number) if kind == "integer" else round(number, places)


def _truth(answer: str) -> float:
    try:
        number = float(answer)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"got the ground truth {quoted(answer)}; expected a number")
    return number


def _stated(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    marks = list(_MARK.finditer(text))
    if marks and (behind := numbers(_FRACTION.sub(_quotient, text[marks[-1].end() :]))):
        return behind[0]
    distinct = set(numbers(text)) or _word(text)
    return distinct.pop() if len(distinct) == 1 else None


def _quotient(found: re.Match[str]) -> str:
    sign, *parts = found.groups()
    above, below = (float(part) for part in parts if part)
    return f"{sign}{above / below!r} " if below else found[0]


def _word(text: str) -> set[float]:
    """The number that a text is in words."""
    try:
        value = parse_free(text)
    except AnswerError:
        return set()
    return {value} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def _list_score(prediction: str, target: Target) -> Score:
    truths = []
    for answer in target.answers:
        if (parts := _parts(answer)) is None:
            raise DataError(f"got the ground truth {quoted(answer)}; expected a list such as [1, 2]")
        truths.append(parts)
    said = _parts(prediction)
    if said is None:
        return unparsed(f"{quoted(prediction)} has no list in brackets")
    shown = f"[{', '.join(map(str, said))}]"
    return scored(float(said in truths), shown, f"{quoted(shown)} is {'a' if said in truths else 'no'} ground truth")


def _parts(text: str) -> list[float | str] | None:
    found = _LIST.findall(text)
    if not found or not found[-1].strip():
        return None
    return [_part(part) for part in found[-1].split(",")]


def _part(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return _text(text.strip().strip("'\""))


def _text(text: str) -> str:
    return " ".join(text.lower().split())
