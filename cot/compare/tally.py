"""What a task of a run came to under a strategy: in all, by category, and why answers are missing.

In: results, one after another; of each a few bytes are kept. Out: frozen models.
"""

import math
from array import array
from collections import Counter
from typing import Final

from pydantic import BaseModel, ConfigDict

from cot.compare.stored import StoredRun
from cot.evaluate.part import CategoryScore, Part
from cot.evaluate.result import SampleResult
from cot.evaluate.running import Running
from cot.evaluate.wall import Times

RIGHT_FROM: Final = 0.5
"""Score from which on an answer counts as right, where confidence is compared with it."""

_MAX_REASONS: Final = 1000
_SHOWN_REASONS: Final = 5
_REASON_CHARACTERS: Final = 200


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Reason(_Frozen):
    """Why answers are missing, and how many."""

    status: str
    """`unparsed` or `errored`."""
    explanation: str
    n: int


class PartDetail(_Frozen):
    """A task under a strategy."""

    part: Part
    standard_error: float | None
    """Of the score, samples taken to be independent; None of fewer than two."""
    reasons: tuple[Reason, ...]
    """The commonest."""

    @property
    def categories(self) -> tuple[CategoryScore, ...]:
        """Empty if the task has none, or one only."""
        return self.part.categories


class Detail(_Frozen):
    """A run, part by part."""

    parts: tuple[PartDetail, ...]
    wall_seconds: float | None = None
    """As `Summary` has it, of the results so far."""


class Tally:
    """Adds up the results of a part. answered: how sure the model was of each of its answers, and whether it was right.

    confidences: in [0, 1]. right: 0 or 1, whether the score is at least `RIGHT_FROM`. Both leave out unparsed and
    errored samples, which have no answer to be sure of.
    """

    def __init__(self, task: str, strategy: str, metric: str) -> None:
        self.task: Final = task
        self.strategy: Final = strategy
        self.confidences: Final = array("d")
        self.right: Final = array("b")
        self._all = Running(metric, by_category=True)
        self._squares = 0.0
        self._reasons: Counter[tuple[str, str]] = Counter()

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        self._all.add(result)
        self._squares += (result.score or 0.0) ** 2
        if result.status in ("unparsed", "errored"):
            why = (result.status, result.explanation[:_REASON_CHARACTERS])
            if why in self._reasons or len(self._reasons) < _MAX_REASONS:
                self._reasons[why] += 1
        if result.has_confidence:
            self.confidences.append(result.confidence)
            self.right.append((result.score or 0.0) >= RIGHT_FROM)

    def detail(self) -> PartDetail:
        """What it came to."""
        part = self._all.part(self.task, self.strategy)
        spread = None
        if part.score is not None and part.scored > 1:
            spread = math.sqrt(max(0.0, self._squares / part.scored - part.score**2) / (part.scored - 1))
        return PartDetail(
            part=part,
            standard_error=spread,
            reasons=tuple(
                Reason(status=status, explanation=explanation, n=n)
                for (status, explanation), n in self._reasons.most_common(_SHOWN_REASONS)
            ),
        )


def tallies(run: StoredRun) -> dict[tuple[str, str], Tally]:
    """An empty tally for each task and strategy of a run."""
    definition = run.definition
    return {
        (task.name, strategy): Tally(task.name, strategy, run.metric(task.name))
        for task in definition.tasks
        for strategy in definition.strategies
    }


def detail(run: StoredRun) -> Detail:
    """What a run came to so far. Raises DataError."""
    found, times = tallies(run), Times()
    for result in run.results():
        times.add(result)
        found.setdefault((result.task, result.strategy), Tally(result.task, result.strategy, "")).add(result)
    return Detail(parts=tuple(tally.detail() for tally in found.values()), wall_seconds=times.wall_seconds())
