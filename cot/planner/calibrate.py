"""Fits the thresholds of `route` to a model.

In: for each question of a calibration set, how sure the direct answer and the answer by steps were,
whether they were right, and what they cost. Out: a `Fit`. Pure functions; no model is asked.
Use questions on which nothing else is measured: thresholds that were chosen on a test set flatter it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cot.errors import DataError
from cot.planner.tuning import Tuning

MAX_CANDIDATES: Final = 200
"""Values of `keep` that are tried at most, at even ranks of those that occur."""

MAX_COST: Final = 2.5
"""Tokens of `route` over those of `direct`, at most, unless said otherwise."""


@dataclass(frozen=True)
class Pair:
    """One question, asked both ways.

    direct_confidence, steps_confidence: in [0, 1]. direct_tokens: prompt and generated; steps_tokens: those of
    the plan and of all behind it, without the direct answer. An answer by steps that came to nothing has
    steps_confidence 0 and is not right. Raises DataError for values out of range.
    """

    direct_confidence: float
    direct_right: bool
    direct_tokens: int
    steps_confidence: float
    steps_right: bool
    steps_tokens: int

    def __post_init__(self) -> None:
        for name in ("direct_confidence", "steps_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"got {name} {getattr(self, name)}; expected a probability from 0 to 1")
        if self.direct_tokens < 1 or self.steps_tokens < 0:
            raise DataError(f"got {self.direct_tokens} and {self.steps_tokens} tokens; expected at least 1 and 0")


@dataclass(frozen=True)
class Fit:
    """The best thresholds, and what `route` would have done with them on the same questions.

    accuracy, direct_accuracy: shares in [0, 1]. cost: tokens over those of `direct`, at least 1.
    """

    keep: float
    accept: float
    accuracy: float
    direct_accuracy: float
    cost: float

    @property
    def tuning(self) -> Tuning:
        """What to write into a calibration file."""
        return Tuning(keep=self.keep, accept=self.accept)


def fit(pairs: Sequence[Pair], *, max_cost: float = MAX_COST) -> Fit:
    """The thresholds with the most right answers; among equals those that cost the fewest tokens.

    A direct answer is kept from `keep` on; below it an answer by steps is taken from `accept` on.
    max_cost: tokens over those of `direct` at most, >= 1. Raises DataError without pairs.
    """
    if not pairs or max_cost < 1:
        raise DataError(f"got {len(pairs)} pairs and a cost of {max_cost:g}; expected at least 1 of each")
    direct_right = sum(pair.direct_right for pair in pairs)
    direct_tokens = sum(pair.direct_tokens for pair in pairs)
    by_steps = sorted(pairs, key=lambda pair: -pair.steps_confidence)
    best = (direct_right, -direct_tokens, 0.0, 1.0)
    for keep in _candidates(pairs):
        tokens = direct_tokens + sum(p.steps_tokens for p in pairs if p.direct_confidence < keep)
        if tokens > max_cost * direct_tokens:
            continue
        gain, accept = _best_accept([pair for pair in by_steps if pair.direct_confidence < keep])
        found = (direct_right + gain, -tokens, keep, accept)
        if found[:2] > best[:2]:
            best = found
    right, tokens, keep, accept = best
    return Fit(keep, accept, right / len(pairs), direct_right / len(pairs), -tokens / direct_tokens)


def _candidates(pairs: Sequence[Pair]) -> list[float]:
    """0, which plans nothing, then confidences that occur, then 1."""
    values = sorted({pair.direct_confidence for pair in pairs} - {0.0})
    step = max(1.0, len(values) / MAX_CANDIDATES)
    thinned = [values[int(rank * step)] for rank in range(int(len(values) / step))] if values else []
    return sorted({0.0, *thinned, 1.0})


def _best_accept(planned: Sequence[Pair]) -> tuple[int, float]:
    """How many right answers the steps add at best, and from which confidence on they are to be taken.

    planned: the surest steps first. Steps of equal confidence are taken together or not at all.
    """
    best, accept, gain = 0, 1.0, 0
    for index, pair in enumerate(planned):
        gain += pair.steps_right - pair.direct_right
        last = index + 1 == len(planned) or planned[index + 1].steps_confidence < pair.steps_confidence
        if last and gain > best and pair.steps_confidence > 0:
            best, accept = gain, pair.steps_confidence
    return best, accept
