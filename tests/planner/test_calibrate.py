import random

import pytest

from cot.errors import DataError
from cot.planner.calibrate import Pair, fit_keep, routed
from cot.planner.tuning import Tuning


def pair(direct, right, steps, steps_right, tokens=100):
    return Pair(direct, right, 100, steps, steps_right, tokens)


def fitted(pairs, tuning=None, **how):
    found = fit_keep(pairs, tuning or Tuning(), **how)
    return found, routed(pairs, found)


def test_unsure_answers_that_steps_put_right_are_planned():
    found, result = fitted([pair(0.9, True, 0.9, False)] * 5 + [pair(0.3, False, 0.8, True)] * 3)
    assert (result.accuracy, result.direct_accuracy) == (1.0, 5 / 8)
    assert 0.3 < found.keep <= 0.9
    assert result.cost == pytest.approx(1 + 3 / 8)


def test_steps_that_do_not_help_are_never_paid_for():
    found, result = fitted([pair(0.2, True, 0.9, False), pair(0.1, False, 0.9, False)] * 4)
    assert (found.keep, result.cost, result.accuracy) == (0.0, 1.0, 0.5)


def test_of_two_answers_the_likelier_counts():
    pairs = [pair(0.3, False, 0.8, True)] * 3 + [pair(0.3, True, 0.2, False)] * 3
    assert fitted(pairs)[1].accuracy == 1.0
    assert fitted(pairs, Tuning(steps_shift=-5))[1].accuracy == 0.5


def test_what_has_no_direct_answer_is_always_planned():
    pairs = [pair(0.0, False, 0.2, True)] * 2 + [pair(0.4, True, 0.8, False)] * 2
    found, result = fitted(pairs, Tuning(direct_shift=5))
    assert (found.keep, result.accuracy, result.cost) == (0.0, 1.0, 1.5)
    assert fitted([pair(0.0, True, 0.2, False), pair(0.4, False, 0.8, True)])[0].keep == 1.0


def test_the_other_numbers_stay():
    tuning = Tuning(samples=3, direct_slope=0.5)
    assert fit_keep([pair(0.5, True, 0.0, False)], tuning) == tuning.model_copy(update={"keep": 0.0})


def test_cost_is_bounded():
    pairs = [pair(0.3, False, 0.8, True, tokens=1000)] * 5 + [pair(0.1, False, 0.8, True, tokens=100)] * 5
    assert fitted(pairs, max_cost=100)[1].accuracy == 1.0
    assert fitted(pairs)[1].accuracy == 0.5
    assert fitted(pairs, max_cost=1)[1].accuracy == 0.0


def test_no_threshold_does_better():
    rng = random.Random(0)
    for _ in range(20):
        pairs = [
            pair(rng.choice([0.1, 0.4, 0.7, 1.0]), rng.random() < 0.5, rng.choice([0.2, 0.5, 0.8]), rng.random() < 0.6)
            for _ in range(12)
        ]
        _, result = fitted(pairs, max_cost=9)
        others = [routed(pairs, Tuning(keep=keep)).accuracy for keep in (0.0, 0.15, 0.45, 0.75, 1.0)]
        assert result.accuracy >= max(others)


def test_large_sets_are_fitted():
    rng = random.Random(1)
    pairs = [pair(rng.random(), rng.random() < 0.6, rng.random(), rng.random() < 0.6) for _ in range(300)]
    _, result = fitted(pairs)
    assert result.accuracy >= result.direct_accuracy


@pytest.mark.parametrize("values", [(1.2, True, 10, 0.5, True, 10), (0.5, True, 0, 0.5, True, 10)])
def test_pairs_are_checked(values):
    with pytest.raises(DataError, match="expected"):
        Pair(*values)


def test_nothing_cannot_be_fitted():
    with pytest.raises(DataError, match="got 0 pairs"):
        fit_keep([], Tuning())
    with pytest.raises(DataError, match="got a cost of 0.5 at most; expected at least 1"):
        fit_keep([pair(0.5, True, 0.0, False)], Tuning(), max_cost=0.5)
    with pytest.raises(DataError, match="got no pair"):
        routed([], Tuning())
