import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from cot.errors import PlanError
from cot.planner.plan import (
    KINDS,
    PLAN_PATTERN,
    Plan,
    fill_in,
    levels,
    parse_plan,
    parse_reworded,
    reworded_pattern,
)

COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"

GOOD = [
    COMPARE,
    "1. [text] What is happening?\nanswer: decide",
    "1. [phrase] What is left of the dog?\n2. [phrase] What colour is #1?\nanswer: #2",
    "1. [phrase] A?\n2. [phrase] B?\n3. [yes_no] Is #1#2 one?\n4. [number] #3\nanswer: decide",
    "1. [count] " + "a" * 120 + "\nanswer: #1",
    "1. [count] Wie viele Äpfel? 苹果?\nanswer: #1 + 1",
    "\n".join(f"{n}. [count] Count {n}?" for n in range(1, 7)) + "\nanswer: most(a: #1, b: #2, c: #6)",
]
BAD = [
    ("", "expected 'answer: '"),
    ("answer: decide", "got 0 sub-questions"),
    ("answer: #1", "got 0 sub-questions"),
    (COMPARE + "\n", "expected 'answer: '"),
    (COMPARE.replace("#2", "#3"), "over #1 to #2"),
    (COMPARE.replace("answer", "Answer"), "expected 'answer: '"),
    (COMPARE.replace("2.", "3."), "line 2: got '3. [count]"),
    (COMPARE.replace("[count]", "[colour]"), "got the kind 'colour'"),
    (COMPARE.replace("[count]", "[choice]"), "got the kind 'choice'"),
    ("1. [count] Is #1 big?\nanswer: #1", "line 1: got a reference to #1"),
    ("1. [count] Is #2 big?\n2. [count] B\nanswer: #1", "line 1: got a reference to #2"),
    ("1. [count] A\n2. [count] Is #12 big?\nanswer: #1", "got a reference to #12"),
    ("1. [count] A\n2. [count] Is # big?\nanswer: #1", "printable text"),
    ("1. [count] " + "a" * 121 + "\nanswer: #1", "at most 120"),
    ("1. [count]  \nanswer: #1", "printable text"),
    ("1. [count] \nanswer: #1", "line 1"),
    ("1. [count] a\x1b[31m\nanswer: #1", "printable text"),
    ("1. [count] a\u202eb\nanswer: #1", "printable text"),
    ("1. [count] A\n2. [count] #1 #1 #1\nanswer: #1", "two references"),
    ("\n".join(f"{n}. [count] C" for n in range(1, 8)) + "\nanswer: #1", "got 7 sub-questions"),
    ("1. [count] A\nanswer: ", "expected for example"),
]

_TOKENIZER = LLTokenizer("byte")
_GRAMMAR = LLMatcher.grammar_from_regex(PLAN_PATTERN)


def constraint_allows(text: str, grammar: str = _GRAMMAR) -> bool:
    matcher = LLMatcher(_TOKENIZER, grammar)
    assert not matcher.is_error(), matcher.get_error()
    tokens = list(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("text", GOOD)
def test_plans_are_read_and_written_alike(text):
    assert str(parse_plan(text)) == text
    assert constraint_allows(text)


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_what_is_no_plan_says_why(text, reason):
    with pytest.raises(PlanError, match=re.escape(reason)):
        parse_plan(text)
    assert not constraint_allows(text)


def _accepts(text: str) -> bool:
    try:
        parse_plan(text)
    except PlanError:
        return False
    return True


@st.composite
def nearly_plans(draw):
    text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 3)))
        piece = draw(
            st.text("#123456789 \n.:[]()abs+-<>=é\u202e\x00,", max_size=3) | st.sampled_from([*KINDS, "decide"])
        )
        text = text[:start] + piece + text[end:]
    return text


@given(nearly_plans())
@settings(max_examples=300)
def test_the_constraint_and_the_reader_accept_the_same(text):
    assert constraint_allows(text) == _accepts(text)


@given(st.from_regex(PLAN_PATTERN, fullmatch=True, alphabet=st.characters(codec="utf-8")))
@settings(max_examples=30)
def test_what_the_pattern_allows_is_a_plan(text):
    plan = parse_plan(text)
    assert 1 <= len(plan.sub_questions) <= 6
    assert all(0 < len(q.text) <= 120 and max(q.depends_on, default=0) < q.id for q in plan.sub_questions)
    assert len(text) < 2000


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    assert not _accepts(text)


def test_long_hostile_text_is_refused_at_once():
    for text in ("1. [count] " + "#1" * 50_000, COMPARE * 1000, "1. [count] A\nanswer: " + "#1 + " * 20_000 + "#1"):
        assert not _accepts(text)


def test_levels_follow_the_references():
    plan = parse_plan("1. [phrase] A?\n2. [phrase] What is #1?\n3. [count] C?\n4. [yes_no] Is #2 like #3?\nanswer: #4")
    assert [[q.id for q in level] for level in levels(plan)] == [[1, 3], [2], [4]]
    assert plan.sub_questions[3].depends_on == (2, 3)
    assert plan.supports == (4,)


def test_a_decision_rests_on_all_sub_answers():
    assert parse_plan("1. [text] A?\n2. [text] B?\nanswer: decide").supports == (1, 2)


def test_references_are_filled_in_once():
    assert fill_in("Is #1 left of #2 and #3?", {1: "#2", 2: "the car"}) == "Is #2 left of the car and #3?"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2. [phrase] Which hue has #1?\n4. [count] How many are #1, #2 or #3?", False),
        ("2. [phrase] Which hue has #1?\n4. [count] How many are #1 or #3?", True),
        ("2. [phrase] Which hue has it?\n4. [count] Count.", True),
        ("2. [phrase] Which hue has #2?\n4. [count] Count.", False),
        ("2. [phrase] Which hue has it?", False),
        ("2. [count] Which hue has it?\n4. [count] Count.", False),
        ("1. [phrase] Which hue has it?\n4. [count] Count.", False),
        ("", False),
    ],
)
def test_other_words_keep_number_and_kind(text, fits):
    plan = parse_plan("1. [phrase] A?\n2. [phrase] B?\n3. [phrase] C?\n4. [count] D?\nanswer: #4")
    missing = (plan.sub_questions[1], plan.sub_questions[3])
    assert constraint_allows(text, LLMatcher.grammar_from_regex(reworded_pattern(missing))) == fits
    if fits:
        assert [(q.id, q.wants) for q in parse_reworded(text, missing)] == [(2, "phrase"), (4, "count")]
    else:
        with pytest.raises(PlanError, match="expected one line for each of '2. .phrase. …', '4. .count. …'"):
            parse_reworded(text, missing)


@pytest.mark.parametrize(
    ("plan", "several", "is_open"),
    [("1. [count] A?\nanswer: #1", False, False), ("1. [count] A?\nanswer: decide", False, False)]
    + [("1. [count] A?\nanswer: #1 > 3", True, False), (COMPARE, True, False)]
    + [("1. [text] A?\nanswer: #1", False, True), ("1. [text] A?\n2. [text] B?\nanswer: decide", True, False)],
)
def test_plans_tell_whether_they_are_worth_following(plan, several, is_open):
    found = parse_plan(plan)
    assert (found.needs_several_facts, found.is_open) == (several, is_open)


def test_plan_text_is_the_format():
    plan = parse_plan(COMPARE)
    assert isinstance(plan, Plan)
    assert [q.wants for q in plan.sub_questions] == ["count", "count"]
