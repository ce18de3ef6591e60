"""`summary.json`: what the samples of a run come to, by task and strategy.

In: results, one after another. Out: scores with intervals, counts, and costs. Nothing is scored here.
"""

from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

from cot.errors import DataError
from cot.evaluate.ablation import Ablation
from cot.evaluate.definition import JudgeIdentity, TaskIdentity
from cot.evaluate.part import Part
from cot.evaluate.result import SampleResult
from cot.evaluate.running import Running
from cot.evaluate.wall import Times

SCORE_DEFINITION: Final = (
    "Mean of the metric over the samples that were asked. Unparsed samples were asked and count as 0. Errored ones"
    " have no score because something failed, or because a judge gave no verdict; they are left out, and counted"
    " beside. --retry-errors does those again that failed."
)


class Summary(BaseModel):
    """All parts, and what a score is."""

    model_config = ConfigDict(frozen=True)

    complete: bool
    score_definition: str = SCORE_DEFINITION
    model: str
    tasks: tuple[TaskIdentity, ...]
    """Which samples were asked."""
    ablation: Ablation | None = None
    """What was taken from the model: then the scores are controls."""
    judge: JudgeIdentity | None = None
    """Who judged the answers; None where no model did."""
    parts: tuple[Part, ...]
    wall_seconds: float | None = None
    """In which at least one sample was being worked on: without loading the model, and without pauses between starts of
    a run that went on. None where results do not say when they were made."""


class Tally:
    """Takes results one after another. metric_of: name of a task -> name of its metric."""

    def __init__(self, metric_of: Callable[[str], str]) -> None:
        self._metric_of = metric_of
        self._running: dict[tuple[str, str], Running] = {}
        self._times = Times()

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        key = (result.task, result.strategy)
        if key not in self._running:
            self._running[key] = Running(self._metric_of(result.task), by_category=True)
        self._running[key].add(result)
        self._times.add(result)

    def take(self, results: Iterable[SampleResult]) -> None:
        """Take many."""
        for result in results:
            self.add(result)

    def wall_seconds(self) -> float | None:
        """As `Summary` has it."""
        return self._times.wall_seconds()

    def parts(self) -> tuple[Part, ...]:
        """What it came to. Raises DataError if there was no result."""
        if not self._running:
            raise DataError("there is no result to sum up; expected at least one sample, since nothing has no score")
        return tuple(running.part(*key) for key, running in sorted(self._running.items()))
