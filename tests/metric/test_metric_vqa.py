"""VQAv2 soft accuracy and its normalisation."""

import random

import pytest

from cot.errors import DataError
from cot.metric import Target
from cot.metric.contractions import CONTRACTIONS
from cot.metric.vqa import normalised, soft_accuracy


def _others(k: int) -> tuple[str, ...]:
    return tuple(f"other {i}" for i in range(k))


def test_every_vector(vectors):
    wrong = []
    for row in vectors("vqa_soft"):
        value = soft_accuracy(row["prediction"], Target(tuple(row["answers"]))).value
        if abs(value - row["score"]) > 1e-9 or normalised(row["prediction"]) != row["normalised"]:
            wrong.append((row, value, normalised(row["prediction"])))
    assert wrong == []


@pytest.mark.parametrize(("k", "value"), [*enumerate((0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1))])
def test_k_of_ten_agree(k, value):
    score = soft_accuracy("cat", Target(("cat",) * k + _others(10 - k)))
    assert score.value == pytest.approx(value, abs=1e-9)
    assert score.status == {0: "wrong", 1: "correct"}.get(value, "partial")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two dogs.", "2 dogs"), ("red/blue", "red blue"), ("1,000", "1000"), ("t-shirt", "t shirt"), ("3.", "3"),
        ("U.S.A.", "usa"), ("dont", "don't"), ("10:30", "10:30"), ("a", ""), ("1,000-2,000", "10002000"),
        ("none", "0"), ("Ten", "10"), ("eleven", "eleven"), ("the red , an apple", "red apple"), ("$5 & 6%", "$5 & 6%"),
        ("3.5", "3.5"), ("\tx\ny ", "x y"), ("somebody'd", "somebodyd"), ("yall'll", "y'all'll"), ("", ""),
    ],
)  # fmt: skip
def test_normalisation(text, expected):
    assert normalised(text) == expected


def test_only_32_full_stops_go():
    assert normalised("." * 40) == "." * 8


def test_unanimous_annotators_are_compared_as_written():
    black = Target(("black",) * 10)
    assert soft_accuracy("Black.", black).value == 0
    assert soft_accuracy("Black.", black, normalise="always").value == 1
    assert soft_accuracy(" black\n", black).value == 1


def test_the_table_of_contractions():
    assert len(CONTRACTIONS) == 120
    assert CONTRACTIONS["couldnt've"] == CONTRACTIONS["couldn'tve"] == "couldn't've"
    assert CONTRACTIONS["'ow'sat"] == CONTRACTIONS["ow's'at"] == "'ow's'at"
    assert "shes" not in CONTRACTIONS


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_annotators(n):
    with pytest.raises(DataError, match=f"got {n} annotators.*'exact'"):
        soft_accuracy("cat", Target(("cat",) * n))


def test_against_a_count_by_index():
    rng = random.Random(0)
    words = ["cat", "dog", "two cats", "red", ""]
    seen = set()
    for _ in range(200):
        answers = [rng.choice(words) for _ in range(rng.randint(4, 12))]
        prediction = rng.choice(words)
        shares = []
        for i in range(len(answers)):
            agreeing = 0
            for j, other in enumerate(answers):
                agreeing += j != i and normalised(other) == normalised(prediction)
            shares.append(min(1, agreeing / 3))
        score = soft_accuracy(prediction, Target(tuple(answers)), normalise="always")
        assert score.value == pytest.approx(sum(shares) / len(shares), abs=1e-9)
        seen.add(score.status)
    assert seen == {"correct", "partial", "wrong"}


@pytest.mark.parametrize(("k", "value"), [(0, 0), (1, 1 / 3), (2, 2 / 3), (3, 1), (10, 1)])
def test_a_okvqa_counts_all_who_agree_as_they_wrote(k, value):
    target = Target(("a cat",) * k + _others(10 - k))
    assert soft_accuracy("a cat", target, normalise="aokvqa").value == pytest.approx(value)
    assert soft_accuracy("cat", target, normalise="aokvqa").value == 0
