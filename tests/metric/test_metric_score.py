"""The interface: scores, targets, names, and bounds that hold for every metric."""

import math
import time

import pytest

from cot.errors import ConfigError, DataError
from cot.metric import (
    METRICS,
    Score,
    Tally,
    Target,
    errored,
    find_aggregate,
    find_metric,
    mean,
    metric_options,
    scored,
    tally,
    unparsed,
)
from cot.metric.score import MAX_ANSWER_CHARACTERS

TARGETS = {
    "choice": Target(("B",), ("cat", "dog")),
    "mme": Target(("yes",)),
    "pope": Target(("yes",)),
    "vqa_soft": Target(("cat", "12", "12", "is it") * 3),
    "mathvista": Target(("12",), answer_type="integer"),
}
EVERY = [
    pytest.param(name, options, id="-".join((name, *options.values())))
    for name in METRICS
    for options in [
        {option: value} for option, values in metric_options(name).items() for value in values
    ] or [{}]
]  # fmt: skip

MEGABYTE = 1_000_000
HOSTILE = [
    text * (MEGABYTE // len(text)) + end
    for text, end in [
        ("a", ""), ("1", "x"), ("1,111", ","), ("-", ""), ("1.", ""), ("is ", ""), ("is", ""), ("\n", ""), ("(B)", "("),
        ("answer: a", " "), ("[", "]"), ("the answer is ", ""), ("\\boxed{", ""), (" ", "."), ("A\n", ""),
        ("é\u202e", ""),
    ]
]  # fmt: skip
ODD = ["", " ", "\x00", "\ud800", "\U0001f600", "\u202eevil", "\r\n\t\v\f", "nan", "inf", "1e999", "-", "%", "%%", "(",
       "[]", "[,]", "\\boxed{}", "²", "٣", "1_0", "ß", "İ", "{", "=", "so ", "A" * 30]  # fmt: skip


def test_a_score_says_one_thing():
    assert scored(1, "a", "b") == Score(1.0, "correct", "a", "b")
    assert (scored(0, "", "").status, scored(0.3, "", "").status) == ("wrong", "partial")
    assert unparsed("why").value is None is errored("why").value


@pytest.mark.parametrize(
    ("value", "status"),
    [(0, "unparsed"), (0, "errored"), (None, "wrong"), (None, "correct"), (0.5, "correct"), (0, "correct"),
     (1, "wrong"), (1, "partial"), (0, "partial"), (None, "partial"), (1, "right"), (math.nan, "partial")],
)  # fmt: skip
def test_missing_is_not_zero(value, status):
    with pytest.raises(DataError, match="expected 1 for correct"):
        Score(value, status, "", "")


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_value_is_a_share(value):
    with pytest.raises(DataError, match="from 0 to 1"):
        scored(value, "", "")


def test_tally_and_mean():
    scores = [scored(1, "", ""), scored(0.5, "", ""), scored(0, "", ""), unparsed(""), unparsed(""), errored("")]
    assert tally(scores) == Tally(n=6, correct=1, partial=1, wrong=1, unparsed=2, errored=1)
    assert mean(scores) == 0.5
    with pytest.raises(DataError, match="the mean of nothing is not zero"):
        mean([unparsed(""), errored("")])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answers": ()}, "no ground truth"),
        ({"answers": "cat"}, "expected two tuples"),
        ({"answers": ("a",), "choices": "ab"}, "expected two tuples"),
        ({"answers": ("a" * (MAX_ANSWER_CHARACTERS + 1),)}, "at most 10000"),
        ({"answers": ("a",), "choices": ("x",) * 27}, "at most 26"),
        ({"answers": ("a",), "choices": ("x", " ")}, "none of them empty"),
        ({"answers": ("a",), "answer_type": "date"}, "unknown answer type 'date'"),
    ],
)
def test_targets_are_checked(fields, message):
    with pytest.raises(DataError, match=message):
        Target(**fields)


def test_names():
    assert find_metric("anls", {"variant": "competition"})("ax", Target(("ab",))).value == 0.5
    assert find_metric("vqa_soft", {"normalise": "always"})("Black.", Target(("black",) * 10)).value == 1
    assert metric_options("anls") == {"variant": ("strict", "pix2struct", "competition")}
    assert metric_options("choice") == {}
    assert find_aggregate("pope") is not find_aggregate("mme")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("acc", {}, "^unknown metric 'acc'; known: anls, choice, contains, exact, gqa, "),
        ("anls", {"varaint": "x"}, "unknown option 'varaint' of the metric 'anls'; known: variant$"),
        ("choice", {"variant": "x"}, "known: it has none"),
        ("anls", {"variant": "x"}, "unknown variant 'x' of the metric 'anls'; known: strict, pix2struct, competition"),
    ],
)
def test_unknown_names(name, options, message):
    with pytest.raises(ConfigError, match=message):
        find_metric(name, options)


def test_unknown_aggregate():
    with pytest.raises(ConfigError, match="unknown aggregate 'f1'; known: mme, pope"):
        find_aggregate("f1")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY)
def test_endless_text_takes_bounded_time(name, options):
    metric, target = find_metric(name, options), TARGETS.get(name, Target(("12", "is it", "cat")))
    for text in HOSTILE:
        start = time.process_time()
        score = metric(text, target)
        # What is not linear in a megabyte takes hours.
        assert time.process_time() - start < 20, text[:20]
        assert len(score.explanation) < 400


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_odd_text_gives_a_score(name, options):
    metric, target = find_metric(name, options), TARGETS.get(name, Target(("12", "is it", "cat")))
    for text in ODD:
        score = metric(text, target)
        assert score.status != "correct" or name in ("mathvista", "pope"), text
        assert "\n" not in score.explanation
        assert score.explanation.isprintable()
