import time

import pytest

from cot.choice import bare, find_choice

ANIMALS = ("cat", "dog", "cow", "pig")


@pytest.mark.parametrize(
    "text",
    [
        "dog", " dog\n", "Dog", "DOG", "dog.", "Dog.", '"dog"', "'dog'", "`dog`", "“dog”", "**dog**", "*Dog*.", "A dog",
        "a dog.", "The dog", "Answer: dog", "The answer is dog.", "The answer is a dog", "**Answer: dog**",
        "B", "b", "B.", "B)", "(B)", "(b).", "[B]", "B:", "**B**", "**(B)**", "Answer: B", "**Answer:** B",
        "Answer: **B**", "The answer is B", "The answer is (B).", "The correct answer is B", "Final answer: B",
        "B) dog", "B. Dog", "(B) dog.", "B: a dog", "**B) dog**", "**B.** dog", "B dog",
    ],
)  # fmt: skip
def test_a_choice_is_found_however_it_is_written(text):
    assert find_choice(text, ANIMALS) == "dog"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", "**", "E", "(E)", "1", "do", "dogs", "hot dog", "dog or cat", "cat, dog", "A cat or a dog",
        "B) cat", "A dog, I think", "B or C", "ｂ", "BC", "not B", "I think it is a dog.", "B\nC",
        "unknown", "the", "B is wrong",
    ],
)  # fmt: skip
def test_nothing_is_guessed(text):
    assert find_choice(text, ANIMALS) is None


@pytest.mark.parametrize(
    ("text", "choices", "choice"),
    [
        ("us", ("US", "us"), "us"),
        ("Us", ("US", "us"), None),
        ("a dog", ("dog", "a dog"), "a dog"),
        ("the dog", ("dog", "a dog"), None),
        ("A dog", ("cat", "A dog"), "A dog"),
        ("dog", ("a cat", "a dog"), "a dog"),
        ("A", ("a cat", "a dog"), "a cat"),
        ("B", ("B", "A"), "B"),
        ("(B)", ("B", "A"), None),
        ("(B)", ("A", "B"), "B"),
        ("b", ("x", "B"), "B"),
        ("B", ("vitamin B", "vitamin C"), None),
        ("C", ("vitamin B", "vitamin D", "vitamin C"), "vitamin C"),
        ("B) vitamin C", ("vitamin B", "vitamin C"), "vitamin C"),
        ("Dark  blue", ("red", "dark blue"), "dark blue"),
        ("U.S.A.", ("USA", "U.S.A."), "U.S.A."),
        ("3.", ("3", "30"), "3"),
        ("\u22125", ("-5", "5"), "-5"),
        ("-5", ("\u22125", "5"), "\u22125"),
        ("A*", ("A", "A*", "Dijkstra"), "A*"),
        ("A", ("A", "A*", "Dijkstra"), "A"),
        ('5"', ("5", '5"'), '5"'),
        ("", ("**", "b"), None),
    ],
)
def test_what_could_mean_two_choices_means_none(text, choices, choice):
    assert find_choice(text, choices) == choice


def test_letters_are_read_only_where_they_stand_for_choices():
    assert find_choice("B", ("yes", "no"), lettered=False) is None
    assert find_choice("B) no", ("yes", "no"), lettered=False) is None
    assert find_choice("No.", ("yes", "no"), lettered=False) == "no"
    assert find_choice("Z", tuple(map(str, range(40)))) == "25"
    assert find_choice("{", tuple(map(str, range(40)))) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Answer: **7**.", "7"),
        ("**Answer: 7**", "7"),
        ("answers", "answers"),
        (".", "."),
        ("6'", "6"),
        ("The answer is '6'.", "6"),
        ('"6"', "6"),
        ("3。", "3"),
        ("答案：红色。", "红色"),
        ("正确答案是：红色", "红色"),
        ("答案不明", "答案不明"),
    ],
)
def test_what_is_around_a_value_is_no_part_of_it(text, left):
    assert bare(text) == left


@pytest.mark.parametrize("text", ["b" + "*" * 200_000, "a " * 200_000, "answer: " * 50_000, "B" + " " * 200_000 + "x"])
def test_it_takes_time_in_proportion_to_the_text(text):
    begun = time.process_time()
    find_choice(text, ANIMALS)
    assert time.process_time() - begun < 2
