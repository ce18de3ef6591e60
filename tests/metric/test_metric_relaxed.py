"""ChartQA's relaxed accuracy."""

import random
from fractions import Fraction

import pytest

from cot.metric import Target
from cot.metric.relaxed import relaxed_accuracy


def _right(target: str, prediction: str) -> bool:
    return relaxed_accuracy(prediction, Target((target,))).value == 1


def test_every_vector(vectors):
    assert [row for row in vectors("relaxed") if _right(row["target"], row["prediction"]) != row["correct"]] == []


@pytest.mark.parametrize(
    ("target", "prediction"), [("100", "105"), ("5%", "0.05"), ("2010", "2000"), ("Yes", "yes"), ("0", "0")]
)
def test_close_enough(target, prediction):
    assert _right(target, prediction)


@pytest.mark.parametrize(
    ("target", "prediction"),
    [("100", "105.1"), ("0", "0.0"), ("5%", "5"), ("1,000", "1000"), ("Yes", "Yes."), ("inf", "inf"), ("5", "nan")],
)
def test_not_close_enough(target, prediction):
    assert not _right(target, prediction)


def test_best_of_the_ground_truths():
    target = Target(("blue", "100"))
    assert relaxed_accuracy("96", target).value == relaxed_accuracy("Blue", target).value == 1
    assert relaxed_accuracy("94", target).value == 0


def test_nothing_against_nothing_is_no_score():
    assert relaxed_accuracy("", Target(("",))).status == "unparsed"
    assert relaxed_accuracy("", Target(("", "x"))).status == "wrong"
    assert relaxed_accuracy("x", Target(("",))).status == "wrong"


def test_against_exact_fractions():
    rng = random.Random(1)
    seen = set()
    for _ in range(500):
        target = Fraction(rng.choice([-1, 1]) * rng.randint(1, 2000), 10)
        prediction = target * (1 + Fraction(rng.randint(-99, 99), 1000))
        if abs(abs(prediction - target) / abs(target) - Fraction(1, 20)) < Fraction(1, 10**6):
            continue  # Floats and fractions may differ on the edge itself.
        expected = abs(prediction - target) <= abs(target) / 20
        assert _right(str(float(target)), str(float(prediction))) == expected
        seen.add(expected)
    assert seen == {True, False}
