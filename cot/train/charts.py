"""Bar charts with labels and values, upright or lying.

In: a random generator. Out: a `Sample` with questions and their programs.
"""

import random
from functools import cache, partial

from PIL import Image, ImageDraw, ImageFont

from cot.train.canvas import Facets, PatchMap, jitter, named_colour, rank
from cot.train.counting import number_of, yes_no
from cot.train.labels import CLASSES, COLOURS, MAX_VALUE, WORDS
from cot.train.sample import IMAGE_PIXELS, QA, Fact, Sample, Seen
from cot.train.wording import Wording, canonical, word, worded

Bars = dict[str, int]


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(pixels)


def _text(draw: ImageDraw.ImageDraw, patches: PatchMap, text: str, name: str, x: float, y: float, *,
          size: int, fill: tuple[int, int, int], anchor: str, facets: Facets) -> None:  # fmt: skip
    draw.text((x, y), text, fill=fill, font=_font(size), anchor=anchor)
    patches.rectangle(CLASSES[name], *draw.textbbox((x, y), text, font=_font(size), anchor=anchor), facets)


def _facets(value: int, bars: Bars) -> Facets:
    """What the label of a bar says of the chart."""
    tens, units = divmod(value, 10)
    return {"tens": tens, "units": units, "rank": rank(value, [*bars.values()]), "total": len(bars)}


def _upright(
    draw: ImageDraw.ImageDraw, patches: PatchMap, bars: Bars, rng: random.Random, ink: tuple[int, int, int]
) -> None:
    step = IMAGE_PIXELS / len(bars)
    size = rng.randint(13, 15) if len(bars) <= 4 else 12
    top, bottom = 24, IMAGE_PIXELS - 22
    same = rng.choice(list(COLOURS)) if rng.random() < 0.5 else None
    high = max(bars.values())
    for index, (label, value) in enumerate(bars.items()):
        middle = (index + 0.5) * step
        width = step * rng.uniform(0.3, 0.4)
        y = bottom - (bottom - top) * value / max(high, 1)
        draw.rectangle(
            (middle - width, y, middle + width, bottom), fill=named_colour(same or rng.choice(list(COLOURS)), rng)
        )
        patches.rectangle(CLASSES["bar"], middle - width, y, middle + width, bottom, {})
        _text(draw, patches, str(value), f"value {value}", middle, y - 2, size=14, fill=ink, anchor="mb", facets={})
        _text(draw, patches, label, f"word {label}", middle, bottom + 4, size=size, fill=ink, anchor="mt",
              facets=_facets(value, bars))  # fmt: skip


def _lying(
    draw: ImageDraw.ImageDraw, patches: PatchMap, bars: Bars, rng: random.Random, ink: tuple[int, int, int]
) -> None:
    step = IMAGE_PIXELS / len(bars)
    left, right = 52, IMAGE_PIXELS - 24
    same = rng.choice(list(COLOURS)) if rng.random() < 0.5 else None
    high = max(bars.values())
    for index, (label, value) in enumerate(bars.items()):
        middle = (index + 0.5) * step
        width = step * rng.uniform(0.25, 0.38)
        x = left + (right - left) * value / max(high, 1)
        draw.rectangle(
            (left, middle - width, x, middle + width), fill=named_colour(same or rng.choice(list(COLOURS)), rng)
        )
        patches.rectangle(CLASSES["bar"], left, middle - width, x, middle + width, {})
        _text(draw, patches, str(value), f"value {value}", x + 3, middle, size=14, fill=ink, anchor="lm", facets={})
        _text(draw, patches, label, f"word {label}", left - 4, middle, size=rng.randint(13, 14), fill=ink, anchor="rm",
              facets=_facets(value, bars))  # fmt: skip


def make_chart(rng: random.Random, *, questions: int, wording: Wording = "trained") -> Sample:
    """A bar chart of 2 to 6 distinct values with about `questions` questions."""
    lying = rng.random() < 0.6
    number = rng.randint(2, 6 if lying else 4)
    short = [name for name in WORDS if len(name) <= 4] if not lying and number > 3 else WORDS
    labels = rng.sample(short, number)
    bars = dict(zip(labels, rng.sample(range(1, MAX_VALUE + 1), number), strict=True))
    dark = rng.random() < 0.15
    ground = jitter((45, 45, 50), rng) if dark else jitter((246, 246, 246), rng, 9)
    image = Image.new("RGB", (IMAGE_PIXELS, IMAGE_PIXELS), ground)
    patches = PatchMap()
    ink = (235, 235, 235) if dark else jitter((25, 25, 25), rng, 20)
    (_lying if lying else _upright)(ImageDraw.Draw(image), patches, bars, rng, ink)
    sample = Sample("charts", image, patches.dense(least=0.2))
    seen = {label: Seen(1, tens=value // 10, units=value % 10) for label, value in bars.items()}
    seen["bars"] = Seen(len(bars))
    sample.look = lambda name: seen.get(name, Seen(0))
    _ask(sample, bars, rng, questions=questions, wording=wording)
    return sample


def _value(label: str, bars: Bars) -> Fact:
    return Fact("number", canonical("value", s=label), str(bars[label]))


def _ask(sample: Sample, bars: Bars, rng: random.Random, *, questions: int, wording: Wording) -> None:
    makers = (
        (_lookup, 5),
        (_extreme, 2),
        (_extreme_value, 2),
        (_pair, 4),
        (_sum_of_three, 0.8),
        (_threshold, 0.8),
        (_bars, 0.7),
        (_which_value, 1),
        (_describe, 0.7),
    )
    sample.ask([(partial(maker, bars, rng, wording), weight) for maker, weight in makers], rng, questions=questions)
    if rng.random() < 0.2:
        absent = rng.choice([name for name in WORDS if name not in bars])
        sample.extra.append(Fact("number", canonical("value", s=absent), "unknown"))


def _lookup(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    label = rng.choice(list(bars))
    fact = _value(label, bars)
    return QA("lookup", word("value", rng, wording=wording, s=label), fact.answer, (fact,), wording=wording)


def _extreme(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    family = rng.choice(("highest", "lowest"))
    answer = (max if family == "highest" else min)(bars, key=lambda label: bars[label])
    fact = Fact("phrase", canonical(family), answer)
    return QA("extreme", word(family, rng, wording=wording), answer, (fact,), wording=wording)


def _extreme_value(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    """What is the highest value? First which bar, then its value."""
    family = rng.choice(("highest", "lowest"))
    label = (max if family == "highest" else min)(bars, key=lambda name: bars[name])
    facts = (
        Fact("phrase", canonical(family), label),
        Fact("number", canonical("value", s="#1"), str(bars[label]), canonical("value", s=label)),
    )
    text = word(f"{family}_value", rng, wording=wording)
    return QA("extreme_value", text, str(bars[label]), facts, "#2", wording)


def _pair(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    """Two values, asked for in the order in which the question mentions them."""
    pair = rng.sample(list(bars), 2)
    family = rng.choice(("value_sum", "value_difference", "value_more", "which_value_more"))
    if family == "value_difference" and bars[pair[0]] < bars[pair[1]]:
        pair.reverse()
    asked = worded(family, rng, wording=wording, s=pair[0], s2=pair[1])
    a, b = mentioned = asked.mentioned(pair)
    exchanged = mentioned != pair
    answer, expression = {
        "value_sum": (str(bars[a] + bars[b]), "#1 + #2"),
        "value_difference": (str(abs(bars[a] - bars[b])), "abs(#1 - #2)"),
        "value_more": (yes_no(bars[pair[0]] > bars[pair[1]]), "#1 < #2" if exchanged else "#1 > #2"),
        "which_value_more": (max(a, b, key=lambda label: bars[label]), f"most({a}: #1, {b}: #2)"),
    }[family]
    name = {"value_sum": "sum", "value_difference": "difference"}.get(family, "comparison")
    facts = tuple(_value(label, bars) for label in mentioned)
    return QA(name, asked.text, answer, facts, expression, wording)


def _sum_of_three(bars: Bars, rng: random.Random, wording: Wording) -> QA | None:
    if len(bars) < 3:
        return None
    labels = rng.sample(list(bars), 3)
    asked = worded("value_sum_of_three", rng, wording=wording, s=labels[0], s2=labels[1], s3=labels[2])
    facts = tuple(_value(label, bars) for label in asked.mentioned(labels))
    return QA("sum", asked.text, str(sum(bars[label] for label in labels)), facts, "#1 + #2 + #3", wording)


def _threshold(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    """Is north more than 20?"""
    label, value = rng.choice(list(bars.items()))
    number = rng.choice([*bars.values(), *(value + off for off in range(-9, 10))])
    number = min(max(number, 1), MAX_VALUE)
    family, sign, true = rng.choice((("value_above", ">", value > number), ("value_below", "<", value < number)))
    text = word(family, rng, wording=wording, s=label, k=number)
    return QA("threshold", text, yes_no(true), (_value(label, bars),), f"#1 {sign} {number}", wording)


def _bars(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    return number_of("bars", len(bars), rng, wording=wording)


def _which_value(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    label, value = rng.choice(list(bars.items()))
    fact = Fact("phrase", canonical("which_value", k=value), label)
    return QA("reverse_lookup", word("which_value", rng, wording=wording, k=value), label, (fact,), wording=wording)


def _describe(bars: Bars, rng: random.Random, wording: Wording) -> QA:
    answer = ", ".join(f"{label} {value}" for label, value in bars.items())
    fact = Fact("text", canonical("describe_chart"), answer)
    return QA("description", word("describe_chart", rng, wording=wording), answer, (fact,), wording=wording)
