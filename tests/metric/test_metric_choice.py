"""Multiple choice: what is read as which option, and what is not."""

import random

import pytest

from cot.errors import DataError
from cot.metric import Target
from cot.metric.choice import multiple_choice, parse_choice

ANIMALS = ("cat", "dog", "hot dog", "horse")


def test_every_vector(vectors):
    wrong, beyond = [], 0
    for row in vectors("mmmu_choice"):
        letter = parse_choice(row["response"], list(row["options"].values()))
        if row["parsed"] is not None and letter != row["parsed"]:
            wrong.append((row, letter))
        beyond += row["parsed"] is None and letter is not None
    assert wrong == []
    assert beyond > 50


@pytest.mark.parametrize(
    "response",
    [
        "(B)", "The answer is B.", "B", "A and B", "B.", "Answer: B", "The animal shown here is a dog",  # official
        "**B**", "B) dog", "b", "dog", "B.\n", "The answer is B.'", "Answer:\nB", "(b)", "`B`", '"B"', "（B）",
        "B: dog", "B\ndog", "B, as it barks", "```\nB\n```", "Answer: b", "answer: b)", "答案：B", r"So $\boxed{B}$",
        r"Final Answer: \boxed{\text{B}}", '{"answer": "B"}', "<answer>B</answer>", "It barks.\n\nB\n", "Dog.",
        "The answer is dog", "**Answer: B) dog**\n\nIt barks.", "answer: a\nNo, wait.\nanswer: b",
    ],
)  # fmt: skip
def test_reads_b(response):
    assert parse_choice(response, ANIMALS) == "B"


@pytest.mark.parametrize(
    "response",
    [
        "USA.", "", " ", "?", "B=1", "A/B", "AB", "I", "Z", "(Z)", "none of these", "a wolf is in the picture",
        "A. It barks: B. It does not: no", "e.g. this", "The answer is unclear", "B) cat", "A\nB", "neither", "B-52",
        "Answer: a wolf",
    ],
)  # fmt: skip
def test_guesses_nothing(response):
    assert parse_choice(response, ANIMALS) is None
    assert multiple_choice(response, Target(("B",), ANIMALS)).status == "unparsed"


def test_an_option_that_looks_like_a_letter():
    assert parse_choice("(c)", ("(b)", "(c)", "none")) is None
    assert parse_choice("(c)", ("(a)", "(b)", "(c)")) == "C"
    assert parse_choice("II only", ("I only", "II only")) == "B"


def test_an_option_to_the_letter_is_that_option():
    choices = ("neither; they are as warm", "sample A", "sample B")
    for right, text in zip("ABC", choices, strict=True):
        for answer in choices:
            assert multiple_choice(answer, Target((right,), choices)).value == (answer == text)


def test_scores_by_letter_or_text():
    for answer in ("B", "dog", "Dog"):
        target = Target((answer,), ANIMALS)
        score = multiple_choice("**B**", target)
        assert (score.value, score.status, score.answer) == (1, "correct", "B")
        assert multiple_choice("(A)", target).value == 0


def test_options_that_differ_in_case_only_are_told_apart_by_it():
    choices = ("AA", "Aa", "aa")
    for letter, answer in zip("ABC", choices, strict=True):
        assert multiple_choice(letter, Target((answer,), choices)).value == 1


@pytest.mark.parametrize(("answers", "choices"), [(("E",), ANIMALS), (("wolf",), ANIMALS), (("A",), ())])
def test_the_right_one_must_be_an_option(answers, choices):
    with pytest.raises(DataError, match="as the right one of"):
        multiple_choice("A", Target(answers, choices))


def test_every_way_of_writing_a_letter_reads_any_letter():
    rng = random.Random(3)
    ways = ("{}", "({})", "{}.", "**{}**", "Answer: {}", "The answer is {}.", r"\boxed{{{}}}", "Hm.\n{}", "{}) it")
    for _ in range(200):
        options = tuple(f"option text {i}" for i in range(rng.randint(2, 26)))
        letter = chr(ord("A") + rng.randrange(len(options)))
        assert parse_choice(rng.choice(ways).format(letter), options) == letter
        beyond = chr(ord("A") + len(options))
        if beyond <= "Z":
            assert parse_choice(rng.choice(ways).format(beyond), options) is None
