"""Fits what `route` goes by to a model.

In: for each question of a calibration set, how sure the direct answer and the answer by steps were,
whether they were right, and what they cost. Out: a `Tuning`, and what `route` does with it. Pure functions; no model
is asked. Use questions on which nothing else is measured: thresholds that were chosen on a test set flatter it.
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

    direct_confidence, steps_confidence: as they are before calibration, in [0, 1]. direct_tokens: prompt and generated;
    steps_tokens: those of the plan and of all behind it, without the direct answer. A direct answer that came to
    nothing has direct_confidence 0; an answer by steps that did, or a plan that is not followed, has steps_confidence
    0. Raises DataError for values out of range.
    """

    direct_confidence: float
    direct_right: bool
    direct_tokens: int
    steps_confidence: float
    steps_right: bool
    steps_tokens: int

    def is_planned(self, keep: float) -> bool:
        """Whether `route` plans it: below `keep`, and wherever there is no direct answer."""
        return self.direct_confidence < keep or not self.direct_confidence

    def __post_init__(self) -> None:
        for name in ("direct_confidence", "steps_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"got {name} {getattr(self, name)}; expected a probability from 0 to 1")
        if self.direct_tokens < 1 or self.steps_tokens < 0:
            raise DataError(f"got {self.direct_tokens} and {self.steps_tokens} tokens; expected at least 1 and 0")


@dataclass(frozen=True)
class Routed:
    """What `route` does with questions. accuracy, direct_accuracy: shares in [0, 1].

    cost: tokens over those of `direct`, at least 1.
    """

    accuracy: float
    direct_accuracy: float
    cost: float


def routed(pairs: Sequence[Pair], tuning: Tuning) -> Routed:
    """What `route` does with these questions: it plans some, and takes the answer that is likelier right.

    Raises DataError without pairs.
    """
    if not pairs:
        raise DataError("got no pair; expected at least one question, asked both ways")
    planned = [pair for pair in pairs if pair.is_planned(tuning.keep)]
    direct_right = sum(pair.direct_right for pair in pairs)
    direct_tokens = sum(pair.direct_tokens for pair in pairs)
    gained = sum(_gain(pair, tuning) for pair in planned)
    cost = 1 + sum(pair.steps_tokens for pair in planned) / direct_tokens
    return Routed((direct_right + gained) / len(pairs), direct_right / len(pairs), cost)


def fit_keep(pairs: Sequence[Pair], tuning: Tuning, *, max_cost: float = MAX_COST) -> Tuning:
    """The tuning with the `keep` of the most right answers; among equals the one that costs the fewest tokens.

    tuning: with the scales that confidences are compared by. max_cost: tokens over those of `direct` at most, >= 1.
    Raises DataError without pairs.
    """
    if not pairs:
        raise DataError("got 0 pairs; expected at least 1")
    check_cost(max_cost)
    direct_tokens = sum(pair.direct_tokens for pair in pairs)
    gains = [(pair, _gain(pair, tuning)) for pair in pairs]
    best: tuple[int, int, float] | None = None
    for keep in _candidates(pairs):
        planned = [(pair, gain) for pair, gain in gains if pair.is_planned(keep)]
        gained, spent = sum(gain for _, gain in planned), sum(pair.steps_tokens for pair, _ in planned)
        if direct_tokens + spent <= max_cost * direct_tokens and (best is None or (gained, -spent) > best[:2]):
            best = (gained, -spent, keep)
    return tuning.model_copy(update={"keep": best[2] if best else 0.0})


def check_cost(max_cost: float) -> None:
    """Raises DataError for one that `direct` alone exceeds."""
    if not max_cost >= 1:
        raise DataError(f"got a cost of {max_cost:g} at most; expected at least 1, which is that of direct")


def _gain(pair: Pair, tuning: Tuning) -> int:
    """Right answers that the steps add, were this one planned: 1, 0 or -1."""
    steps = tuning.calibrated(pair.steps_confidence, "steps")
    taken = steps > tuning.calibrated(pair.direct_confidence, "direct")
    return pair.steps_right - pair.direct_right if taken else 0


def _candidates(pairs: Sequence[Pair]) -> list[float]:
    """0, which plans nothing that has a direct answer, then confidences that occur, then 1."""
    values = sorted({pair.direct_confidence for pair in pairs} - {0.0})
    step = max(1.0, len(values) / MAX_CANDIDATES)
    thinned = [values[int(rank * step)] for rank in range(int(len(values) / step))] if values else []
    return sorted({0.0, *thinned, 1.0})
