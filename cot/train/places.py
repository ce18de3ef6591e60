"""Questions about where things are, the same for scenes and for shapes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cot.train.canvas import Box
from cot.train.counting import Noun, slots, yes_no
from cot.train.sample import QA, Fact, Seen
from cot.train.wording import Wording, canonical, word, worded

Direction = tuple[int, int]
DIRECTIONS = {
    "to the left of": (-1, 0),
    "left of": (-1, 0),
    "to the right of": (1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "over": (0, -1),
    "below": (0, 1),
    "under": (0, 1),
}
"""Words -> direction (x, y); y grows downwards. Plans say the first words of each, whatever the question says."""
PLACES = {
    "leftmost": (-1, 0), "rightmost": (1, 0), "topmost": (0, -1), "lowest": (0, 1),
    "highest": (0, -1), "bottommost": (0, 1),
}  # fmt: skip
MARGIN = 12
"""Pixels by which things must differ before a question asks about it."""


def _as_planned(said: Mapping[str, Direction], direction: Direction) -> str:
    """The words of a direction or place that plans use."""
    return next(words for words, meant in said.items() if meant == direction)


@dataclass(frozen=True)
class Thing:
    """A drawn thing: a name that only it has, or None, and its box."""

    noun: Noun | None
    name: str
    box: Box

    def along(self, direction: Direction) -> float:
        """Position along a direction, pixels."""
        return self.box.x * direction[0] + self.box.y * direction[1]


def look_at(boxes: Sequence[Box], fits: Sequence[bool]) -> Seen:
    """What is known of a name. boxes: of all objects, as they were drawn. fits: which of them have it."""
    named = [box for box, one in zip(boxes, fits, strict=True) if one]
    seen = Seen(len(named), objects=sum(one << number for number, one in enumerate(fits, 1)))
    if len(named) != 1:
        return seen
    return seen._replace(x=round(named[0].x), y=round(named[0].y), side=round(named[0].side))


def relation(things: Sequence[Thing], rng: random.Random, *, wording: Wording) -> QA | None:
    """Is the dog to the left of the cat?"""
    unique = [thing for thing in things if thing.noun]
    if len(unique) < 2:
        return None
    first, second = rng.sample(unique, 2)
    words, direction = rng.choice(list(DIRECTIONS.items()))
    gap = first.along(direction) - second.along(direction)
    if abs(gap) < MARGIN or first.noun is None or second.noun is None:
        return None
    named = slots(first.noun, second.noun)
    answer = yes_no(gap > 0)
    asked = canonical("relation", d=_as_planned(DIRECTIONS, direction), **named)
    text = word("relation", rng, wording=wording, d=words, **named)
    return QA("relation", text, answer, (Fact("yes_no", asked, answer),), wording=wording)


def relation_open(things: Sequence[Thing], rng: random.Random, *, wording: Wording) -> QA | None:
    """What is to the left of the dog? Only where everything there has one name."""
    anchors = [thing for thing in things if thing.noun]
    if not anchors:
        return None
    anchor = rng.choice(anchors)
    words, direction = rng.choice(list(DIRECTIONS.items()))
    gaps = [(thing, thing.along(direction) - anchor.along(direction)) for thing in things if thing is not anchor]
    beyond = [thing for thing, gap in gaps if gap > 0]
    names = {thing.name for thing in beyond}
    if len(names) != 1 or any(abs(gap) < MARGIN for _, gap in gaps) or anchor.noun is None:
        return None
    named = slots(anchor.noun)
    answer = names.pop()
    fact = Fact("phrase", canonical("relation_open", d=_as_planned(DIRECTIONS, direction), **named), answer)
    text = word("relation_open", rng, wording=wording, d=words, **named)
    return QA("relation_open", text, answer, (fact,), wording=wording)


def extreme_place(things: Sequence[Thing], rng: random.Random, *, wording: Wording) -> QA | None:
    """What is the leftmost object?"""
    place, direction = rng.choice(list(PLACES.items()))
    ranked = sorted(things, key=lambda thing: -thing.along(direction))
    if len(ranked) < 2:
        return None
    rivals = [thing for thing in ranked[1:] if thing.name != ranked[0].name]
    if not rivals or ranked[0].along(direction) - rivals[0].along(direction) < MARGIN:
        return None
    answer = ranked[0].name
    fact = Fact("phrase", canonical("extreme_place", e=_as_planned(PLACES, direction)), answer)
    return QA("extreme_place", word("extreme_place", rng, wording=wording, e=place), answer, (fact,), wording=wording)


def bigger(things: Sequence[Thing], rng: random.Random, *, wording: Wording) -> QA | None:
    """Which is bigger, the dog or the cat?"""
    unique = [thing for thing in things if thing.noun]
    if len(unique) < 2:
        return None
    first, second = rng.sample(unique, 2)
    if max(first.box.side, second.box.side) < 1.3 * min(first.box.side, second.box.side):
        return None
    if first.noun is None or second.noun is None:
        return None
    nouns = (first.noun, second.noun)
    answer = first.name if first.box.side > second.box.side else second.name
    asked = worded("bigger", rng, wording=wording, **slots(*nouns))
    fact = Fact("phrase", canonical("bigger", **slots(*asked.mentioned(nouns))), answer)
    return QA("size_comparison", asked.text, answer, (fact,), wording=wording)
