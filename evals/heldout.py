"""The held-out samples that the embedded model is measured on.

In: a part's name and a size. Out: cases, the same every time. Seeds are strings that training never
uses; wordings are half trained, half held out; easy-VQA is its official test split.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image

from cot.train.charts import make_chart
from cot.train.easyvqa import all_questions, image_path, program
from cot.train.kinds import HELD_OUT_STYLE
from cot.train.sample import QA, Sample
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes

QUESTIONS_EACH: Final = 6
MULTI_FACT: Final = ("comparison", "sum", "difference", "same_colour", "extreme_value", "logic", "threshold")
"""Families whose questions need more than one fact, or a computation."""


@dataclass(frozen=True)
class Case:
    """One question about one image. image_id: what cases of one image share."""

    image_id: str
    image: Image.Image
    qa: QA


def _generated(part: str, make: Callable[..., Sample], n: int) -> Iterator[Case]:
    count = number = 0
    while count < n:
        rng = random.Random(f"held-out/{part}/{number}")
        sample = make(rng, questions=QUESTIONS_EACH, held_out=number % 2 == 1)
        for qa in sample.qas:
            yield Case(f"{part}/{number}", sample.image, qa)
            count += 1
        number += 1


def _easy_vqa(n: int) -> Iterator[Case]:
    count = 0
    for number, asked in sorted(all_questions("test").items()):
        image = Image.open(image_path("test", number)).convert("RGB")
        for question, answer in asked:
            if count == n:
                return
            yield Case(f"easy-vqa/{number}", image, program(question, answer))
            count += 1


PARTS: Final[dict[str, Callable[[int], Iterator[Case]]]] = {
    "easy-vqa": _easy_vqa,
    "scenes": partial(_generated, "scenes", make_scene),
    "shapes": partial(_generated, "shapes", make_shapes),
    "charts": partial(_generated, "charts", make_chart),
    "unseen-style": partial(_generated, "unseen-style", partial(make_scene, style=HELD_OUT_STYLE)),
}
"""Name -> its first n cases (a few more, to finish an image)."""
