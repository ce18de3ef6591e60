"""ANLS and its variants."""

import random

import pytest

from cot.metric import Target
from cot.metric.anls import anls


def test_every_vector(vectors):
    wrong = []
    for row in vectors("anls"):
        target = Target(tuple(row["targets"]))
        competition = row["score_competition"]
        expected = {
            "pix2struct": row["score"],
            "competition": competition,
            "strict": competition if competition > 0.5 else 0,
        }
        values = {variant: anls(row["prediction"], target, variant=variant).value for variant in expected}
        if any(abs(values[variant] - expected[variant]) > 1e-9 for variant in expected):
            wrong.append((row, values))
    assert wrong == []


def test_worked_examples():
    assert anls(" Hello ", Target(("hello",))).value == 1
    assert anls("ax", Target(("ab",))).value == 0
    assert anls("ax", Target(("ab",)), variant="competition").value == 0.5
    assert anls(" Hello ", Target(("hello",)), variant="pix2struct").value == pytest.approx(5 / 7)
    assert anls("x", Target(("ab", "x"))).status == "correct"


def test_nothing_against_nothing_is_no_score():
    assert anls(" ", Target(("",))).status == "unparsed"
    assert anls(" ", Target(("", "abc"))).status == "wrong"
    assert anls("abc", Target(("", "abc"))).status == "correct"


def _naive_distance(a: str, b: str) -> int:
    table = [list(range(len(b) + 1))] + [[i] + [0] * len(b) for i in range(1, len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            substitution = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, substitution)
    return table[len(a)][len(b)]


def test_against_the_textbook_distance():
    rng = random.Random(2)
    seen = set()
    for _ in range(500):
        truth = "".join(rng.choices("ab é", k=rng.randint(1, 9)))
        prediction = "".join(c if rng.random() < 0.7 else rng.choice("abé") for c in truth) + rng.choice(
            ["", "b", "ab"]
        )
        a, b = " ".join(prediction.split()), " ".join(truth.split())
        if not a and not b:
            continue
        similarity = 1 - _naive_distance(a, b) / max(len(a), len(b))
        score = anls(prediction, Target((truth,)))
        assert score.value == pytest.approx(similarity if similarity > 0.5 else 0, abs=1e-9)
        seen.add(score.status)
    assert seen == {"correct", "partial", "wrong"}
