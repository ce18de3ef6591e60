"""What a strategy comes to: an answer, or none, and why it stopped.

Frozen data and pure functions; no model is asked.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cot.answer import show_value
from cot.planner.asked import storable
from cot.step import FinalAnswer, StopReason


@dataclass(frozen=True)
class Conclusion:
    """What a strategy comes to. why: the note that tells why there is no answer; empty where the last one does."""

    answer: FinalAnswer
    stop_reason: StopReason = "answered"
    why: str = ""


def product(confidences: Iterable[float]) -> float:
    """Probability that all of them hold, if they were independent.

    They are not quite: sub-answers share an image, so that what misleads one may mislead another.
    """
    return math.prod(confidences)


def unknown(raw: str = "", supports: tuple[int, ...] = ()) -> FinalAnswer:
    """The answer where there is none."""
    return FinalAnswer(text=show_value(None), value=None, raw=storable(raw), confidence=0.0, supports=supports)
