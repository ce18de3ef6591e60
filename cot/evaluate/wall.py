"""How long it took to come to results: the time in which at least one sample was being worked on.

In: when each was begun and when it was there. Out: seconds. Samples run at the same time, so that theirs do not add up.
"""

import math
from array import array
from typing import Final

import numpy as np

from cot.evaluate.result import SampleResult


class Times:
    """When samples were begun, and when their results were there; sixteen bytes a sample."""

    def __init__(self) -> None:
        self.begun: Final = array("d")
        self.ended: Final = array("d")

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        self.begun.append(math.nan if result.begun_at is None else result.begun_at)
        self.ended.append(math.nan if result.ended_at is None else result.ended_at)

    def wall_seconds(self, rows: "array[int] | None" = None) -> float | None:
        """Wall clock of all results, or of those of some `rows`, in the order in which they were added.

        Pauses are left out, so that a run that was stopped and went on has the time of all its starts. None if there is
        no result, or one that does not say when.
        """
        begun, ended = np.frombuffer(self.begun), np.frombuffer(self.ended)
        if rows is not None:
            begun, ended = begun[rows], ended[rows]
        if not len(begun) or np.isnan(begun).any() or np.isnan(ended).any():
            return None
        order = np.argsort(begun)
        begun = begun[order]
        # The latest end of this sample and of all that were begun before it.
        latest = np.maximum.accumulate(np.maximum(begun, ended[order]))
        pauses = np.maximum(0.0, begun[1:] - latest[:-1]).sum()
        return round(float(latest[-1] - begun[0] - pauses), 3)
