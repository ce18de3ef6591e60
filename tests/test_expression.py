import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cot.errors import PlanError
from cot.expression import (
    Absolute,
    Comparison,
    Extreme,
    Integer,
    Logic,
    Ref,
    Sum,
    evaluate,
    expression_pattern,
    parse_expression,
    supports,
)

refs = st.builds(Ref, st.integers(1, 6))
numbers = st.builds(Integer, st.integers(0, 9999))
signs = st.sampled_from([1, -1])
labels = st.from_regex(r"[A-Za-z0-9é日](?:[A-Za-z0-9é日' -]{0,28}[A-Za-z0-9é日])?", fullmatch=True)


@st.composite
def sums(draw, atoms):
    lead = draw(st.none() | numbers)
    terms = [(1, lead)] if lead else []
    terms.append((draw(signs) if lead else 1, draw(atoms)))
    terms += draw(st.lists(st.tuples(signs, atoms | numbers), max_size=4))
    return Sum(tuple(terms))


totals = sums(refs | st.builds(Absolute, sums(refs)))
comparisons = st.builds(
    Comparison,
    totals,
    st.sampled_from([">", "<", "=", ">=", "<="]),
    totals | st.builds(lambda n: Sum(((1, n),)), numbers),
)
chains = st.builds(
    Logic, st.sampled_from(["and", "or"]), st.lists(st.tuples(st.booleans(), refs), min_size=2, max_size=6).map(tuple)
)
negations = st.builds(lambda ref: Logic("and", ((True, ref),)), refs)
entries = st.lists(st.tuples(labels, refs), min_size=2, max_size=6).map(tuple)
extremes = st.builds(Extreme, st.sampled_from(["most", "fewest"]), entries)
expressions = totals | comparisons | chains | negations | extremes
values = st.none() | st.booleans() | st.integers(0, 999) | st.floats(-1e6, 1e6) | st.text(max_size=5)


@given(expressions)
def test_what_is_written_is_read_back(expression):
    assert parse_expression(str(expression)) == expression
    assert set(supports(expression)) <= set(range(1, 7))


@given(st.from_regex(expression_pattern(3), fullmatch=True))
def test_what_the_pattern_allows_is_read_and_written_alike(text):
    assert str(parse_expression(text, references=3)) == text


@given(expressions, st.dictionaries(st.integers(1, 6), values))
def test_evaluation_gives_a_value_or_a_reason(expression, answers):
    reason, result = "", None
    try:
        result = evaluate(expression, answers)
    except PlanError as error:
        reason = str(error)
    assert re.search(r"#\d is ", reason) or (result is not None and not reason)


@given(st.lists(st.integers(0, 999), min_size=6, max_size=6), totals)
def test_sums_agree_with_python(counts, total):
    source = re.sub(r"#(\d)", lambda found: str(counts[int(found[1]) - 1]), str(total))
    assert evaluate(total, dict(enumerate(counts, 1))) == eval(source)


@pytest.mark.parametrize(
    ("text", "answers", "value"),
    [
        ("#1", {1: "red"}, "red"),
        ("#1", {1: True}, True),
        ("#1 + #2 - 1", {1: 3, 2: 4}, 6),
        ("#1 + #2", {1: 0.1, 2: 0.2}, 0.3),
        ("10 - #1", {1: 3}, 7),
        ("abs(#1 - #2)", {1: 3, 2: 5}, 2),
        ("abs(#1 - #2) + 1 > #3", {1: 3, 2: 5, 3: 2}, True),
        ("#1 > #2", {1: 3, 2: 3}, False),
        ("#1 >= #2", {1: 3, 2: 3}, True),
        ("#1 <= 2", {1: 3}, False),
        ("#1 = 2", {1: 2}, True),
        ("#1 + #2 = 5", {1: 2, 2: 3}, True),
        ("#1 = #2", {1: "Red ", 2: "red"}, True),
        ("#1 = #2", {1: "Red.", 2: "red"}, True),
        ("#1 = #2", {1: "dark  red", 2: '"dark red"'}, True),
        ("#1 = #2", {1: "A dog", 2: "dog."}, True),
        ("#1 = #2", {1: "red...", 2: "Red"}, True),
        ("#1 = #2", {1: "A 1", 2: "1"}, False),
        ("#1 = #2", {1: "A b", 2: "b"}, False),
        ("#1 = #2", {1: "红色。", 2: "红色"}, True),
        ("#1 = #2", {1: "Seven", 2: "7"}, True),
        ("#1 = #2", {1: "6'", 2: '6"'}, False),
        ("#1 = #2", {1: "**", 2: "..."}, False),
        ("#1 = #2", {1: "red", 2: "blue"}, False),
        ("#1 = #2", {1: True, 2: False}, False),
        ("#1 = #2", {1: 2, 2: 2.0}, True),
        ("#1 and #2 and #3", {1: True, 2: True, 3: False}, False),
        ("#1 or #2", {1: False, 2: True}, True),
        ("not #1", {1: False}, True),
        ("#1 and not #2", {1: True, 2: False}, True),
        ("most(apples: #1, cars: #2)", {1: 3, 2: 1}, "apples"),
        ("fewest(apples: #1, red cars: #2)", {1: 3, 2: 1}, "red cars"),
        ("most(a: #1, b: #2, c: #3)", {1: 3, 2: 1, 3: 3}, "a and c"),
    ],
)
def test_values(text, answers, value):
    found = evaluate(parse_expression(text), answers)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "answers", "reason"),
    [
        ("#1 > #2", {1: 3, 2: None}, "#2 is unknown"),
        ("#1 > #2", {1: 3}, "#2 is unknown"),
        ("#1 > #2", {1: 3, 2: "red"}, "#2 is 'red'; expected a number"),
        ("#1 + #2", {1: True, 2: 2}, "#1 is 'yes'; expected a number"),
        ("#1 = #2", {1: "red", 2: 2}, "expected a number"),
        ("#1 and #2", {1: True, 2: 1}, "#2 is '1'; expected yes or no"),
        ("most(a: #1, b: #2)", {1: "x", 2: 1}, "#1 is 'x'; expected a number"),
    ],
)
def test_what_cannot_be_computed_says_why(text, answers, reason):
    with pytest.raises(PlanError, match=re.escape(reason)):
        evaluate(parse_expression(text), answers)


@pytest.mark.parametrize(
    "text",
    ["", "3", "#0", "#7", "#12", "#1>#2", "#1  > #2", "#1 > #2 > #3", "#1 + 12345", "#1 + 01", "3 > #1", "#1 * #2"]
    + ["abs(#1", "abs(abs(#1))", "abs(3)", "(#1)", "#1 and #2 or #3", "not not #1", "#1 == #2", "__import__('os')"]
    + ["most(a: #1)", "most(a: #1, b: 2)", "most(: #1, b: #2)", "most( a: #1, b: #2)", "#1 > #2\n", "most(a:#1, b: #2)"]
    + [" + ".join(["#1"] * 7), "most(" + ", ".join(["a: #1"] * 7) + ")", f"most({'a' * 31}: #1, b: #2)"],
)
def test_anything_else_is_refused(text):
    with pytest.raises(PlanError, match="expected"):
        parse_expression(text)


def test_references_are_bounded_by_the_plan():
    with pytest.raises(PlanError, match="over #1 to #2"):
        parse_expression("#1 + #3", references=2)
