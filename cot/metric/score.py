"""What a metric is given and what it gives back.

In: a model's text and a `Target`. Out: a `Score`. Nothing here compares anything; the files beside it do.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cot.errors import DataError

Status = Literal["correct", "partial", "wrong", "unparsed", "errored"]
"""What a sample can come to. `unparsed`: there is text, and no answer can be read from it. `errored`: no text."""

AnswerType = Literal["text", "integer", "float", "list"]

# Looked up for every sample, and `get_args` takes its time.
_STATUSES: Final = get_args(Status)
_ANSWER_TYPES: Final = get_args(AnswerType)

MAX_ANSWER_CHARACTERS: Final = 10_000
"""Longest ground truth or option: comparing costs time, and an answer is short."""

MAX_CHOICES: Final = 26
"""One for each letter."""


@dataclass(frozen=True, slots=True)
class Score:
    """How one sample went.

    value: in [0, 1], where the status is correct (1), partial (between) or wrong (0); else None, which is not zero.
    answer: what was read from the text; empty where nothing was. explanation: why it came to this, on one line.
    Raises DataError if value and status contradict each other.
    """

    value: float | None
    status: Status
    answer: str
    explanation: str

    def __post_init__(self) -> None:
        if self.status in ("unparsed", "errored"):
            fits = self.value is None
        elif self.status == "partial":
            fits = self.value is not None and 0 < self.value < 1
        else:
            fits = self.status in _STATUSES and self.value == (self.status == "correct")
        if not fits:
            raise DataError(
                f"got a score of {self.value} for an answer that is {self.status}; expected 1 for correct, 0 for wrong,"
                " a number between for partial, and none for unparsed and errored"
            )


@dataclass(frozen=True, slots=True)
class Target:
    """What an answer is compared with.

    answers: the ground truths, at least one; which of them counts is the metric's business. choices: the texts of
    the options, A first. answer_type, precision: the kind of value and its decimal places, where a metric reads them.
    Raises DataError if there is nothing to compare with, or something is too long.
    """

    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    answer_type: AnswerType = "text"
    precision: int | None = None

    def __post_init__(self) -> None:
        given: tuple[object, ...] = (self.answers, self.choices)
        if not all(isinstance(texts, tuple) for texts in given):
            raise DataError(f"got {type(self.answers).__name__} and {type(self.choices).__name__}; expected two tuples")
        if not self.answers:
            raise DataError("got no ground truth; expected at least one answer to compare with")
        longest = max(len(text) for text in (*self.answers, *self.choices))
        if longest > MAX_ANSWER_CHARACTERS:
            raise DataError(f"got an answer of {longest} characters; expected at most {MAX_ANSWER_CHARACTERS}")
        if len(self.choices) > MAX_CHOICES or any(not choice.strip() for choice in self.choices):
            raise DataError(f"got {len(self.choices)} choices; expected at most {MAX_CHOICES}, none of them empty")
        if self.answer_type not in _ANSWER_TYPES:
            raise DataError(f"unknown answer type {self.answer_type!r}; known: {', '.join(_ANSWER_TYPES)}")


@dataclass(frozen=True, slots=True)
class Item:
    """A scored sample, as aggregates see it. group: what its figures are reported under, such as a category."""

    score: Score
    target: Target
    image: str = ""
    group: str = ""


Metric = Callable[[str, Target], Score]
Figures = dict[str, float | int | None]
Aggregate = Callable[[Sequence[Item]], dict[str, Figures]]
"""Scored samples -> figures by group. A figure that nothing was left to compute from is None."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many samples came to what."""

    n: int
    correct: int
    partial: int
    wrong: int
    unparsed: int
    errored: int


def scored(value: float, answer: str, explanation: str) -> Score:
    """A score for an answer that was read; the status follows from the value, which must be in [0, 1]."""
    if not 0 <= value <= 1 or math.isnan(value):
        raise DataError(f"got a score of {value}; expected a number from 0 to 1")
    status: Status = "correct" if value == 1 else "wrong" if value == 0 else "partial"
    return Score(float(value), status, answer, explanation)


def unparsed(explanation: str) -> Score:
    """The model said something that is no answer."""
    return Score(None, "unparsed", "", explanation)


def errored(explanation: str) -> Score:
    """There is no text to score, because asking for it failed."""
    return Score(None, "errored", "", explanation)


def tally(scores: Iterable[Score]) -> Tally:
    """Count samples by status."""
    statuses = [score.status for score in scores]
    return Tally(len(statuses), *(statuses.count(status) for status in get_args(Status)))


def mean(scores: Iterable[Score]) -> float:
    """Mean value of the samples that have one, in [0, 1]; how many have none, `tally` says.

    Raises DataError if none has.
    """
    values = [score.value for score in scores if score.value is not None]
    if not values:
        raise DataError("got no scored sample; expected at least one, since the mean of nothing is not zero")
    return math.fsum(values) / len(values)
