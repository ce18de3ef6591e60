"""Shapes: colour x form x size on plain ground, with attributes and relations; CLEVR-like in two dimensions.

In: a random generator. Out: a `Sample` with questions and their programs.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cot.train.canvas import Box, Facets, PatchMap, background, jitter, named_colour, place
from cot.train.counting import Counting, Noun, number_of
from cot.train.labels import CLASSES, FORMS, SHAPE_COLOURS, SIZES
from cot.train.places import Thing, bigger, extreme_place, look_at, relation, relation_open
from cot.train.sample import IMAGE_PIXELS, QA, Fact, Maker, Sample, Seen
from cot.train.wording import Wording, canonical, word, worded

_SIDES = {"small": (27, 33), "large": (44, 56)}
_OVERSAMPLE = 2


@dataclass(frozen=True)
class Shape:
    """One drawn shape."""

    size: str
    colour: str
    form: str
    box: Box

    def fits(self, size: str, colour: str, form: str) -> bool:
        """Whether a description fits; empty parts fit all."""
        return size in ("", self.size) and colour in ("", self.colour) and form in ("", self.form)


def noun(size: str, colour: str, form: str) -> Noun:
    """What a description is called: "large red circle", "blue shape"."""
    plural = {"cross": "crosses", "": "shapes"}.get(form, form + "s")
    prefix = "".join(f"{part} " for part in (size, colour) if part)
    return Noun(prefix + (form or "shape"), prefix + plural)


_FORM_OF = {name: form for form in ("", *FORMS) for name in noun("", "", form)}


def _described(name: str) -> tuple[str, str, str] | None:
    """Size, colour and form that a name asks for, the inverse of `noun`; None if it names no shapes."""
    *adjectives, head = name.split()
    if head == "objects":
        return "", "", ""
    if head not in _FORM_OF:
        return None
    size, colour = (next((word for word in adjectives if word in words), "") for words in (SIZES, SHAPE_COLOURS))
    return size, colour, _FORM_OF[head]


def _apart(one: Noun, other: Noun) -> bool:
    """Whether no shape has both names: they ask for two sizes, colours or forms."""
    first, second = _described(one.singular), _described(other.singular)
    if first is None or second is None:
        return True
    return any(a and b and a != b for a, b in zip(first, second, strict=True))


def _polygon(form: str) -> list[tuple[float, float]]:
    """Corners in the unit square around (0, 0), -1 to 1."""
    if form == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if form == "rectangle":
        return [(-1, -0.55), (1, -0.55), (1, 0.55), (-1, 0.55)]
    if form == "triangle":
        return [(0, -1), (0.98, 0.85), (-0.98, 0.85)]
    if form == "diamond":
        return [(0, -1), (0.75, 0), (0, 1), (-0.75, 0)]
    if form == "cross":
        w = 0.33
        return [
            (-w, -1),
            (w, -1),
            (w, -w),
            (1, -w),
            (1, w),
            (w, w),
            (w, 1),
            (-w, 1),
            (-w, w),
            (-1, w),
            (-1, -w),
            (-w, -w),
        ]
    radii = [1.0 if i % 2 == 0 else 0.42 for i in range(10)]
    return [(r * math.sin(i * math.pi / 5), -r * math.cos(i * math.pi / 5)) for i, r in enumerate(radii)]


def _mask(form: str, side: int, rng: random.Random) -> Image.Image:
    big = side * _OVERSAMPLE
    mask = Image.new("L", (big, big))
    draw = ImageDraw.Draw(mask)
    half = big / 2
    if form == "circle":
        draw.ellipse((1, 1, big - 2, big - 2), fill=255)
    else:
        turn = math.radians(rng.uniform(-12, 12))
        corners = [
            (
                half + half * 0.97 * (x * math.cos(turn) - y * math.sin(turn)),
                half + half * 0.97 * (x * math.sin(turn) + y * math.cos(turn)),
            )
            for x, y in _polygon(form)
        ]
        draw.polygon(corners, fill=255)
    return mask.resize((side, side), Image.Resampling.BOX)


def _scatter(rng: random.Random, *, crowded: bool) -> list[Shape]:
    """Shapes where they fit; crowded: many, alike in colour or form."""
    if crowded:
        number, most_colours, most_forms = rng.randint(5, 10), 3, 2
    else:
        number, most_colours, most_forms = rng.choices(range(1, 11), weights=(2, 4, 5, 6, 7, 7, 6, 5, 4, 3))[0], 6, 5
    shapes: list[Shape] = []
    boxes: list[Box] = []
    palette = rng.sample(SHAPE_COLOURS, min(len(SHAPE_COLOURS), rng.randint(2, most_colours)))
    forms = rng.sample(FORMS, rng.randint(2, most_forms))
    for _ in range(number):
        size = rng.choice(SIZES)
        low, high = _SIDES[size]
        found = place(1, rng, smallest=low, largest=high, max_overlap=0.0)
        for _ in range(30):
            if found and all(found[0].overlap(other) <= 0.02 for other in boxes):
                boxes.append(found[0])
                shapes.append(Shape(size, rng.choice(palette), rng.choice(forms), found[0]))
                break
            found = place(1, rng, smallest=low, largest=high, max_overlap=0.0)
    return shapes


def _ground(rng: random.Random) -> Image.Image:
    """White, light gray, dark, or a pale texture: no colour that a shape could vanish in."""
    size = (IMAGE_PIXELS, IMAGE_PIXELS)
    if rng.random() < 0.5:
        return Image.new("RGB", size, jitter(rng.choice(((250, 250, 250), (225, 225, 222), (70, 70, 78))), rng, 5))
    while True:
        image, name, _ = background(rng)
        if name not in ("black", "gray"):
            return Image.blend(image, Image.new("RGB", size, (255, 255, 255)), 0.5)


def _facets(shape: Shape, shapes: Sequence[Shape]) -> Facets:
    """How many of `shapes` agree with this one, by what they agree in."""
    size, colour, form = shape.size, shape.colour, shape.form
    agreeing = {
        "same": ("", colour, form), "form": ("", "", form), "colour": ("", colour, ""),
        "size_form": (size, "", form), "size_colour": (size, colour, ""), "exact": (size, colour, form),
    }  # fmt: skip
    counts = {name: sum(other.fits(*parts) for other in shapes) for name, parts in agreeing.items()}
    return {**counts, "total": len(shapes)}


def make_shapes(rng: random.Random, *, questions: int, wording: Wording = "trained", crowded: bool = False) -> Sample:
    """A picture of shapes with about `questions` questions. crowded: with many that are alike."""
    shapes = _scatter(rng, crowded=crowded)
    image = _ground(rng)
    patches = PatchMap()
    for shape in shapes:
        side = round(shape.box.side)
        mask = _mask(shape.form, side, rng)
        left, top = round(shape.box.x - side / 2), round(shape.box.y - side / 2)
        image.paste(Image.new("RGB", mask.size, named_colour(shape.colour, rng)), (left, top), mask)
        label = CLASSES[f"shape {shape.size} {shape.colour} {shape.form}"]
        patches.paint(label, np.asarray(mask) > 100, left, top, _facets(shape, shapes))
    sample = Sample("shapes", image, patches.dense())

    def look(name: str) -> Seen:
        if (parts := _described(name)) is None:
            return Seen()
        return look_at([shape.box for shape in shapes], [shape.fits(*parts) for shape in shapes])

    sample.look = look
    _ask(sample, shapes, rng, questions=questions, wording=wording)
    return sample


def _description(shape: Shape, rng: random.Random) -> tuple[str, str, str]:
    parts = rng.choice(((0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 1), (1, 0, 0), (0, 1, 1)))
    size, colour, form = (
        value if keep else "" for keep, value in zip(parts, (shape.size, shape.colour, shape.form), strict=True)
    )
    return size, colour, form


def _unique_name(shape: Shape, shapes: list[Shape], rng: random.Random) -> Noun | None:
    """A name that only this shape has: form or colour alone where that is enough, else more."""
    options = [("", "", shape.form), ("", shape.colour, ""), ("", shape.colour, shape.form)]
    rng.shuffle(options)
    for option in [*options, (shape.size, "", shape.form), (shape.size, shape.colour, shape.form)]:
        if sum(other.fits(*option) for other in shapes) == 1:
            return noun(*option)
    return None


def _ask(sample: Sample, shapes: list[Shape], rng: random.Random, *, questions: int, wording: Wording) -> None:
    def present() -> tuple[Noun, int]:
        description = _description(rng.choice(shapes), rng)
        return noun(*description), sum(shape.fits(*description) for shape in shapes)

    def any_noun() -> tuple[Noun, int]:
        description = rng.choice(("", "", rng.choice(SIZES))), rng.choice(SHAPE_COLOURS), rng.choice(("", *FORMS))
        return noun(*description), sum(shape.fits(*description) for shape in shapes)

    counting = Counting(rng, present, any_noun, wording=wording, apart=_apart)
    things = [Thing(_unique_name(shape, shapes, rng), f"{shape.colour} {shape.form}", shape.box) for shape in shapes]
    makers: list[tuple[Maker, float]] = [
        (counting.existence, 3),
        (counting.count, 4),
        (lambda: counting.count_of(noun("", "", ""), len(shapes)), 0.5),
        (lambda: number_of("total", len(shapes), rng, wording=wording), 0.4),
        (counting.compare, 2.5),
        (counting.total_of, 2),
        (counting.difference, 1),
        (counting.extreme_of_three, 0.4),
        (counting.threshold, 1),
        (counting.of_two, 1.2),
        (counting.absent, 0.5),
        (counting.changed, 0.4),
        (lambda: relation(things, rng, wording=wording), 4),
        (lambda: relation_open(things, rng, wording=wording), 1),
        (lambda: extreme_place(things, rng, wording=wording), 0.7),
        (lambda: _attribute(shapes, rng, wording=wording), 5),
        (lambda: _same_colour(shapes, rng, wording=wording), 1.5),
        (lambda: bigger(things, rng, wording=wording), 0.3),
    ]
    sample.ask(makers, rng, questions=questions)
    absent = [form for form in FORMS if not any(shape.form == form for shape in shapes)]
    if absent and rng.random() < 0.3:
        sample.extra.append(Fact("phrase", canonical("colour", s=rng.choice(absent)), "unknown"))


def _attribute(shapes: list[Shape], rng: random.Random, *, wording: Wording) -> QA | None:
    """What colour is the circle? What shape is the red shape? Is the circle small or large?"""
    shape = rng.choice(shapes)
    family, option, answer = rng.choice((
        ("colour", ("", "", shape.form), shape.colour),
        ("colour", (shape.size, "", shape.form), shape.colour),
        ("form", ("", shape.colour, ""), shape.form),
        ("form", (shape.size, shape.colour, ""), shape.form),
        ("size", ("", shape.colour, shape.form), shape.size),
        ("size", ("", "", shape.form), shape.size),
    ))  # fmt: skip
    if sum(other.fits(*option) for other in shapes) != 1:
        return None
    name = noun(*option).singular
    fact = Fact("phrase", canonical(family, s=name), answer)
    return QA("attribute", word(family, rng, wording=wording, s=name), answer, (fact,), wording=wording)


def _same_colour(shapes: list[Shape], rng: random.Random, *, wording: Wording) -> QA | None:
    """Are the circle and the square the same colour?"""
    single = [s for s in shapes if sum(other.form == s.form for other in shapes) == 1]
    if len(single) < 2:
        return None
    first, second = rng.sample(single, 2)
    if first.colour != second.colour and rng.random() < 0.4:
        return None
    asked = worded("same_colour", rng, wording=wording, s=first.form, s2=second.form)
    mentioned = asked.mentioned((first, second))
    facts = tuple(Fact("phrase", canonical("colour", s=s.form), s.colour) for s in mentioned)
    return QA("same_colour", asked.text, "yes" if first.colour == second.colour else "no", facts, "#1 = #2", wording)
