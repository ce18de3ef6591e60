"""MMMU's open answers, officially and by whole words; and the numbers within texts."""

import random
import re

import pytest

from cot.errors import DataError
from cot.metric import Target
from cot.metric.mmmu import answer_tails, mmmu, mmmu_open, parse_open_official
from cot.metric.number import mmmu_numbers, numbers


def test_every_vector(vectors):
    wrong = []
    for row in vectors("mmmu_open"):
        answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
        score = mmmu_open(row["response"], Target(tuple(answers)), variant="official")
        found = parse_open_official(row["response"])
        if (score.value == 1) != row["correct"] or found != set(row["parsed"]):
            wrong.append((row, score, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 3.14159", "3.14"), ("x = 1,234", "1234"), ("It is a dog.", "dog"), ("The answer is b", "B"),
        ("1.5e3", "1500"), ("50% is the final answer.", "50%"), ("thus, the result is 7. It is shown.", "7"),
        ("Between 3-5", "5"), ("The answer is **not enough  information**", "Not enough information"),
        ("So x = -2", "-2"), ("π", "π"), ("It costs $82,552.49", "82,552.49"),
    ],
)  # fmt: skip
def test_our_rule_finds(response, answer):
    assert mmmu_open(response, Target((answer,))).status == "correct"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The catalogue", "cat"), ("The answer is 3-5", "-5"), ("x = 1,234", "234"), ("a dog", "a"), ("H2O", "2"),
        ("-5", "5"), ("It is a dog, so the answer is cat", "dog"), ("The answer is", "7"), ("one", "1"),
    ],
)  # fmt: skip
def test_our_rule_does_not_find(response, answer):
    assert mmmu_open(response, Target((answer,))).status == "wrong"


def test_the_quirks_are_the_official_ones():
    for response, answer in (("The catalogue", "cat"), ("The answer is 3-5", "-5"), ("x = 1,234", "234")):
        assert mmmu_open(response, Target((answer,)), variant="official").status == "correct"


@pytest.mark.parametrize("variant", ["words", "official"])
def test_nothing_to_read_or_to_compare_with(variant):
    assert mmmu_open(" \n", Target(("7",)), variant=variant).status == "unparsed"
    with pytest.raises(DataError, match="without text"):
        mmmu_open("7", Target(("",)), variant=variant)


def test_tails():
    assert answer_tails("We see 2. So the answer is 7.") == ["7"]
    assert answer_tails("no indicator here") == ["no indicator here"]
    assert answer_tails("it is blue\nx = y = 3") == ["blue", "3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3-5", [3, 5]), ("-1,234.5 and .5", [-1234.5, 0.5]), ("6.02e23%", [6.02e23]), ("H2O 5cm 1.2.3 1,23", []),
        ("(-4)", [-4]), ("x−2 = −2", [2, -2]), ("7, 8.", [7, 8]), ("1,234,567", [1234567]),
    ],
)  # fmt: skip
def test_numbers(text, expected):
    assert numbers(text) == expected


def test_linear_patterns_find_what_the_plain_ones_find():
    plain = (
        r"-?\b\d{1,3}(?:,\d{3})+\b",
        r"-?\d+(?:\.\d+)?[eE][+-]?\d+",
        r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])",
    )
    rng = random.Random(4)
    found = 0
    for _ in range(3000):
        text = "".join(rng.choices("0123456789.,-+eEx _", k=rng.randint(1, 16)))
        expected = [match for pattern in plain for match in re.findall(pattern, text)]
        assert mmmu_numbers(text) == expected, text
        found += len(expected)
    assert found > 1000


@pytest.mark.parametrize(
    ("response", "answers", "right"),
    [
        ("The slope is 3.43 ft/s, so the speed is 24/7.", ("['24/7', '3.429']",), True),
        ("about 3.43", ("['24/7', '3.429', '3.43]",), True),
        ("It moves at 3.5", ("['24/7', '3.429']",), False),
        ("Tampa, Florida.", ("['Tampa', 'Florida']",), True),
        ("It is Miami", ("['Tampa', 'Florida']",), False),
        ("MgS", ("['$MgS$', 'MgS']",), True),
        ("The interval is [0, 5)", ("[0, 5)",), True),
        ("0", ("[0, 5)",), False),
        ("V = 2.828 V", ("2.83",), True),
        ("$1,000.00", ("1000",), True),
        ("x = 1e3", ("1000",), True),
        ("-.5", ("-0.5",), True),
        ("B", ("B",), True),
        ("b is it", ("B",), False),
        ("Region A", ("A",), True),
        ("a cat", ("A",), True),
        ("The final answer is: 7.004", ("7",), True),
        ("7.006", ("7",), False),
        ("It could be 9\nor 10", ("10",), False),
        ("It could be 9\nor 10", ("9",), True),
    ],
)
def test_a_question_without_options_is_scored_as_the_official_code_does(response, answers, right):
    """The values that parse_open_response and eval_open gave, where the lists were lists."""
    assert mmmu(response, Target(answers)).status == ("correct" if right else "wrong")


@pytest.mark.parametrize(
    ("response", "status"), [("(B)", "correct"), ("The answer is a dog", "correct"), ("A", "wrong"), ("Hm", "unparsed")]
)
def test_a_question_with_options_is_one_of_them_or_unparsed(response, status):
    assert mmmu(response, Target(("B",), ("a cat", "a dog"))).status == status


def test_the_other_rule_can_be_had():
    assert mmmu("The catalogue", Target(("cat",))).status == "correct"
    assert mmmu("The catalogue", Target(("cat",)), variant="words").status == "wrong"


def test_a_ground_truth_of_no_option_or_without_text_is_found_before_anything_is_asked():
    with pytest.raises(DataError, match="expected a letter"):
        mmmu("", Target(("E",), ("a cat", "a dog")))
    with pytest.raises(DataError, match="without text"):
        mmmu("", Target(("['']",)))
