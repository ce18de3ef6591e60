import math

import pytest
from pydantic import ValidationError

from cot.planner.tuning import Tuning, logit


def test_confidences_are_left_alone_without_a_calibration():
    for source in ("direct", "steps", "vote", "other"):
        assert [Tuning().calibrated(p, source) for p in (0.0, 1e-9, 0.3, 1.0)] == [0.0, 1e-9, 0.3, 1.0]


def test_a_scale_is_the_source_s_own():
    tuning = Tuning(direct_slope=2, steps_shift=1)
    assert tuning.calibrated(0.75, "direct") == pytest.approx(0.9)  # odds of 3, squared
    assert tuning.calibrated(0.5, "steps") == pytest.approx(1 / (1 + math.exp(-1)))
    assert tuning.calibrated(0.75, "vote") == 0.75


def test_no_probability_stays_none_and_sure_ones_stay_probabilities():
    tuning = Tuning(direct_slope=50, direct_shift=3)
    assert tuning.calibrated(0.0, "direct") == 0.0
    assert 0 <= tuning.calibrated(1e-300, "direct") < 1e-6
    assert 1 - 1e-6 < tuning.calibrated(1.0, "direct") <= 1


def test_surer_answers_stay_surer():
    tuning = Tuning(direct_slope=0.4, direct_shift=-1)
    ranks = [tuning.calibrated(p / 100, "direct") for p in range(1, 101)]
    assert ranks == sorted(ranks)


def test_log_odds():
    assert [logit(p) for p in (0.0, 0.5, 1.0)] == [-16.0, 0.0, 16.0]
    assert logit(0.9) == pytest.approx(math.log(9))


def test_a_trace_holds_all_of_it():
    tuning = Tuning(keep=0.9, samples=3, vote_shift=-0.5)
    assert tuning.recordable["tuning: keep"] == 0.9
    assert Tuning.recorded({"model": "embedded", **tuning.recordable}) == tuning
    assert Tuning.recorded({"model": "embedded"}) == Tuning()
    with pytest.raises(ValueError, match="keep"):
        Tuning.recorded({"tuning: keep": 7})


@pytest.mark.parametrize("numbers", [{"keep": 1.1}, {"direct_slope": -1}, {"direct_shift": float("nan")}, {"kept": 1}])
def test_numbers_are_checked(numbers):
    with pytest.raises(ValidationError):
        Tuning(**numbers)


def test_votes_that_all_agree_are_no_certainty():
    tuning = Tuning(vote_slope=1, vote_shift=-1e-9)
    assert tuning.calibrated(1.0, "vote") == pytest.approx(1 / (1 + math.exp(-3)))
    assert tuning.calibrated(0.6, "vote") == pytest.approx(0.6)
