"""From samples to tensors: which turns an image is trained on, as the shipped templates render them.

All turns of an image are packed behind one image prefix (`cot.train.packing`), so that training sees what inference
sees.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from cot.train.packing import IGNORE, Packed, Turn, pack, pack_rows
from cot.train.sample import GRID, INPUT_PIXELS, QA, Fact, Sample, Seen
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes

PLAN_COLUMNS: Final = ("ids", "targets", "segments", "above", "positions")
"""What is told of turns that are about no image, see `Packed`."""
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


QUESTIONS_DRAWN, QUESTIONS_AN_IMAGE = 18, 9
"""How many questions are drawn about an image, and how many of them it is trained on; plans are for any of them."""
PLANS_AN_IMAGE, PLANNED_EVERY = 2, 4
"""How many plans an image is trained on, in one of so many batches: the rest are trained on without images."""


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
    planned = min(int(plans) + (rng.random() < plans % 1), len(sample.qas))
    return [plan_turn(qa) for qa in rng.sample(sample.qas, planned)] + found


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
    """Makes batches of training samples, of one or two shapes, so that steps compiled for these serve them all.

    part: of the training, see `Part`. max_tokens: of the turns of an image. tokens_without_plans: the same for
    all but every `PLANNED_EVERY`th batch, whose images have no plans and take less time; None makes all batches alike.
    plan_rows, plan_tokens: rows of plans without an image, and tokens of each.
    """

    part: Part
    tokenizer: Tokenizer
    batch: int
    seed: int
    prefix_tokens: int
    max_tokens: int
    tokens_without_plans: int | None = None
    plan_rows: int = 0
    plan_tokens: int = 0

    def __call__(self, index: int) -> dict[str, NDArray[Any]]:
        """Batch number `index` of this seed.

        pixels (batch, 3, INPUT_PIXELS, INPUT_PIXELS) uint8; classes and objects (batch, GRID * GRID); offsets and
        facets (batch, GRID * GRID, values); ids, targets, early, segments, above and positions (batch, tokens);
        seen and before (batch, tokens, len(Seen._fields)). With `plan_rows`, the columns of `PLAN_COLUMNS` too, as
        `plan_ids` and so on: (plan_rows, plan_tokens).
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
        without = self.tokens_without_plans if index % PLANNED_EVERY else None
        tokens, plans = (self.max_tokens, PLANS_AN_IMAGE) if without is None else (without, 0)
        packed = [self._pack(sample, opening, rng, tokens=tokens, plans=plans) for sample in samples]

        planned = self._plans(samples, opening, rng) if self.plan_rows else []

        def padded(rows: list[Packed], name: str, length: int) -> NDArray[np.int64]:
            value = IGNORE if name in ("targets", "early") else 0
            columns = [getattr(row, name) for row in rows]
            return np.array([column + [value] * (length - len(column)) for column in columns], np.int64)

        def facts(rows: list[list[Seen]]) -> NDArray[np.int64]:
            return np.array([row + [Seen()] * (tokens - len(row)) for row in rows], np.int64)

        return {
            "pixels": np.stack([as_shown(s.image) for s in samples]),
            "classes": np.stack([s.dense.classes.ravel() for s in samples]),
            "objects": np.stack([s.dense.objects.ravel() for s in samples]),
            "offsets": np.stack([s.dense.offsets.reshape(GRID * GRID, -1) for s in samples]),
            "facets": np.stack([s.dense.facets.reshape(GRID * GRID, -1) for s in samples]),
            "seen": facts([one.seen for one in packed]),
            "before": facts([one.before for one in packed]),
            **{name: padded(packed, name, tokens) for name in (*PLAN_COLUMNS, "early")},
            **{f"plan_{name}": padded(planned, name, self.plan_tokens) for name in PLAN_COLUMNS if planned},
        }

    def _pack(self, sample: Sample, opening: list[int], rng: random.Random, *, tokens: int, plans: int) -> Packed:
        conversation = turns(sample, rng, plans=plans) if tokens else []
        return pack(
            self.tokenizer,
            conversation,
            prefix_tokens=self.prefix_tokens,
            max_tokens=tokens,
            look=sample.look,
            opening=opening,
        )

    def _plans(self, samples: list[Sample], opening: list[int], rng: random.Random) -> list[Packed]:
        """Plans of these samples, and of more if there are fewer than rows, so that rare programs are among them."""
        drawn = [*samples, *(draw(rng) for _ in range(self.plan_rows - len(samples)))]
        asked = evenly([qa for sample in drawn for qa in sample.qas], rng)
        return pack_rows(
            self.tokenizer,
            map(plan_turn, asked),
            rows=self.plan_rows,
            prefix_tokens=self.prefix_tokens,
            max_tokens=self.plan_tokens,
            opening=opening,
        )


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
