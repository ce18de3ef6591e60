"""POPE and MME."""

import random

import pytest

from cot.errors import DataError
from cot.metric import Item, Target, errored
from cot.metric.mme import COGNITION, mme, mme_figures
from cot.metric.pope import pope, pope_figures

YES, NO = Target(("yes",)), Target(("No",))


def _pope_items(responses, labels, **options):
    targets = [Target((label,)) for label in labels]
    return [Item(pope(r, t, **options), t) for r, t in zip(responses, targets, strict=True)]


def test_every_vector(vectors):
    wrong = []
    for row in vectors("pope"):
        figures = pope_figures(_pope_items(row["responses"], row["labels"]))[""]
        names = ("accuracy", "precision", "recall", "f1", "yes_ratio")
        if any(figures[name] != pytest.approx(row[name], abs=1e-9) for name in names):
            wrong.append((row, figures))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        ("NO", "yes", "no"), ("There isn't any dog", "yes", ""), ("No, there is none.", "no", "no"), ("", "yes", ""),
        ("Yes. There is no doubt.", "yes", ""), ("It is not there. Yes", "no", "yes"), ("no\nit is", "yes", "no"),
        ("**Yes**", "yes", "yes"), ("Nope", "yes", ""), ("yes and no", "no", ""),
    ],
)  # fmt: skip
def test_pope_reads(text, official, strict):
    assert pope(text, YES).answer == official
    score = pope(text, YES, variant="strict")
    assert score.answer == strict
    assert (score.status == "unparsed") == (strict == "")


def test_pope_counts_what_it_could_not_read_apart():
    items = [*_pope_items(["yes", "no", "hm"], ["yes", "yes", "yes"], variant="strict"), Item(errored("gone"), YES)]
    figures = pope_figures(items)[""]
    assert (figures["n"], figures["unparsed"], figures["errored"]) == (4, 1, 1)
    assert (figures["accuracy"], figures["precision"], figures["recall"]) == (0.5, 1, 0.5)


def test_pope_has_no_figure_for_nothing():
    figures = pope_figures(_pope_items(["no"], ["no"]))[""]
    assert figures["accuracy"] == 1
    assert figures["precision"] is figures["recall"] is figures["f1"] is None
    assert pope_figures(_pope_items(["hm"], ["no"], variant="strict"))[""]["accuracy"] is None
    assert pope_figures(_pope_items(["yes", "no"], ["no", "yes"]))[""]["f1"] == 0
    with pytest.raises(DataError, match="no sample"):
        pope_figures([])


def test_f1_is_the_harmonic_mean():
    rng = random.Random(5)
    for _ in range(50):
        responses, labels = (["yes", "no", *rng.choices(["yes", "no"], k=20)] for _ in range(2))
        figures = pope_figures(_pope_items(responses, labels))[""]
        p, r = figures["precision"], figures["recall"]
        assert figures["f1"] == pytest.approx(2 * p * r / (p + r), abs=1e-9)


@pytest.mark.parametrize("metric", [pope, mme])
def test_a_label_is_yes_or_no(metric):
    with pytest.raises(DataError, match="'maybe'; expected yes or no"):
        metric("yes", Target(("maybe",)))


@pytest.mark.parametrize(
    ("text", "said"), [("Yes", "yes"), (" no.", "no"), ("It is", ""), ("*yes*", "yes"), ("Not", "no"), ("", "")]
)
def test_mme_reads_the_first_four_characters(text, said):
    score = mme(text, YES)
    assert score.answer == said
    assert (score.value is None) == (said == "")


def _mme_items(group, *pairs):
    return [
        Item(mme(text, target), target, image=f"image {i}", group=group)
        for i, pair in enumerate(pairs)
        for text, target in zip(pair, (YES, NO), strict=True)
    ]


def test_mme_accuracy_and_accuracy_plus():
    items = _mme_items("count", ("yes", "no"), ("yes", "yes"), ("hm", "no"), ("no", "yes"))
    figures = mme_figures(items)["count"]
    assert (figures["n"], figures["unparsed"]) == (8, 1)
    assert (figures["accuracy"], figures["accuracy_plus"], figures["score"]) == (0.5, 0.25, 75)


def test_mme_leaves_out_what_was_never_asked():
    lost = [Item(errored("gone"), target, image="lost", group="count") for target in (YES, NO)]
    assert mme_figures([*_mme_items("count", ("yes", "no")), *lost])["count"]["accuracy_plus"] == 1
    assert mme_figures(lost)["count"]["score"] is None


def test_mme_totals_only_where_all_is_there():
    items = [item for name in COGNITION for item in _mme_items(name, ("yes", "no"))]
    assert mme_figures(items)["cognition"] == {"score": 800}
    assert "cognition" not in mme_figures(items[2:])
    assert "perception" not in mme_figures(items)


def test_mme_needs_pairs():
    with pytest.raises(DataError, match="'image 0' of MME's count has 1 questions"):
        mme_figures(_mme_items("count", ("yes", "no"))[:1])
    with pytest.raises(DataError, match="no sample"):
        mme_figures([])
