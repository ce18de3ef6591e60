"""Questions about which objects there are and how many: the same for scenes and for shapes.

In: what was drawn, as counts of nouns. Out: questions with programs.
"""

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from cot.train.labels import MAX_COUNT
from cot.train.sample import QA, Fact
from cot.train.wording import Wording, canonical, word, worded

THRESHOLDS: Final[Mapping[str, tuple[str, Callable[[int, int], bool]]]] = {
    "at_least": (">=", operator.ge), "exactly": ("=", operator.eq), "more_than": (">", operator.gt),
    "fewer_than": ("<", operator.lt), "at_most": ("<=", operator.le),
}  # fmt: skip
"""Kind of wording -> how plans write it, and whether it holds of a count and a number."""
SUMS: Final = {2: "sum", 3: "sum_of_three", 4: "sum_of_four"}
"""Number of nouns -> kind of wording."""
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
    """The slots of wordings: {a} {s} {p}, then {a2} {s2} {p2} and so on, up to four."""
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


def number_of(family: str, number: int, rng: random.Random, *, wording: Wording) -> QA:
    """How many objects, kinds of objects or bars there are: a question that names none."""
    fact = Fact("count", canonical(family), str(number))
    return QA(family, word(family, rng, wording=wording), fact.answer, (fact,), wording=wording)


def yes_no(true: bool) -> str:
    """The answer's text."""
    return "yes" if true else "no"


Counted = tuple[Noun, int]
"""A noun, and how many there are of it."""
Pick = Callable[[], Counted]
"""Draws a noun with its count; absent ones now and then."""


class Counting:
    """Makes questions about counts. `present` draws nouns that occur, `any_noun` also ones that do not.

    apart: whether no thing can have both of two nouns, so that adding them up counts nothing twice.
    """

    def __init__(
        self,
        rng: random.Random,
        present: Pick,
        any_noun: Pick,
        *,
        wording: Wording,
        apart: Callable[[Noun, Noun], bool] = operator.ne,
    ) -> None:
        self.rng, self.present, self.any_noun, self.wording, self.apart = rng, present, any_noun, wording, apart

    def _qa(
        self,
        family: str,
        kind: str,
        drawn: Sequence[Counted],
        answer: str,
        expression: str = "#1",
        *,
        mirrored: str | None = None,
        fact: Callable[[Noun, int], Fact] = count_fact,
        **more: object,
    ) -> QA:
        """A question whose facts come in the order in which it mentions its nouns.

        kind: of wording, in which `drawn` are the nouns. expression: with {0} for the noun mentioned first.
        mirrored: the expression where a wording mentions the second of two nouns first, if that is another.
        """
        asked = worded(kind, self.rng, wording=self.wording, **slots(*(noun for noun, _ in drawn)), **more)
        mentioned = asked.mentioned(drawn)
        expression = mirrored if mirrored and mentioned[0] != drawn[0] else expression
        facts = tuple(fact(noun, count) for noun, count in mentioned)
        named = expression.format(*(noun.plural for noun, _ in mentioned))
        return QA(family, asked.text, answer, facts, named, self.wording)

    def _distinct(self, number: int, *, present: bool = False, apart: bool = False) -> list[Counted] | None:
        """So many nouns; apart: that no thing has two of."""
        found: dict[Noun, int] = {}
        for attempt in range(24 if apart else 12):
            noun, count = (self.present if present or attempt % 4 < 3 else self.any_noun)()
            if not apart or all(self.apart(noun, other) for other in found):
                found[noun] = count
            if len(found) == number:
                return list(found.items())
        return None

    def existence(self) -> QA:
        """Is there an apple?"""
        noun, count = self.present() if self.rng.random() < 0.5 else self.any_noun()
        return self._qa("existence", "existence", [(noun, count)], yes_no(count > 0), fact=exists_fact)

    def absent(self) -> QA:
        """Is there no apple?"""
        noun, count = self.present() if self.rng.random() < 0.5 else self.any_noun()
        return self._qa("logic", "absent", [(noun, count)], yes_no(not count), "not #1", fact=exists_fact)

    def count(self) -> QA:
        """How many apples are there?"""
        return self.count_of(*(self.present() if self.rng.random() < 0.88 else self.any_noun()))

    def count_of(self, noun: Noun, count: int) -> QA:
        """The same of a given noun."""
        return self._qa("count", "count", [(noun, count)], str(count))

    def changed(self) -> QA:
        """How many apples are left if 2 are taken away?"""
        kind, sign = self.rng.choice((("left_over", "-"), ("with_more", "+")))
        noun, count = max((self.present() for _ in range(2)), key=lambda drawn: drawn[1])  # of one, none is left
        number = self.rng.randint(1, 5 if sign == "+" else min(5, count))
        result = count - number if sign == "-" else count + number
        return self._qa("change", kind, [(noun, count)], str(result), f"#1 {sign} {number}", k=self._said(number))

    def compare(self) -> QA | None:
        """Are there more apples than cars?"""
        pair = self._distinct(2)
        if pair is None:
            return None
        if self.rng.random() < 0.5:
            pair.reverse()
        (first, n1), (second, n2) = pair
        kind = self.rng.choice(("more", "more", "fewer", "equal", "which_more", "which_fewer"))
        if kind in ("which_more", "which_fewer"):
            if n1 == n2:
                return None
            more = kind == "which_more"
            answer = first.plural if (n1 > n2) == more else second.plural
            name = "most" if more else "fewest"
            return self._qa("comparison", kind, pair, answer, name + "({0}: #1, {1}: #2)")
        true, sign, opposite = {
            "more": (n1 > n2, ">", "<"),
            "fewer": (n1 < n2, "<", ">"),
            "equal": (n1 == n2, "=", "="),
        }[kind]
        return self._qa("comparison", kind, pair, yes_no(true), f"#1 {sign} #2", mirrored=f"#1 {opposite} #2")

    def extreme_of_three(self) -> QA | None:
        """Which are there most of, apples, cars or dogs?"""
        drawn = self._distinct(3)
        if drawn is None:
            return None
        most = self.rng.random() < 0.6
        ranked = sorted((count for _, count in drawn), reverse=most)
        if ranked[0] == ranked[1]:
            return None
        answer = next(noun.plural for noun, count in drawn if count == ranked[0])
        kind, name = ("most_of_three", "most") if most else ("fewest_of_three", "fewest")
        return self._qa("comparison", kind, drawn, answer, name + "({0}: #1, {1}: #2, {2}: #3)")

    def total_of(self) -> QA | None:
        """How many apples and cars are there in total?"""
        (number,) = self.rng.choices(list(SUMS), (0.6, 0.26, 0.14))
        drawn = self._distinct(number, present=self.rng.random() < 0.9 - 0.3 * (number - 2), apart=True)
        if drawn is None or sum(count for _, count in drawn) > 2 * MAX_COUNT:
            return None
        expression = " + ".join(f"#{index}" for index in range(1, number + 1))
        return self._qa("sum", SUMS[number], drawn, str(sum(count for _, count in drawn)), expression)

    def difference(self) -> QA | None:
        """How many more apples than cars are there?"""
        drawn = self._distinct(2)
        if drawn is None:
            return None
        kind = "abs_difference" if self.rng.random() < 0.4 else "difference"
        (_, n1), (_, n2) = drawn
        if kind == "difference" and n1 < n2:
            drawn.reverse()
        return self._qa("difference", kind, drawn, str(abs(n1 - n2)), "abs(#1 - #2)")

    def threshold(self) -> QA:
        """Are there at least 3 apples?"""
        kind = self.rng.choice(list(THRESHOLDS))
        sign, holds = THRESHOLDS[kind]
        # Of few of a thing hardly any number is less: drawn as they come, the kind would tell the answer.
        true = self.rng.random() < 0.5
        for _ in range(8):
            noun, count = self.present()
            numbers = range(max(1, count - 3), count + 4)
            if fitting := [number for number in numbers if holds(count, number) == true]:
                break
        number = self.rng.choice(fitting or numbers)
        answer = yes_no(holds(count, number))
        return self._qa("threshold", kind, [(noun, count)], answer, f"#1 {sign} {number}", k=self._said(number))

    def _said(self, number: int) -> str:
        """A number in figures, or as a word."""
        return NUMBERS[number] if number < len(NUMBERS) and self.rng.random() < 0.5 else str(number)

    def of_two(self) -> QA | None:
        """Are there both a dog and a cat?"""
        (first, n1), (second, n2) = self.present(), self.any_noun()
        if self.rng.random() < 0.3:
            second, n2 = self.present()
        kind = self.rng.choice(("both", "both", "either", "either", "neither"))
        if kind != "both" and self.rng.random() < 0.6:
            first, n1 = self.any_noun()
        if first == second:
            return None
        drawn = [(first, n1), (second, n2)]
        if self.rng.random() < 0.5:
            drawn.reverse()
        true, expression = {
            "both": (n1 > 0 and n2 > 0, "#1 and #2"),
            "either": (n1 > 0 or n2 > 0, "#1 or #2"),
            "neither": (n1 == n2 == 0, "not #1 and not #2"),
        }[kind]
        return self._qa("logic", kind, drawn, yes_no(true), expression, fact=exists_fact)
