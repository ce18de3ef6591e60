"""Intervals, tests and calibration against reference values."""

import math
import tracemalloc

import pytest

from cot.errors import DataError
from cot.stats import calibration_error, clustered_bootstrap, mcnemar, paired_difference, risk_coverage, wilson


@pytest.mark.parametrize(("correct", "n"), [(8, 10), (1, 7), (98, 100), (9600, 9673)])
def test_wilson_bounds_solve_the_score_equation(correct: int, n: int) -> None:
    # The interval is by definition all p with |share - p| <= z sqrt(p (1 - p) / n).
    for bound in wilson(correct, n):
        assert abs(correct / n - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / n), rel=1e-5)


def test_wilson_stays_within_0_and_1() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_no_interval_for_nonsense(correct: int, n: int) -> None:
    with pytest.raises(DataError, match="proportion"):
        wilson(correct, n)


def test_bootstrap_by_cluster_is_wider_than_by_sample() -> None:
    values = [float(index // 10 % 2) for index in range(200)]
    by_cluster = clustered_bootstrap(values, [index // 10 for index in range(200)])
    by_sample = clustered_bootstrap(values, range(200))
    assert by_cluster
    assert by_sample
    assert by_cluster[0] < by_sample[0] < 0.5 < by_sample[1] < by_cluster[1]
    assert clustered_bootstrap(values, range(200)) == by_sample


@pytest.mark.parametrize("distinct", [False, True])
def test_bootstrap_of_many_clusters_has_the_width_of_the_normal_interval_and_little_memory(distinct: bool) -> None:
    n = 10_000
    values = [(index % 10 < 3) + (index / n / 1000 if distinct else 0.0) for index in range(n)]
    tracemalloc.start()
    interval = clustered_bootstrap(values, range(n))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    half = 1.96 * math.sqrt(0.3 * 0.7 / n)
    assert interval == pytest.approx((0.3 - half, 0.3 + half), abs=half * 0.1 + 0.0006 * distinct)
    assert peak < 50 * 2**20
    some = values[:2_000]
    assert clustered_bootstrap(some, range(2_000)) == clustered_bootstrap(some[::-1], range(2_000))


def test_bootstrap_needs_values() -> None:
    with pytest.raises(DataError, match="at least one"):
        clustered_bootstrap([], [])


@pytest.mark.parametrize("values", [[1.0], [0.0, 1.0, 1.0]])
def test_one_cluster_has_no_interval(values):
    assert clustered_bootstrap(values, ["image"] * len(values)) is None
    found = paired_difference([0.0] * len(values), values, ["image"] * len(values))
    assert (found.mean, found.interval, found.n) == (pytest.approx(sum(values) / len(values)), None, len(values))
    assert clustered_bootstrap([*values, 1.0], [*["image"] * len(values), "another"]) is not None


def test_paired_difference_knows_its_pairs():
    before, after = [0, 1, 0, 0] * 25, [1, 1, 0, 1] * 25
    found = paired_difference(before, after, [i // 4 for i in range(100)])
    assert (found.mean, found.interval, found.n) == (0.5, (0.5, 0.5), 100)
    by_sample = paired_difference(before, after, range(100))
    assert by_sample.interval[0] < 0.5 < by_sample.interval[1]
    assert by_sample.interval == clustered_bootstrap([b - a for a, b in zip(before, after, strict=True)], range(100))
    with pytest.raises(DataError, match="same samples twice, got 1 and 2"):
        paired_difference([1], [1, 0], [0])


@pytest.mark.parametrize(
    ("worse", "better", "p"),
    [(0, 0, 1.0), (0, 1, 1.0), (0, 5, 0.0625), (5, 0, 0.0625), (2, 8, 0.109375), (5, 5, 1.0), (6, 16, 0.0524787902832)],
)
def test_mcnemar_counts_the_pairs_that_differ(worse: int, better: int, p: float) -> None:
    before = [True] * worse + [False] * better + [True, False] * 3
    after = [False] * worse + [True] * better + [True, False] * 3
    assert mcnemar(before, after) == pytest.approx(p, abs=1e-9)


def test_mcnemar_is_the_sum_of_binomial_tails() -> None:
    for worse, better in [(3, 9), (40, 61), (700, 800)]:
        n = worse + better
        tail = sum(math.comb(n, k) for k in range(worse + 1)) / 2**n
        assert mcnemar([True] * worse + [False] * better, [False] * worse + [True] * better) == pytest.approx(2 * tail)
    with pytest.raises(DataError, match="same samples twice"):
        mcnemar([], [])


def test_calibration_error_by_hand() -> None:
    # Two bins: (0.6, 0.7] has accuracy 0.5 and confidence 0.65, (0.9, 1] accuracy 1 and confidence 0.95.
    confidences, right = [0.6001, 0.6999, 0.95, 0.95], [True, False, True, True]
    assert calibration_error(confidences, right) == pytest.approx(0.5 * 0.15 + 0.5 * 0.05)
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    assert calibration_error([1.0], [False]) == 1
    # The edge belongs to the bin below it, also where 0.7 * 10 is a little more than 7.
    assert calibration_error([0.65, 0.7], [True, False]) == pytest.approx(abs(0.35 - 0.7) / 2)


def test_risk_coverage_by_hand() -> None:
    curve = risk_coverage([0.5, 0.9, 0.7], [False, True, False])
    coverages, risks = zip(*curve.points, strict=True)
    assert coverages == pytest.approx((1 / 3, 2 / 3, 1))
    assert risks == pytest.approx((0, 1 / 2, 2 / 3))
    assert curve.area == pytest.approx((0 + 1 / 2 + 2 / 3) / 3)
    tied = risk_coverage([0.5] * 4, [True, False, False, True])
    assert tied == risk_coverage([0.5] * 4, [False, True, True, False])
    assert (tied.area, tied.points) == (0.5, ((1.0, 0.5),))


@pytest.mark.parametrize("measure", [calibration_error, risk_coverage])
def test_confidences_are_checked(measure) -> None:
    for confidences, right in [([], []), ([0.5], []), ([1.2], [True]), ([math.nan], [True])]:
        with pytest.raises(DataError):
            measure(confidences, right)
    with pytest.raises(DataError, match="1 bin"):
        calibration_error([0.5], [True], bins=0)
