"""`summary.json`: what the samples of a run come to, by task and strategy.

In: results, one after another. Out: scores with intervals, counts, and costs. Nothing is scored here.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cot.errors import DataError
from cot.evaluate.ablation import Ablation
from cot.evaluate.definition import TaskIdentity
from cot.evaluate.result import SampleResult
from cot.evaluate.steps import StepFigures, StepTally
from cot.metric import AGGREGATES, Figures, Item, Status, find_aggregate
from cot.stats import calibration_error, clustered_bootstrap, risk_coverage, wilson

SCORE_DEFINITION: Final = (
    "Mean of the metric over the samples that were asked. Unparsed samples were asked and count as 0. Errored ones"
    " got no answer because something failed; they are left out, counted beside, and done again with --retry-errors."
)

IntervalMethod = Literal["wilson", "clustered_bootstrap"]


class Part(BaseModel):
    """A task under a strategy."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    task: str
    strategy: str
    metric: str
    n: int
    """Samples in all; `scored` of them are in the score."""
    scored: int
    score: Annotated[float, Field(ge=0, le=1)] | None
    """In [0, 1]; None if nothing was scored."""
    interval: tuple[float, float] | None
    """95%."""
    interval_method: IntervalMethod | None
    """`wilson` where each score is 0 or 1, else `clustered_bootstrap`, with images as clusters."""
    images: int
    counts: dict[str, int]
    """Samples by status: correct, partial, wrong, unparsed, errored."""
    mean_confidence: float | None
    calibration_error: float | None = None
    """Expected calibration error of the confidence, in [0, 1], over the answers that were correct or wrong; None where
    an answer is partly right, or the engine gives no confidence."""
    risk_coverage_area: float | None = None
    """Of the same answers: mean share of wrong ones among the surest, over all coverages; lower is better."""
    steps: StepFigures | None = None
    """How plans and sub-answers went; None where nothing was planned."""
    judged: dict[str, int] | None = None
    """Where a judge scores: answers by what it said: judged, unsure, unparsed, errored. Only the first are scored."""
    usage: dict[str, int]
    """Sums over samples."""
    seconds: float
    """Sum over samples of their wall clock; samples run at the same time."""
    figures: dict[str, Figures] | None = None
    """What the metric's own aggregate says, where it has one, by category."""
    note: str = ""


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


class Running:
    """Adds up the results of a part. Of each sample a few bytes are kept."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._values = array("d")
        self._clusters = array("q")
        self._confidences = array("d")
        self._right = array("b")
        self._steps = StepTally()
        self._numbers: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()
        self._usage: Counter[str] = Counter()
        self._seconds = self._confidence = self._sum = self._squares = 0.0
        self._items: list[Item] = []

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        self._counts[result.status] += 1
        if result.judge:
            self._judged[result.judge.status] += 1
        self._usage.update(result.usage)
        self._steps.add(result.steps)
        self._seconds += result.seconds
        cluster = self._numbers.setdefault(result.group, len(self._numbers))
        if self._metric in AGGREGATES:
            self._items.append(result.item())
        if result.status == "errored":
            return
        if result.status in ("correct", "wrong"):
            self._confidences.append(result.confidence)
            self._right.append(result.status == "correct")
        value = result.score or 0.0
        self._values.append(value)
        self._clusters.append(cluster)
        self._confidence += result.confidence
        self._sum += value
        self._squares += value * value

    @property
    def score(self) -> float | None:
        """The score so far, in [0, 1]; None if nothing was scored."""
        return self._sum / len(self._values) if self._values else None

    def rough_interval(self) -> tuple[float, float] | None:
        """A 95% interval that costs no time, for a progress line: it takes samples to be independent."""
        n = len(self._values)
        if not n:
            return None
        if not self._counts["partial"]:
            return wilson(self._counts["correct"], n)
        mean = self._sum / n
        half = 1.96 * math.sqrt(max(0.0, self._squares / n - mean * mean) / n)
        return max(0.0, mean - half), min(1.0, mean + half)

    def part(self, task: str, strategy: str) -> Part:
        """What it came to."""
        n, scored = self._counts.total(), len(self._values)
        figures, note = self._figures()
        interval, method = self._interval()
        confidences, right = self._confidences, [bool(one) for one in self._right]
        sure = any(confidences) and not self._counts["partial"]
        statuses: tuple[Status, ...] = ("correct", "partial", "wrong", "unparsed", "errored")
        return Part(
            task=task,
            strategy=strategy,
            metric=self._metric,
            n=n,
            scored=scored,
            score=self.score,
            interval=interval,
            interval_method=method,
            images=len(self._numbers),
            counts={status: self._counts[status] for status in statuses},
            mean_confidence=self._confidence / scored if scored else None,
            calibration_error=calibration_error(confidences, right) if sure else None,
            risk_coverage_area=risk_coverage(confidences, right).area if sure else None,
            steps=self._steps.figures(),
            judged=dict(sorted(self._judged.items())) if self._judged else None,
            usage=dict(self._usage),
            seconds=round(self._seconds, 6),
            figures=figures,
            note=note,
        )

    def _interval(self) -> tuple[tuple[float, float] | None, IntervalMethod | None]:
        if not self._values:
            return None, None
        if not self._counts["partial"]:
            return wilson(self._counts["correct"], len(self._values)), "wilson"
        return clustered_bootstrap(self._values, self._clusters), "clustered_bootstrap"

    def _figures(self) -> tuple[dict[str, Figures] | None, str]:
        if not self._items:
            without = sum(self._judged[status] for status in ("unsure", "unparsed"))
            return None, f"the judge gave {without} answers no verdict; they count as errored" if without else ""
        try:
            return find_aggregate(self._metric)(self._items), ""
        except DataError as error:
            return None, f"no figures of {self._metric}: {error}"


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
            running[key] = Running(metric_of(result.task))
        running[key].add(result)
    if not running:
        raise DataError("there is no result to sum up; expected at least one sample, since nothing has no score")
    parts = tuple(part.part(*key) for key, part in sorted(running.items()))
    return Summary(complete=complete, model=model, tasks=tasks, ablation=ablation, parts=parts)
