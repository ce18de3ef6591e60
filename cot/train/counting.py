"""Questions about which objects there are and how many: the same for scenes and for shapes.

In: what was drawn, as counts of nouns. Out: questions with programs.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cot.train.labels import MAX_COUNT
from cot.train.sample import QA, Fact
from cot.train.wording import Wording, canonical, word

NUMBERS: Final = "no one two three four five six seven eight nine ten eleven twelve".split()


class Noun(NamedTuple):
    """What a thing is called."""

    singular: str
    plural: str

    @property
    def article(self) -> str:
        """With its article: an apple, a car; scissors stay as they are."""
        if self.singular == self.plural and self.singular == "scissors":
            return self.singular
        return ("an " if self.singular[0] in "aeiou" else "a ") + self.singular


def slots(*nouns: Noun) -> dict[str, str]:
    """The slots of wordings: {a} {s} {p}, then {a2} {s2} {p2} and so on."""
    named: dict[str, str] = {}
    for index, noun in enumerate(nouns, 1):
        number = "" if index == 1 else str(index)
        named |= {f"a{number}": noun.article, f"s{number}": noun.singular, f"p{number}": noun.plural}
    return named


def count_fact(noun: Noun, count: int) -> Fact:
    """How many there are."""
    return Fact("count", canonical("count", **slots(noun)), str(count))


def exists_fact(noun: Noun, count: int) -> Fact:
    """Whether there is one."""
    return Fact("yes_no", canonical("existence", **slots(noun)), yes_no(count > 0))


def yes_no(true: bool) -> str:
    """The answer's text."""
    return "yes" if true else "no"


Pick = Callable[[], tuple[Noun, int]]
"""Draws a noun with its count; absent ones now and then."""


class Counting:
    """Makes questions about counts. `present` draws nouns that occur, `any_noun` also ones that do not."""

    def __init__(self, rng: random.Random, present: Pick, any_noun: Pick, *, wording: Wording) -> None:
        self.rng, self.present, self.any_noun, self.wording = rng, present, any_noun, wording

    def _qa(self, family: str, worded: str, nouns: Sequence[Noun], answer: str, facts: tuple[Fact, ...],
            expression: str = "#1", **more: object) -> QA:  # fmt: skip
        text = word(worded, self.rng, wording=self.wording, **slots(*nouns), **more)
        return QA(family, text, answer, facts, expression, self.wording)

    def _distinct(self, number: int, *, present: bool = False) -> list[tuple[Noun, int]] | None:
        found: dict[Noun, int] = {}
        for attempt in range(12):
            noun, count = (self.present if present or attempt % 4 < 3 else self.any_noun)()
            found[noun] = count
            if len(found) == number:
                return list(found.items())
        return None

    def existence(self) -> QA:
        """Is there an apple?"""
        noun, count = self.present() if self.rng.random() < 0.5 else self.any_noun()
        return self._qa("existence", "existence", [noun], yes_no(count > 0), (exists_fact(noun, count),))

    def count(self) -> QA:
        """How many apples are there?"""
        noun, count = self.present() if self.rng.random() < 0.88 else self.any_noun()
        return self._qa("count", "count", [noun], str(count), (count_fact(noun, count),))

    def compare(self) -> QA | None:
        """Are there more apples than cars?"""
        pair = self._distinct(2)
        if pair is None:
            return None
        (first, n1), (second, n2) = pair
        if self.rng.random() < 0.5:
            first, n1, second, n2 = second, n2, first, n1
        facts = (count_fact(first, n1), count_fact(second, n2))
        kind = self.rng.choice(("more", "more", "fewer", "equal", "which_more", "which_fewer"))
        nouns = [first, second]
        if kind in ("which_more", "which_fewer"):
            if n1 == n2:
                return None
            more = kind == "which_more"
            answer = first.plural if (n1 > n2) == more else second.plural
            name = "most" if more else "fewest"
            expression = f"{name}({first.plural}: #1, {second.plural}: #2)"
            return self._qa("comparison", kind, nouns, answer, facts, expression)
        true, sign = {"more": (n1 > n2, ">"), "fewer": (n1 < n2, "<"), "equal": (n1 == n2, "=")}[kind]
        return self._qa("comparison", kind, nouns, yes_no(true), facts, f"#1 {sign} #2")

    def most_of_three(self) -> QA | None:
        """Which are there most of, apples, cars or dogs?"""
        drawn = self._distinct(3)
        if drawn is None:
            return None
        ranked = sorted((count for _, count in drawn), reverse=True)
        if ranked[0] == ranked[1]:
            return None
        answer = next(noun.plural for noun, count in drawn if count == ranked[0])
        labels = ", ".join(f"{noun.plural}: #{index}" for index, (noun, _) in enumerate(drawn, 1))
        facts = tuple(count_fact(noun, count) for noun, count in drawn)
        return self._qa("comparison", "most_of_three", [n for n, _ in drawn], answer, facts, f"most({labels})")

    def total_of(self) -> QA | None:
        """How many apples and cars are there in total?"""
        number = 3 if self.rng.random() < 0.25 else 2
        drawn = self._distinct(number, present=self.rng.random() < 0.9)
        if drawn is None or sum(count for _, count in drawn) > 2 * MAX_COUNT:
            return None
        facts = tuple(count_fact(noun, count) for noun, count in drawn)
        expression = " + ".join(f"#{index}" for index in range(1, number + 1))
        worded = "sum" if number == 2 else "sum_of_three"
        return self._qa("sum", worded, [n for n, _ in drawn], str(sum(c for _, c in drawn)), facts, expression)

    def difference(self) -> QA | None:
        """How many more apples than cars are there?"""
        drawn = self._distinct(2)
        if drawn is None:
            return None
        (first, n1), (second, n2) = drawn
        facts = (count_fact(first, n1), count_fact(second, n2))
        if self.rng.random() < 0.4:
            return self._qa("difference", "abs_difference", [first, second], str(abs(n1 - n2)), facts, "abs(#1 - #2)")
        if n1 < n2:
            first, n1, second, n2 = second, n2, first, n1
            facts = facts[::-1]
        return self._qa("difference", "difference", [first, second], str(n1 - n2), facts, "#1 - #2")

    def threshold(self) -> QA:
        """Are there at least 3 apples?"""
        noun, count = self.present()
        number = max(1, count + self.rng.choice((-1, 0, 0, 1, 1, 2)))
        kind = self.rng.choice(("at_least", "exactly"))
        true = count >= number if kind == "at_least" else count == number
        sign = ">=" if kind == "at_least" else "="
        facts = (count_fact(noun, count),)
        said = NUMBERS[number] if number < len(NUMBERS) and self.rng.random() < 0.5 else number
        return self._qa("threshold", kind, [noun], yes_no(true), facts, f"#1 {sign} {number}", k=said)

    def both_or_either(self) -> QA | None:
        """Are there both a dog and a cat?"""
        (first, n1), (second, n2) = self.present(), self.any_noun()
        if self.rng.random() < 0.3:
            second, n2 = self.present()
        kind = self.rng.choice(("both", "either"))
        if kind == "either" and self.rng.random() < 0.6:
            first, n1 = self.any_noun()
        if first == second:
            return None
        if self.rng.random() < 0.5:
            first, n1, second, n2 = second, n2, first, n1
        true = (n1 > 0 and n2 > 0) if kind == "both" else (n1 > 0 or n2 > 0)
        facts = (exists_fact(first, n1), exists_fact(second, n2))
        sign = "and" if kind == "both" else "or"
        return self._qa("logic", kind, [first, second], yes_no(true), facts, f"#1 {sign} #2")
