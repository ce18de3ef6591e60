import random

import pytest

from cot.errors import DataError
from cot.planner.scale import fit_scale
from cot.planner.tuning import Tuning
from cot.stats import calibration_error


def answers(n, chance, seed=0):
    """Confidences, and answers that are right with the probability that `chance` makes of them."""
    rng = random.Random(seed)
    confidences = [rng.uniform(0.02, 0.999) for _ in range(n)]
    return confidences, [rng.random() < chance(p) for p in confidences]


def test_an_honest_model_is_left_as_it_is():
    assert fit_scale(*answers(4000, lambda p: p)) == (1, 0)


def test_the_curve_behind_the_answers_is_found():
    true = Tuning(direct_slope=0.5, direct_shift=-1)
    slope, shift = fit_scale(*answers(4000, lambda p: true.calibrated(p, "direct")))
    assert (slope, shift) == (pytest.approx(0.5, abs=0.1), pytest.approx(-1, abs=0.1))


def test_the_error_falls_on_answers_that_it_was_not_fitted_on():
    def chance(p):
        return 0.2 + 0.4 * p

    slope, shift = fit_scale(*answers(500, chance))
    confidences, right = answers(500, chance, seed=1)
    tuning = Tuning(direct_slope=slope, direct_shift=shift)
    after = [tuning.calibrated(p, "direct") for p in confidences]
    assert calibration_error(after, right) < calibration_error(confidences, right) / 2


def test_a_curve_that_falls_is_flat():
    slope, shift = fit_scale([0.9] * 30 + [0.1] * 30, [False] * 30 + [True] * 30)
    assert slope == 0
    assert Tuning(direct_slope=slope, direct_shift=shift).calibrated(0.9, "direct") == pytest.approx(0.5)


@pytest.mark.parametrize("right", [True, False])
def test_answers_all_alike_are_no_certainty(right):
    slope, shift = fit_scale([0.999] * 20 + [0.4] * 20, [right] * 40)
    chance = Tuning(direct_slope=slope, direct_shift=shift).calibrated(0.9, "direct")
    assert 0.9 < (chance if right else 1 - chance) < 1


def test_the_extremes_are_no_infinities():
    slope, shift = fit_scale([0.0, 1.0, 1e-300, 1 - 1e-16] * 10, [False, True] * 20)
    assert 0 < slope < 100
    assert abs(shift) < 100


@pytest.mark.parametrize(("confidences", "right"), [([0.5] * 29, [True] * 29), ([0.5] * 40, [True] * 39)])
def test_too_few_cannot_be_fitted(confidences, right):
    with pytest.raises(DataError, match="expected as many, and at least 30"):
        fit_scale(confidences, right)
