"""From samples to tensors: which turns an image is trained on, as the shipped templates render them.

All turns of an image are packed behind one image prefix (`cot.train.packing`), so that training sees what inference
sees.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from cot.prompt import Template, load_template, search_path
from cot.train.charts import make_chart
from cot.train.easyvqa import make_easyvqa
from cot.train.kinds import KINDS
from cot.train.labels import COLOURS, SIZES
from cot.train.mentions import THINGS
from cot.train.packing import IGNORE, Packed, Turn, pack
from cot.train.sample import GRID, INPUT_PIXELS, QA, Fact, Sample, Seen
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes

_DETAILS: Final = re.compile(r"[^(,]+: |(?<!#)\b\d+")
"""What `most(cats: #1, dogs: #2)` has and `most(owls: #1, cows: #2)` has not, or `#1 >= 3` and not `#1 >= 2`."""

Part = Literal["vision", "look-up", "questions"]
"""Training learns to see, then to find what a name refers to, then to answer questions."""


class Domain(NamedTuple):
    """A kind of training sample: what makes it, and its share of all images.

    seen: share while learning to see, where charts and single shapes are soon known and scenes take long.
    crowded: share of its images that show many things alike; high counts are learned last.
    phrased: share of those whose questions are put together from parts.
    """

    make: Callable[..., Sample]
    share: float
    seen: float
    crowded: float = 0.0
    phrased: float = 0.4


DOMAINS: Final = {
    "scenes": Domain(make_scene, 0.50, 0.62, crowded=0.5),
    "shapes": Domain(make_shapes, 0.30, 0.24, crowded=0.4),
    "charts": Domain(make_chart, 0.16, 0.09),
    "easy-vqa": Domain(make_easyvqa, 0.04, 0.05, phrased=0.0),
}


QUESTIONS_DRAWN, QUESTIONS_AN_IMAGE, PLANS_AN_IMAGE = 18, 9, 6
"""How many questions are drawn about an image, how many of them it is trained on, and for how many of all on a plan.
Plans come first; other turns that no longer fit behind them are left out.

Plans say nothing about an image, and yet they are trained behind one: taught without, they were 99% right without and
95% with (docs/log.md).
"""


def _shipped(name: str) -> Template:
    """A shipped template, whatever lies in the folder where training is started."""
    return load_template(name, folders=search_path()[-1:])


def direct_turn(qa: QA) -> Turn:
    """The question as `direct` asks it."""
    return _shipped("direct/answer").render(question=qa.question).text, qa.answer


def plan_turn(qa: QA) -> Turn:
    """The question as the planner asks for a plan."""
    return _shipped("decompose/plan").render(question=qa.question).text, qa.plan


def fact_turn(fact: Fact) -> Turn:
    """A sub-question as the planner asks it."""
    return _shipped("decompose/sub_answer").render(question=fact.asked, wants=fact.wants).text, fact.answer


def plan_opening(tokenizer: Tokenizer) -> list[int]:
    """The tokens with which every request for a plan begins: five sixths of it are the same for all questions."""
    asked = [_shipped("decompose/plan").render(question=question).text for question in ("Is it?", "How?")]
    ids = [tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in asked]
    return [first for first, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(*ids, strict=False))]


def turns(sample: Sample, rng: random.Random, *, plans: float = PLANS_AN_IMAGE) -> list[Turn]:
    """The turns that a sample is trained on. plans: mean number of plans an image."""
    found: list[Turn] = [fact_turn(fact) for fact in sample.extra]
    for qa in rng.sample(sample.qas, min(QUESTIONS_AN_IMAGE, len(sample.qas))):
        several = len(qa.facts) > 1 or qa.expression != "#1"
        if rng.random() < (0.6 if several else 0.5):
            found.append(direct_turn(qa))
        for fact in qa.facts:
            if rng.random() < (0.75 if several else 0.55):
                found.append(fact_turn(fact))
    found = list(dict.fromkeys(found))
    rng.shuffle(found)
    planned = int(plans) + (rng.random() < plans % 1)
    return [plan_turn(qa) for qa in evenly(sample.qas, rng)[:planned]] + found


LOOK_UP_KINDS, LOOK_UP_BATCHES = 10, 100
"""With so few kinds a decoder finds out in about so many steps that a name refers to patches (docs/log.md)."""
LOOK_UP_FAMILIES: Final = frozenset({"existence", "count", "comparison", "sum", "difference", "threshold", "logic"})
"""Questions whose sub-questions ask about one name."""


def draw_look_up(rng: random.Random, *, kinds: int) -> Sample:
    """A scene of the first `kinds`, with the sub-questions that ask about one name."""
    sample = make_scene(rng, questions=14, kinds=kinds)
    facts = [fact for qa in sample.qas if qa.family in LOOK_UP_FAMILIES for fact in qa.facts]
    sample.extra, sample.qas = facts, []
    return sample


def draw(rng: random.Random, *, asking: bool = True) -> Sample:
    """A training sample of a random domain. asking: with questions; without is faster."""
    shares = [domain.share if asking else domain.seen for domain in DOMAINS.values()]
    (domain,) = rng.choices(list(DOMAINS.values()), shares)
    more: dict[str, Any] = {"crowded": True} if rng.random() < domain.crowded else {}
    if rng.random() < domain.phrased:
        more["wording"] = "phrased"
    return domain.make(rng, questions=QUESTIONS_DRAWN if asking else 0, **more)


def as_shown(image: Image.Image) -> NDArray[np.uint8]:
    """An image as the processor resizes it: (3, INPUT_PIXELS, INPUT_PIXELS)."""
    return np.array(image.resize((INPUT_PIXELS, INPUT_PIXELS), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches of training samples, of one shape, so that a step compiled for it serves them all.

    part: of the training, see `Part`. max_tokens: of the turns of an image.
    """

    part: Part
    tokenizer: Tokenizer
    batch: int
    seed: int
    prefix_tokens: int
    max_tokens: int

    def __call__(self, index: int) -> dict[str, NDArray[Any]]:
        """Batch number `index` of this seed.

        pixels (batch, 3, INPUT_PIXELS, INPUT_PIXELS) uint8; classes and objects (batch, GRID * GRID); offsets and
        facets (batch, GRID * GRID, values); ids, targets, early, segments, above and positions (batch, max_tokens);
        seen and before (batch, max_tokens, len(Seen._fields)).
        """
        rng = random.Random(f"{self.seed}/{index}")
        kinds = LOOK_UP_KINDS if index < LOOK_UP_BATCHES else len(KINDS)
        makers: dict[Part, Callable[[random.Random], Sample]] = {
            "vision": partial(draw, asking=False),
            "look-up": partial(draw_look_up, kinds=kinds),
            "questions": draw,
        }
        samples = [makers[self.part](rng) for _ in range(self.batch)]
        opening = plan_opening(self.tokenizer)
        packed = [
            pack(
                self.tokenizer,
                turns(sample, rng) if self.max_tokens else [],
                prefix_tokens=self.prefix_tokens,
                max_tokens=self.max_tokens,
                look=sample.look,
                opening=opening,
            )
            for sample in samples
        ]

        def padded(name: str) -> NDArray[np.int64]:
            value = {"targets": IGNORE, "early": IGNORE, "seen": Seen(), "before": Seen()}.get(name, 0)
            rows = [getattr(row, name) for row in packed]
            return np.array([row + [value] * (self.max_tokens - len(row)) for row in rows], np.int64)

        return {
            "pixels": np.stack([as_shown(s.image) for s in samples]),
            "classes": np.stack([s.dense.classes.ravel() for s in samples]),
            "objects": np.stack([s.dense.objects.ravel() for s in samples]),
            "offsets": np.stack([s.dense.offsets.reshape(GRID * GRID, -1) for s in samples]),
            "facets": np.stack([s.dense.facets.reshape(GRID * GRID, -1) for s in samples]),
            **{column.name: padded(column.name) for column in fields(Packed)},
        }


def without_details(expression: str) -> str:
    """An expression without its names and numbers."""
    return _DETAILS.sub("", expression)


def evenly(qas: list[QA], rng: random.Random) -> list[QA]:
    """Questions in an order in which each kind of program comes as often as any other, as long as there are any."""
    kinds: dict[tuple[str, ...], list[QA]] = {}
    for qa in rng.sample(qas, len(qas)):
        wants = (fact.wants for fact in qa.facts)  # a sum of bars is asked for in other words than one of counts
        kinds.setdefault((qa.family, *wants, without_details(qa.expression)), []).append(qa)
    rounds = itertools.zip_longest(*rng.sample(list(kinds.values()), len(kinds)))
    return [qa for one in rounds for qa in one if qa is not None]


def corpus(seed: int, samples: int) -> Iterator[str]:
    """Text to train a tokenizer on: prompts and answers, and often enough to be one token each, all names alone.

    A name begins an answer without the blank that it has within a question; in pieces it would share nothing with it.
    """
    rng = random.Random(seed)
    for _ in range(samples // 10):
        yield from (*THINGS, *COLOURS, *SIZES)
    for _ in range(samples):
        for prompt, answer in turns(draw(rng), rng, plans=0.2):
            yield prompt
            yield answer
