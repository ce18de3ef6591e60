import random

import pytest

from cot.errors import DataError
from cot.planner.calibrate import Pair, fit


def pair(direct, right, steps, steps_right, tokens=100):
    return Pair(direct, right, 100, steps, steps_right, tokens)


def routed(pairs, keep, accept):
    return [
        p.direct_right if p.direct_confidence >= keep or p.steps_confidence < accept else p.steps_right for p in pairs
    ]


def test_unsure_answers_that_steps_put_right_are_planned():
    pairs = [pair(0.9, True, 0.9, False)] * 5 + [pair(0.3, False, 0.8, True)] * 3
    found = fit(pairs)
    assert (found.accuracy, found.direct_accuracy) == (1.0, 5 / 8)
    assert 0.3 < found.keep <= 0.9
    assert 0 < found.accept <= 0.8
    assert found.cost == pytest.approx(1 + 3 / 8)
    assert found.tuning.keep == found.keep


def test_steps_that_do_not_help_are_never_paid_for():
    found = fit([pair(0.2, True, 0.9, False), pair(0.1, False, 0.9, False)] * 4)
    assert (found.keep, found.cost, found.accuracy) == (0.0, 1.0, 0.5)


def test_unsure_steps_are_not_taken():
    pairs = [pair(0.3, False, 0.8, True)] * 3 + [pair(0.3, True, 0.2, False)] * 3
    found = fit(pairs)
    assert (found.accept, found.accuracy) == (0.8, 1.0)


def test_cost_is_bounded():
    pairs = [pair(0.3, False, 0.8, True, tokens=1000)] * 5 + [pair(0.1, False, 0.8, True, tokens=100)] * 5
    assert fit(pairs, max_cost=100).accuracy == 1.0
    assert fit(pairs).accuracy == 0.5
    assert fit(pairs, max_cost=1).accuracy == 0.0


def test_no_threshold_does_better():
    rng = random.Random(0)
    for _ in range(20):
        pairs = [
            pair(rng.choice([0.1, 0.4, 0.7, 1.0]), rng.random() < 0.5, rng.choice([0.2, 0.5, 0.8]), rng.random() < 0.6)
            for _ in range(12)
        ]
        found = fit(pairs, max_cost=9)
        assert sum(routed(pairs, found.keep, found.accept)) / 12 == pytest.approx(found.accuracy)
        grid = [0.0, 0.15, 0.45, 0.75, 1.0]
        # A direct answer of confidence 1 is always kept.
        assert found.accuracy >= max(sum(routed(pairs, keep, accept)) / 12 for keep in grid for accept in grid[1:])


def test_large_sets_are_fitted_soon():
    rng = random.Random(1)
    pairs = [pair(rng.random(), rng.random() < 0.6, rng.random(), rng.random() < 0.6) for _ in range(300)]
    assert fit(pairs).accuracy >= fit(pairs).direct_accuracy


@pytest.mark.parametrize("values", [(1.2, True, 10, 0.5, True, 10), (0.5, True, 0, 0.5, True, 10)])
def test_pairs_are_checked(values):
    with pytest.raises(DataError, match="expected"):
        Pair(*values)


def test_nothing_cannot_be_fitted():
    with pytest.raises(DataError, match="got 0 pairs"):
        fit([])
