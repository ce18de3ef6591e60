"""`summary.json`: what the samples of a run come to, by task and strategy.

In: results, one after another. Out: scores with intervals, counts, and costs. Nothing is scored here.
"""

from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

from cot.errors import DataError
from cot.evaluate.ablation import Ablation
from cot.evaluate.definition import TaskIdentity
from cot.evaluate.part import Part
from cot.evaluate.result import SampleResult
from cot.evaluate.running import Running

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
    parts: tuple[Part, ...]


def summarise(
    results: Iterable[SampleResult],
    metric_of: Callable[[str], str],
    *,
    complete: bool,
    model: str,
    tasks: tuple[TaskIdentity, ...],
    ablation: Ablation | None = None,
) -> Summary:
    """Sum up a run. metric_of: name of a task -> name of its metric. Raises DataError if there is no result."""
    running: dict[tuple[str, str], Running] = {}
    for result in results:
        key = (result.task, result.strategy)
        if key not in running:
            running[key] = Running(metric_of(result.task), by_category=True)
        running[key].add(result)
    if not running:
        raise DataError("there is no result to sum up; expected at least one sample, since nothing has no score")
    parts = tuple(part.part(*key) for key, part in sorted(running.items()))
    return Summary(complete=complete, model=model, tasks=tasks, ablation=ablation, parts=parts)
