"""From samples to tensors: which turns an image is trained on, as the shipped templates render them.

All turns of an image are packed behind one image prefix; each turn sees the prefix and itself
only, at the positions it would have if it were asked alone. So training sees what inference sees.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.utils.data import IterableDataset, get_worker_info

from cot.prompt import load_template
from cot.train.charts import make_chart
from cot.train.easyvqa import make_easyvqa
from cot.train.sample import QA, Fact, Sample
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes

IGNORE: Final = -100
Turn = tuple[str, str]
"""Prompt and answer."""

DOMAINS: Final[dict[str, tuple[Callable[[random.Random], Sample], float]]] = {
    "scenes": (lambda rng: make_scene(rng, questions=9), 0.55),
    "shapes": (lambda rng: make_shapes(rng, questions=9), 0.2),
    "charts": (lambda rng: make_chart(rng, questions=8), 0.12),
    "easy-vqa": (lambda rng: make_easyvqa(rng, questions_each=6), 0.13),
}
"""Name -> maker of a training sample, and its share."""


def direct_turn(qa: QA) -> Turn:
    """The question as `direct` asks it."""
    return load_template("direct/answer").render(question=qa.question).text, qa.answer


def plan_turn(qa: QA) -> Turn:
    """The question as the planner asks for a plan."""
    return load_template("decompose/plan").render(question=qa.question).text, qa.plan


def fact_turn(fact: Fact) -> Turn:
    """A sub-question as the planner asks it."""
    return load_template("decompose/sub_answer").render(question=fact.asked, wants=fact.wants).text, fact.answer


def turns(sample: Sample, rng: random.Random, *, plans: float = 0.3) -> list[Turn]:
    """The turns that a sample is trained on. plans: mean number of plans an image."""
    found: list[Turn] = [fact_turn(fact) for fact in sample.extra]
    for qa in sample.qas:
        several = len(qa.facts) > 1 or qa.expression != "#1"
        if rng.random() < (0.6 if several else 0.5):
            found.append(direct_turn(qa))
        for fact in qa.facts:
            if rng.random() < (0.75 if several else 0.55):
                found.append(fact_turn(fact))
    found = list(dict.fromkeys(found))
    rng.shuffle(found)
    if sample.qas and rng.random() < plans:
        found.insert(0, plan_turn(rng.choice(sample.qas)))
    return found


def draw(rng: random.Random) -> Sample:
    """A training sample of a random domain."""
    makers = list(DOMAINS.values())
    return rng.choices([maker for maker, _ in makers], [share for _, share in makers])[0](rng)


@dataclass
class Packed:
    """One image and its turns, as lists of equal length (text tokens)."""

    ids: list[int]
    targets: list[int]
    segments: list[int]
    positions: list[int]


def pack(tokenizer: Tokenizer, conversation: list[Turn], *, prefix_tokens: int, max_tokens: int) -> Packed:
    """Tokenise turns one behind another, until `max_tokens` are full.

    Targets are the next tokens of answers and their end, `IGNORE` elsewhere.
    """
    packed = Packed([], [], [], [])
    for segment, (prompt, answer) in enumerate(conversation, 1):
        asked = tokenizer.encode(f"{prompt}<|assistant|>", add_special_tokens=False).ids
        said = tokenizer.encode(f"{answer}</s>", add_special_tokens=False).ids
        # The last token of a turn predicts nothing and is left out.
        length = len(asked) + len(said) - 1
        if len(packed.ids) + length > max_tokens:
            continue
        packed.ids += (asked + said)[:-1]
        packed.targets += [IGNORE] * (len(asked) - 1) + said
        packed.segments += [segment] * length
        packed.positions += range(prefix_tokens, prefix_tokens + length)
    return packed


class Batches(IterableDataset[dict[str, torch.Tensor]]):
    """Endless batches of training samples, all of one shape, so that a compiled step serves them all.

    Each holds pixels (batch, 3, side, side) uint8, patches and centres (batch, GRID * GRID),
    ids, targets, segments and positions (batch, max_tokens). Differs from worker to worker and seed to seed.
    """

    def __init__(self, tokenizer: Tokenizer, *, batch: int, seed: int, prefix_tokens: int, max_tokens: int) -> None:
        self.tokenizer, self.batch, self.seed = tokenizer, batch, seed
        self.prefix_tokens, self.max_tokens = prefix_tokens, max_tokens

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed}/{worker.id if worker else 0}")
        while True:
            yield self._collate([draw(rng) for _ in range(self.batch)], rng)

    def _collate(self, samples: list[Sample], rng: random.Random) -> dict[str, torch.Tensor]:
        packed = [
            pack(self.tokenizer, turns(s, rng), prefix_tokens=self.prefix_tokens, max_tokens=self.max_tokens)
            for s in samples
        ]

        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            return torch.tensor([row + [value] * (self.max_tokens - len(row)) for row in rows])

        def stacked(arrays: list[Any]) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays))

        return {
            "pixels": stacked([np.asarray(s.image).transpose(2, 0, 1) for s in samples]),
            "patches": stacked([s.patches.ravel() for s in samples]),
            "centres": stacked([s.centres.ravel() for s in samples]),
            "ids": padded([one.ids for one in packed], 0),
            "targets": padded([one.targets for one in packed], IGNORE),
            "segments": padded([one.segments for one in packed], 0),
            "positions": padded([one.positions for one in packed], 0),
        }


def corpus(seed: int, samples: int) -> Iterator[str]:
    """Text to train a tokenizer on: prompts and answers."""
    rng = random.Random(seed)
    for _ in range(samples):
        for prompt, answer in turns(draw(rng), rng, plans=0.2):
            yield prompt
            yield answer
