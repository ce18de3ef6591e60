"""Intervals against reference values."""

import math

import pytest

from cot.errors import DataError
from cot.stats import clustered_bootstrap, wilson


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
    assert by_cluster[0] < by_sample[0] < 0.5 < by_sample[1] < by_cluster[1]
    assert clustered_bootstrap(values, range(200)) == by_sample


def test_bootstrap_needs_values() -> None:
    with pytest.raises(DataError, match="at least one"):
        clustered_bootstrap([], [])
