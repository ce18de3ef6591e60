"""Exact match, GQA and containment."""

import pytest

from cot.errors import DataError
from cot.metric import Target
from cot.metric.exact import containment, exact_match, gqa_accuracy


def test_exact_as_written_or_normalised():
    target = Target(("a dog", "wolf"))
    assert exact_match(" a dog\n", target).status == "correct"
    assert exact_match("wolf", target).value == 1
    assert exact_match("Dog.", target).value == 0
    assert exact_match("Dog.", target, normalise="vqa").value == 1
    assert gqa_accuracy("The dog!", target).status == "correct"
    assert gqa_accuracy("dogs", target).status == "wrong"


def test_numbers_yes_and_no_are_compared_by_what_they_say():
    for prediction, truth in (
        ("Yes", "yes"),
        ("two", "2"),
        ("1,000", "1000"),
        ("2", "2.0"),
        ("NO.", "No"),
        ("\u22125", "-5"),
    ):
        assert exact_match(prediction, Target((truth,))).value == 1
    for prediction, truth in (
        ("1", "yes"),
        ("2", "2.5"),
        ("unknown", "none"),
        ("", "0"),
        ("Dog", "dog"),
        ("7", "007"),
        ("-7", "\u2212007"),
        ("12", "12%"),
    ):
        assert exact_match(prediction, Target((truth,))).value == 0
    assert exact_match("2.50", Target(("2.5",)), normalise="vqa").value == 0


def test_what_normalisation_empties_still_counts():
    assert gqa_accuracy("A", Target(("a",))).value == 1
    assert gqa_accuracy("the", Target(("a",))).value == 0
    assert gqa_accuracy("", Target(("a",))).value == 0


@pytest.mark.parametrize("form", ["{}", "{}.", "({})", "{})", '"{}"', "{},"])
def test_the_letter_that_is_an_article_is_read_as_the_others_are(form):
    for letter in "AB":
        assert exact_match(form.format(letter), Target((letter,)), normalise="vqa").value == 1


def test_containment_ignores_case_and_breaks():
    assert containment("It reads: OPEN\ndaily.", Target(("open daily",))).value == 1
    assert containment("It reads: OPEN", Target(("shut", "open"))).value == 1
    assert containment("ope n", Target(("open",))).value == 0
    assert containment("", Target(("open",))).value == 0


def test_formulas_keep_case_and_lose_spaces():
    target = Target((r"\frac { a } { B }",))
    assert containment(r"$\frac{a}{B}$", target, variant="formula").value == 1
    assert containment(r"$\frac{a}{b}$", target, variant="formula").value == 0
    assert containment(r"$\frac{a}{B}$", target).value == 0


@pytest.mark.parametrize("metric", [exact_match, gqa_accuracy, containment])
def test_a_ground_truth_without_text_gives_no_score(metric):
    with pytest.raises(DataError, match="without text"):
        metric("anything", Target(("x", " \n")))
