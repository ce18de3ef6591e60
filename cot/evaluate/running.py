"""Adds up the results of a task under a strategy.

In: results, one after another; of each a few bytes are kept. Out: a `Part`. Nothing is scored here.
"""

import hashlib
import math
from array import array
from collections import Counter
from functools import lru_cache
from typing import Final

from cot.errors import DataError
from cot.evaluate.part import CategoryScore, GroupScore, IntervalMethod, Part
from cot.evaluate.result import SampleResult
from cot.evaluate.steps import StepTally
from cot.metric import AGGREGATES, Figures, GroupTally, Item, Status, find_aggregate
from cot.stats import calibration_error, clustered_bootstrap, risk_coverage, wilson

MAX_CATEGORIES: Final = 100
"""Told apart; samples of any more count as `OTHER`: always the same ones, in whichever order samples are finished."""
OTHER: Final = "other categories"


class Scores:
    """Adds up how many samples came to what, and their scores.

    values: the scores, of samples that did not error; clusters: the number of the image group of each. tokens: of
    prompts and answers.
    """

    def __init__(self) -> None:
        self.counts: Final[Counter[str]] = Counter()
        self.values: Final = array("d")
        self.clusters: Final = array("q")
        self.sum = 0.0
        self.tokens = 0
        self._numbers: dict[str, int] = {}

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        self.counts[result.status] += 1
        usage = result.usage
        self.tokens += usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        cluster = self._numbers.setdefault(result.group, len(self._numbers))
        if result.status == "errored":
            return
        value = result.score or 0.0
        self.values.append(value)
        self.clusters.append(cluster)
        self.sum += value

    def take(self, other: "Scores") -> None:
        """Add what another has added up."""
        self.counts.update(other.counts)
        self.sum += other.sum
        self.tokens += other.tokens
        places = [self._numbers.setdefault(group, len(self._numbers)) for group in other._numbers]
        self.values.extend(other.values)
        self.clusters.extend(places[cluster] for cluster in other.clusters)

    @property
    def images(self) -> int:
        """Image groups."""
        return len(self._numbers)

    @property
    def score(self) -> float | None:
        """In [0, 1]; None if nothing was scored."""
        return self.sum / len(self.values) if self.values else None

    def interval(self) -> tuple[tuple[float, float] | None, IntervalMethod | None]:
        """Of the score, 95%, and by which method."""
        if not self.values:
            return None, None
        if not self.counts["partial"]:
            return wilson(self.counts["correct"], len(self.values)), "wilson"
        found = clustered_bootstrap(self.values, self.clusters)
        return found, "clustered_bootstrap" if found else None


class Running:
    """Adds up the results of a part. Of each sample a few bytes are kept."""

    def __init__(self, metric: str, *, by_category: bool = False) -> None:
        """metric: its name, empty to leave its own figures out. by_category: also add categories and groups up."""
        self._metric = metric
        self._all = Scores()
        self._categories: dict[str, Scores] | None = {} if by_category else None
        self._others: Scores | None = None
        self._confidences = array("d")
        self._right = array("b")
        self._steps = StepTally()
        self._stopped: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()
        self._usage: Counter[str] = Counter()
        self._judge_usage: Counter[str] = Counter()
        self._seconds = self._confidence = self._squares = 0.0
        self._sure = 0
        self._items: list[Item] = []
        self._groups: dict[str, GroupTally] = {}

    def add(self, result: SampleResult) -> None:
        """Take one result."""
        self._all.add(result)
        if self._categories is not None:
            self._scores_of(result.category, self._categories).add(result)
            for name, group in result.in_groups.items():
                self._groups.setdefault(name, GroupTally()).add(group, result.status, result.group)
        if result.ran_out:
            self._stopped[result.ran_out] += 1
        if result.judge:
            self._judged[result.judge.status] += 1
            self._judge_usage.update(result.judge.usage)
        self._usage.update(result.usage)
        self._steps.add(result.steps)
        self._seconds += result.seconds
        if self._metric in AGGREGATES:
            self._items.append(result.item())
        if result.status == "errored":
            return
        if result.has_confidence:
            self._sure += 1
            self._confidence += result.confidence
            if result.status != "partial":
                self._confidences.append(result.confidence)
                self._right.append(result.status == "correct")
        self._squares += (result.score or 0.0) ** 2

    def _scores_of(self, category: str, told: dict[str, Scores]) -> Scores:
        """Where a category's results are added up: those with the least hashes are told apart."""
        if category in told:
            return told[category]
        if self._others is None and len(told) < MAX_CATEGORIES:
            return told.setdefault(category, Scores())
        self._others = self._others or Scores()
        last = max(told, key=_rank)
        if _rank(category) > _rank(last):
            return self._others
        self._others.take(told.pop(last))
        return told.setdefault(category, Scores())

    @property
    def score(self) -> float | None:
        """The score so far, in [0, 1]; None if nothing was scored."""
        return self._all.score

    def rough_interval(self) -> tuple[float, float] | None:
        """A 95% interval that costs no time, for a progress line: it takes samples to be independent."""
        n, counts = len(self._all.values), self._all.counts
        if not n:
            return None
        if not counts["partial"]:
            return wilson(counts["correct"], n)
        mean = self._all.sum / n
        half = 1.96 * math.sqrt(max(0.0, self._squares / n - mean * mean) / n)
        return max(0.0, mean - half), min(1.0, mean + half)

    def part(self, task: str, strategy: str) -> Part:
        """What it came to."""
        counts, scored = self._all.counts, len(self._all.values)
        figures, note = self._figures()
        interval, method = self._all.interval()
        confidences, right = self._confidences, [bool(one) for one in self._right]
        sure = any(confidences) and not counts["partial"]
        statuses: tuple[Status, ...] = ("correct", "partial", "wrong", "unparsed", "errored")
        return Part(
            task=task,
            strategy=strategy,
            metric=self._metric,
            n=counts.total(),
            scored=scored,
            score=self.score,
            interval=interval,
            interval_method=method,
            images=self._all.images,
            counts={status: counts[status] for status in statuses},
            stopped=dict(sorted(self._stopped.items())),
            mean_confidence=self._confidence / self._sure if self._sure else None,
            calibration_error=calibration_error(confidences, right) if sure else None,
            risk_coverage_area=risk_coverage(confidences, right).area if sure else None,
            steps=self._steps.figures(),
            judged=dict(sorted(self._judged.items())) if self._judged else None,
            judge_usage=dict(self._judge_usage) if self._judged else None,
            usage=dict(self._usage),
            seconds=round(self._seconds, 6),
            figures=figures,
            group_scores=tuple(_group_score(name, groups) for name, groups in sorted(self._groups.items())),
            categories=self._by_category(),
            note=note,
        )

    def _by_category(self) -> tuple[CategoryScore, ...]:
        if self._categories is None or len(self._categories) < 2:
            return ()
        told = [*sorted(self._categories.items()), *([(OTHER, self._others)] if self._others else [])]
        return tuple(_category(name, scores) for name, scores in told)

    def _figures(self) -> tuple[dict[str, Figures] | None, str]:
        if not self._items:
            without = sum(self._judged[status] for status in ("unsure", "unparsed"))
            return None, _without_verdict(without) if without else ""
        try:
            return find_aggregate(self._metric)(self._items), ""
        except DataError as error:
            return None, f"no figures of {self._metric}: {error}"


def _without_verdict(n: int) -> str:
    answers, count = ("1 answer", "it counts") if n == 1 else (f"{n} answers", "they count")
    return f"the judge gave {answers} no verdict; {count} as errored, and --retry-errors does not ask again"


def _category(name: str, scores: Scores) -> CategoryScore:
    interval, _ = scores.interval()
    n, scored = scores.counts.total(), len(scores.values)
    return CategoryScore(category=name, n=n, scored=scored, score=scores.score, interval=interval, tokens=scores.tokens)


def _group_score(name: str, groups: GroupTally) -> GroupScore:
    known = [(float(right), cluster) for right, cluster in zip(groups.right, groups.clusters, strict=True)
             if right is not None]  # fmt: skip
    values, clusters = [value for value, _ in known], [cluster for _, cluster in known]
    right, scored = int(sum(values)), len(values)
    interval: tuple[float, float] | None = None
    method: IntervalMethod | None = None
    if values:
        alone = len(set(clusters)) == scored
        interval = wilson(right, scored) if alone else clustered_bootstrap(values, clusters)
        method = ("wilson" if alone else "clustered_bootstrap") if interval else None
    score = right / scored if scored else None
    return GroupScore(
        name=name, n=len(groups.right), scored=scored, right=right, score=score, interval=interval,
        interval_method=method,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _rank(category: str) -> bytes:
    return hashlib.sha256(category.encode()).digest()
