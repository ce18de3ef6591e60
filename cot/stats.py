"""Statistics of scores: intervals, paired comparison, calibration. Pure functions over numbers.

Knows nothing of what is scored. Samples without a score are left out, and counted, by whoever calls.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cot.errors import DataError

CONFIDENCE: Final = 0.95

FloatArray = NDArray[np.float64]

_FEW_KINDS: Final = 10
"""A kind of cluster for each ten clusters is few."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference of paired scores, after minus before; n is the number of pairs.

    interval: 95% of it; None where all pairs are of one cluster.
    """

    mean: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """What share of answers is wrong (risk), if only the surest are given (coverage); both in (0, 1] and [0, 1].

    area: mean risk over all coverages; lower is better. points: (coverage, risk), the surest first.
    """

    area: float
    points: tuple[tuple[float, float], ...]


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion, in [0, 1].

    Wilson (1927), JASA 22(158), formula of the score interval without continuity correction.
    Raises DataError unless 0 <= correct <= n and n > 0.
    """
    if not 0 <= correct <= n or n == 0:
        raise DataError(f"a proportion needs 0 <= correct <= n and n > 0, got {correct} of {n}")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_bootstrap(
    values: Sequence[float], clusters: Sequence[Hashable], *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95% percentile interval of the mean, resampling whole clusters (Efron and Tibshirani 1993, ch. 13).

    values: one number a sample, for example a paired difference. clusters: what each sample shares
    with others (its image), same length. None where all are of one cluster: nothing is known of how clusters differ,
    and every resample would be the same. The order of the samples does not matter; memory grows with their number, not
    with that of the resamples. Raises DataError if there is nothing to resample.
    """
    if not values or len(values) != len(clusters):
        raise DataError(f"need as many values as clusters and at least one, got {len(values)} and {len(clusters)}")
    grouped: dict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        grouped[cluster].append(value)
    if len(grouped) < 2:
        return None
    # Each cluster's sum and size; sorted, so that the order of the samples does not matter.
    totals = np.array(sorted((math.fsum(group), len(group)) for group in grouped.values()), dtype=float)
    drawn = _resampled(totals, resamples, np.random.default_rng(seed))
    means = drawn[:, 0] / drawn[:, 1]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of after - before over the same samples, with a 95% interval by `clustered_bootstrap`.

    before, after: the scores of two runs, sample by sample. clusters: what each sample shares with others.
    Raises DataError unless all three are equally long and not empty.
    """
    if len(before) != len(after):
        raise DataError(f"a paired difference needs the same samples twice, got {len(before)} and {len(after)}")
    differences = [b - a for a, b in zip(before, after, strict=True)]
    interval = clustered_bootstrap(differences, clusters, resamples=resamples, seed=seed)
    return Difference(math.fsum(differences) / len(differences), interval, len(differences))


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> float:
    """Two-sided p-value, in [0, 1], that two runs are right equally often on the same samples.

    McNemar (1947), Psychometrika 12(2), exact: of the n pairs that differ, the number that got better is
    Binomial(n, 1/2); p = min(1, 2 P(X <= min(better, worse))). It is 1 where no pair differs. Samples are taken to be
    independent: where several share an image, `paired_difference` with its clusters is the safer judge.
    Raises DataError unless both are equally long and not empty.
    """
    if not before or len(before) != len(after):
        raise DataError(f"McNemar's test needs the same samples twice, got {len(before)} and {len(after)}")
    worse = sum(bool(a) and not b for a, b in zip(before, after, strict=True))
    better = sum(bool(b) and not a for a, b in zip(before, after, strict=True))
    n = worse + better
    ways = total = 1
    for k in range(min(worse, better)):
        ways = ways * (n - k) // (k + 1)
        total += ways
    # Whole numbers, and one division of them: exact for any n, where floats would run out of range.
    return min(1.0, 2 * total / (1 << n))


def calibration_error(confidences: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error, in [0, 1]: how far confidence and accuracy lie apart on average.

    Guo et al. (2017), arXiv:1706.04599, equation 3: sum over bins of |bin| / n * |accuracy - mean confidence|, with
    bins of equal width, each open on the left (the first is closed).
    Raises DataError for a confidence outside [0, 1], no bin, or nothing to compare.
    """
    _check_confidences(confidences, right)
    if bins < 1:
        raise DataError(f"calibration needs at least 1 bin, got {bins}")
    edges = [k / bins for k in range(1, bins + 1)]
    gaps: dict[int, float] = defaultdict(float)
    for confidence, is_right in zip(confidences, right, strict=True):
        gaps[bisect_left(edges, confidence)] += float(is_right) - confidence
    return math.fsum(abs(gap) for gap in gaps.values()) / len(confidences)


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> RiskCoverage:
    """The risk-coverage curve, and the area below it: mean over k = 1..n of the share of wrong among the k surest.

    Geifman and El-Yaniv (2017), arXiv:1705.08500. Answers of equal confidence have no order; they are taken to be
    wrong at their common rate, so the result does not depend on the order of samples, and make one point together.
    Raises DataError for a confidence outside [0, 1], or nothing to compare.
    """
    _check_confidences(confidences, right)
    ranked = sorted(zip(confidences, right, strict=True), key=lambda pair: -pair[0])
    points, risks = [], []
    taken, wrong = 0, 0
    for _, group in groupby(ranked, key=lambda pair: pair[0]):
        outcomes = [not is_right for _, is_right in group]
        rate = sum(outcomes) / len(outcomes)
        risks += [(wrong + k * rate) / (taken + k) for k in range(1, len(outcomes) + 1)]
        taken, wrong = taken + len(outcomes), wrong + sum(outcomes)
        points.append((taken / len(ranked), wrong / taken))
    return RiskCoverage(math.fsum(risks) / len(risks), tuple(points))


def _resampled(totals: FloatArray, resamples: int, generator: np.random.Generator) -> FloatArray:
    """Sums over as many clusters as there are, drawn with replacement: (resamples, 2) of totals, (clusters, 2)."""
    n = len(totals)
    kinds, counts = np.unique(totals, axis=0, return_counts=True)
    if len(kinds) * _FEW_KINDS <= n:
        # How often each kind of cluster is drawn is multinomial, which is the same and a thousand times as fast.
        found: FloatArray = generator.multinomial(n, counts / n, resamples) @ kinds
        return found
    sums = np.empty((resamples, 2))
    for resample in range(resamples):
        picks = generator.integers(0, n, n, dtype=np.int32)
        sums[resample] = totals[:, 0].take(picks).sum(), totals[:, 1].take(picks).sum()
    return sums


def _check_confidences(confidences: Sequence[float], right: Sequence[bool]) -> None:
    if not confidences or len(confidences) != len(right):
        raise DataError(
            f"need as many confidences as outcomes and at least one, got {len(confidences)} and {len(right)}"
        )
    if outside := [confidence for confidence in confidences if not 0 <= confidence <= 1]:
        raise DataError(f"got a confidence of {outside[0]}; expected a number from 0 to 1")
