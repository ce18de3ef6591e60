"""Intervals for scores: pure functions over numbers."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from cot.errors import DataError

CONFIDENCE: Final = 0.95


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
) -> tuple[float, float]:
    """95% percentile interval of the mean, resampling whole clusters (Efron and Tibshirani 1993, ch. 13).

    values: one number a sample, for example a paired difference. clusters: what each sample shares
    with others (its image), same length. Raises DataError if there is nothing to resample.
    """
    if not values or len(values) != len(clusters):
        raise DataError(f"need as many values as clusters and at least one, got {len(values)} and {len(clusters)}")
    grouped: dict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        grouped[cluster].append(value)
    sums = np.array([sum(group) for group in grouped.values()])
    sizes = np.array([len(group) for group in grouped.values()])
    picks = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
