import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cot.answer import (
    COUNT_PATTERN,
    NUMBER_PATTERN,
    PHRASE_PATTERN,
    REGION_PATTERN,
    constraint_for,
    match_choice,
    parse_answer,
    parse_free,
    show_answer,
    show_value,
)
from cot.engine import Choices, Regex
from cot.errors import AnswerError

COLOURS = ("red", "dark blue", "B")


@pytest.mark.parametrize(
    ("text", "wants", "value"),
    [
        ("3", "count", 3),
        ("0", "count", 0),
        ("three", "count", 3),
        ("Twenty.", "count", 20),
        ("1,234", "count", 1234),
        (" **7** ", "count", 7),
        ("Answer: 7", "count", 7),
        ("The answer is 7.", "count", 7),
        ("-3.50", "number", -3.5),
        ("\u22121,250.5", "number", -1250.5),
        ("\u22125", "number", -5),
        ("12%", "number", 12),
        ("12.5 %", "number", 12.5),
        ("1,234,567.5", "number", 1234567.5),
        ("ten", "number", 10),
        ("Yes.", "yes_no", True),
        ("no", "yes_no", False),
        ("red", "phrase", "red"),
        (" a red car ", "phrase", "a red car"),
        ("There is a cat.", "text", "There is a cat."),
    ],
)
def test_reads_values(text, wants, value):
    found = parse_answer(text, wants)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("wants", ["count", "number", "yes_no", "phrase", "text"])
@pytest.mark.parametrize("text", ["unknown", "Unknown."])
def test_unknown_is_no_value(text, wants):
    assert parse_answer(text, wants) is None


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("3 or 4", "count"),
        ("-3", "count"),
        ("2.5", "count"),
        ("yes", "count"),
        ("3 cats", "count"),
        ("many", "count"),
        ("12,34", "number"),
        ("1.2.3", "number"),
        ("yes", "number"),
        ("٣", "count"),
        ("nan", "number"),
        ("9" * 5000, "number"),
        ("yes and no", "yes_no"),
        ("1", "yes_no"),
        ("", "phrase"),
        (" \n ", "text"),
        ("", "count"),
    ],
)
def test_never_guesses(text, wants):
    with pytest.raises(AnswerError, match="got .*; expected"):
        parse_answer(text, wants)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("red", "red"),
        ("RED.", "red"),
        ("a", "red"),
        ("(a)", "red"),
        ("A) red", "red"),
        ("b. dark blue", "dark blue"),
        ("Answer: Dark Blue", "dark blue"),
        ("B", "B"),
        ("C", "B"),
        ("unknown", None),
    ],
)
def test_choices_go_by_text_then_letter(text, choice):
    assert parse_answer(text, "choice", COLOURS) == choice


@pytest.mark.parametrize("text", ["green", "D", "A. dark blue", "red or B", "", "blue"])
def test_what_is_no_choice_is_said(text):
    with pytest.raises(AnswerError):
        parse_answer(text, "choice", COLOURS)


def test_unknown_may_be_a_choice():
    assert parse_answer("unknown", "choice", ("unknown", "known")) == "unknown"


def test_choices_that_differ_in_case_only_are_told_apart_by_it():
    assert parse_answer("us", "choice", ("US", "us")) == "us"
    with pytest.raises(AnswerError):
        parse_answer("Us", "choice", ("US", "us"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.0", 3.0),
        ("yes", True),
        ("No.", False),
        ("two", 2),
        ("a cat.", "a cat."),
        ("unknown", None),
        ("6'", "6'"),
        ('Answer: 12".', '12"'),
        ("'6'", 6),
    ],
)
def test_free_text_is_typed_leniently(text, value):
    assert parse_free(text) == value
    assert type(parse_free(text)) is type(value)


def test_free_text_must_be_there():
    with pytest.raises(AnswerError):
        parse_free(" ")


def test_constraints():
    assert constraint_for("count") == Regex("unknown|0|[1-9][0-9]{0,2}")
    assert constraint_for("number") == Regex(r"unknown|-?[0-9]{1,9}(\.[0-9]{1,6})?%?")
    assert constraint_for("yes_no") == Choices(("yes", "no", "unknown"))
    assert constraint_for("choice", ("a", "b")) == Choices(("a", "b", "unknown"))
    assert constraint_for("choice", ("a", "unknown")) == Choices(("a", "unknown"))
    assert constraint_for("choice", ("a", "b"), may_abstain=False) == Choices(("a", "b"))
    assert constraint_for("text") is None
    with pytest.raises(AnswerError):
        constraint_for("choice")
    assert constraint_for("region") == Regex(REGION_PATTERN)


def test_regions_are_boxes():
    assert parse_answer(" [0.10,0,0.5, 1.0] ", "region") == "[0.1, 0, 0.5, 1]"
    assert parse_answer("Answer: [0, 0, 1, 1].", "region") == "[0, 0, 1, 1]"
    assert parse_answer("unknown", "region") is None


@pytest.mark.parametrize(
    "text", ["left", "[0, 0, 1]", "[0.5, 0, 0.1, 1]", "[10, 20, 30, 40]", "at [0, 0, 1, 1]", "[" * 99]
)
def test_what_is_no_box_is_no_region(text):
    with pytest.raises(AnswerError, match="left, top, right, bottom. from 0 to 1, left < right and top"):
        parse_answer(text, "region")


@given(st.from_regex(REGION_PATTERN, fullmatch=True, alphabet=st.characters(codec="ascii")))
def test_a_region_that_is_allowed_is_read_unless_it_is_empty(text):
    edges = [float(number) for number in re.findall("[0-9.]+", text)]
    if edges and not (edges[0] < edges[2] and edges[1] < edges[3]):
        with pytest.raises(AnswerError):
            parse_answer(text, "region")
    else:
        assert (parse_answer(text, "region") is None) == (text == "unknown")


@pytest.mark.parametrize(("wants", "pattern"), [("count", COUNT_PATTERN), ("number", NUMBER_PATTERN)])
def test_what_a_constraint_allows_is_read(wants, pattern):
    @given(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii")))
    def check(text):
        value = parse_answer(text, wants)
        assert (value is None) == (text == "unknown")

    check()


@given(st.from_regex(PHRASE_PATTERN, fullmatch=True, alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_phrase_that_is_allowed_is_one_line_of_text(text):
    value = parse_answer(text, "phrase")
    assert text.casefold().strip("*_`\"'“”‘’. ").endswith("unknown") or value == text.strip() != ""
    assert len(text.splitlines()) == 1
    assert len(text) <= 80


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "yes"), (False, "no"), (None, "unknown"), (3, "3"), (3.0, "3"), (2.50, "2.5"), (1e-7, "0.0000001")]
    + [(1e20, "100000000000000000000"), (-0.0, "0"), ("red", "red"), ("", "")],
)
def test_values_are_shown_for_people(value, shown):
    assert show_value(value) == shown


@pytest.mark.parametrize(
    ("value", "raw", "text"),
    [
        (12, "12%", "12%"),
        (7, "007", "007"),
        (1000, "Answer: 1,000.", "1,000"),
        (2.0, "2.0", "2.0"),
        (2, "**Two**", "Two"),
        (True, "Yes.", "Yes"),
        ("12%", "12%", "12%"),
        ("a dog.", "a dog.", "a dog."),
        (6, "#1 + #2", "6"),
        (True, '{"answer": true}', "yes"),
        (True, "1", "yes"),
        (None, "Unknown.", "unknown"),
        (3, "", "3"),
    ],
)
def test_a_value_is_shown_in_the_words_that_say_it(value, raw, text):
    assert show_answer(value, raw) == text


@given(st.integers(0, 10**12) | st.floats(-1e9, 1e9).map(lambda x: round(x, 6)) | st.booleans())
def test_shown_values_are_read_back(value):
    assert parse_free(show_value(value)) == value


@pytest.mark.parametrize(
    ("value", "choices", "choice"),
    [
        (3, ("2", "3"), "3"),
        (3, ("two", "three"), "three"),
        (3.0, ("3", "4"), "3"),
        (True, ("Yes", "No"), "Yes"),
        (True, ("True", "False"), "True"),
        (False, ("true.", "false.", "cannot say"), "false."),
        (True, ("yes", "true"), "yes"),
        (True, ("1", "0"), None),
        (1, ("yes", "no"), None),
        ("Apples", ("apples", "cars"), "apples"),
        ("Apples.", ("apples", "cars"), "apples"),
        ("a", ("apples", "cars"), None),
        (5, ("2", "3"), None),
        (3, ("3", "three"), "3"),
        (3, ("Three", "three"), None),
        (None, ("unknown", "3"), None),
    ],
)
def test_computed_values_find_their_choice(value, choices, choice):
    assert match_choice(value, choices) == choice


@pytest.mark.parametrize("text", ["\x08", "\u200b\u202e", "\x1b \x00", "\u00a0\ufeff"])
def test_what_nobody_can_see_is_no_answer(text):
    with pytest.raises(AnswerError, match="got no text"):
        parse_free(text)
    with pytest.raises(AnswerError, match="got no text"):
        parse_answer(text, "text")
