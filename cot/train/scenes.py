"""Scenes: everyday objects, drawn from emoji artwork, on varied backgrounds.

In: a random generator. Out: a `Sample` with questions and their programs.
"""

import random
from collections import Counter

import numpy as np
from PIL import Image, ImageEnhance

from cot.train.artwork import sprites
from cot.train.canvas import Box, Facets, PatchMap, background, place, rank
from cot.train.counting import NUMBERS, Counting, Noun, number_of
from cot.train.kinds import KINDS, TRAIN_STYLES
from cot.train.labels import BACKGROUND_COLOURS, CLASSES
from cot.train.places import Thing, bigger, extreme_place, look_at, relation, relation_open
from cot.train.sample import QA, Fact, Maker, Sample, Seen
from cot.train.wording import Wording, canonical, word

_KIND_OF = {name: index for index, kind in enumerate(KINDS) for name in (kind.singular, kind.plural)}
_FIRST_KIND = CLASSES[f"kind {KINDS[0].singular}"]


def _noun(index: int) -> Noun:
    return Noun(KINDS[index].singular, KINDS[index].plural)


def _choose_kinds(rng: random.Random, kinds: int, *, crowded: bool = False) -> list[int]:
    """Kinds of the objects, of the first `kinds`, one entry an object: few that repeat, so that counting matters.

    crowded: many objects of fewer kinds still.
    """
    if crowded:
        number, variety = rng.randint(5, 12), rng.randint(1, 3)
    else:
        number = rng.choices(range(1, 13), weights=(3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4))[0]
        variety = min(number, rng.choices((1, 2, 3, 4, 5, 6), weights=(1, 4, 5, 4, 2, 1))[0])
    pool = rng.sample(range(kinds), variety)
    chosen = list(pool)
    weights = [rng.random() ** 2 + 0.05 for _ in pool]
    chosen += rng.choices(pool, weights, k=number - variety)
    rng.shuffle(chosen)
    return chosen


def _draw(
    image: Image.Image, patches: PatchMap, kind: int, box: Box, style: str, facets: Facets, rng: random.Random
) -> None:
    sprite = sprites(style)[kind]
    side = round(box.side)
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        sprite = sprite.rotate(rng.uniform(-18, 18), Image.Resampling.BILINEAR)
    sprite = sprite.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=None)
    if rng.random() < 0.3:
        alpha = sprite.getchannel("A")
        sprite = ImageEnhance.Brightness(sprite).enhance(rng.uniform(0.8, 1.15))
        sprite.putalpha(alpha)
    left, top = round(box.x - side / 2), round(box.y - side / 2)
    image.paste(sprite, (left, top), sprite)
    patches.paint(_FIRST_KIND + kind, np.asarray(sprite.getchannel("A")) > 100, left, top, facets)


def draw_objects(
    image: Image.Image, kinds: list[int], rng: random.Random, *, style: str | None, ground: str | None = None
) -> tuple[list[int], list[Box], PatchMap]:
    """Draw objects of these kinds onto an image; those that do not fit are left out.

    style: an art style, or None to mix the training styles. ground: colour of a plain background, which bare patches
    then tell. Returns the kinds and places of what was drawn, and what covers each patch.
    """
    boxes = place(len(kinds), rng, smallest=30, largest=76, max_overlap=rng.choice((0.0, 0.08, 0.16)))
    kinds = kinds[: len(boxes)]
    patches = PatchMap({"ground": [*BACKGROUND_COLOURS].index(ground)} if ground else None)
    counts = Counter(kinds)
    for kind, box in zip(kinds, boxes, strict=True):
        facets = {"same": counts[kind], "total": len(kinds), "rank": rank(counts[kind], [*counts.values()])}
        _draw(image, patches, kind, box, style or rng.choice(TRAIN_STYLES), facets, rng)
    return kinds, boxes, patches


def make_scene(
    rng: random.Random,
    *,
    questions: int,
    wording: Wording = "trained",
    style: str | None = None,
    kinds: int = len(KINDS),
    crowded: bool = False,
) -> Sample:
    """A scene with about `questions` questions.

    wording: in which ways they are worded. style: draw all objects in it;
    None mixes the training styles. kinds: draw and ask about the first so many of `KINDS` only. crowded: with many
    objects of few kinds.
    """
    image, name, plain = background(rng)
    colour = name if plain else None
    scene_style = style or (rng.choice(TRAIN_STYLES) if rng.random() < 0.7 else None)
    chosen = _choose_kinds(rng, kinds, crowded=crowded)
    drawn, boxes, patches = draw_objects(image, chosen, rng, style=scene_style, ground=colour)
    sample = Sample("scenes", image, patches.dense(), style=scene_style or "mixed")

    def look(name: str) -> Seen:
        return look_at(boxes, [name == "objects" or kind == _KIND_OF.get(name) for kind in drawn])

    sample.look = look
    _ask(sample, drawn, boxes, colour, rng, questions=questions, wording=wording, known=kinds)
    return sample


def _ask(sample: Sample, kinds: list[int], boxes: list[Box], colour: str | None, rng: random.Random, *,
         questions: int, wording: Wording, known: int) -> None:  # fmt: skip
    counts = Counter(kinds)
    present = list(counts)

    def draw_present() -> tuple[Noun, int]:
        kind = rng.choice(present)
        return _noun(kind), counts[kind]

    def draw_any() -> tuple[Noun, int]:
        kind = rng.randrange(known)
        return _noun(kind), counts[kind]

    counting = Counting(rng, draw_present, draw_any, wording=wording)
    things = [
        Thing(_noun(kind) if counts[kind] == 1 else None, KINDS[kind].singular, box)
        for kind, box in zip(kinds, boxes, strict=True)
    ]
    makers: list[tuple[Maker, float]] = [
        (counting.existence, 3),
        (counting.count, 4),
        (counting.compare, 3),
        (counting.extreme_of_three, 1.2),
        (counting.total_of, 3),
        (counting.difference, 1.5),
        (counting.threshold, 1.3),
        (counting.of_two, 1.2),
        (counting.absent, 0.5),
        (counting.changed, 0.6),
        (lambda: relation(things, rng, wording=wording), 4),
        (lambda: relation_open(things, rng, wording=wording), 2),
        (lambda: extreme_place(things, rng, wording=wording), 1),
        (lambda: bigger(things, rng, wording=wording), 1),
        (lambda: _most(counts, rng, wording=wording), 1.5),
        (lambda: number_of("total", len(kinds), rng, wording=wording), 1),
        (lambda: number_of("kinds", len(present), rng, wording=wording), 0.6),
        (lambda: _describe(counts, rng, wording=wording), 1),
        (lambda: _background(colour, rng, wording=wording), 1),
    ]
    sample.ask(makers, rng, questions=questions)


def _most(counts: Counter[int], rng: random.Random, *, wording: Wording) -> QA | None:
    family = rng.choice(("most", "fewest"))
    ranked = counts.most_common() if family == "most" else counts.most_common()[::-1]
    if len(ranked) < 2 or ranked[0][1] == ranked[1][1]:
        return None
    answer = KINDS[ranked[0][0]].singular
    fact = Fact("phrase", canonical(family), answer)
    return QA("most_fewest", word(family, rng, wording=wording), answer, (fact,), wording=wording)


def _describe(counts: Counter[int], rng: random.Random, *, wording: Wording) -> QA:
    """Kinds by falling count, then by name: "three apples, two cars and a dog"."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], KINDS[item[0]].singular))
    parts = [f"{NUMBERS[count]} {_noun(kind).plural if count > 1 else _noun(kind).singular}" for kind, count in ranked]
    answer = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    fact = Fact("text", canonical("describe"), answer)
    return QA("description", word("describe", rng, wording=wording), answer, (fact,), wording=wording)


def _background(colour: str | None, rng: random.Random, *, wording: Wording) -> QA | None:
    if colour is None:
        return None
    fact = Fact("phrase", canonical("background"), colour)
    return QA("attribute", word("background", rng, wording=wording), colour, (fact,), wording=wording)
