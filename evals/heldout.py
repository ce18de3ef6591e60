"""The held-out samples that the embedded model is measured on.

In: a part's name and a size. Out: cases, the same every time. Seeds are strings that training never
uses; a quarter of the questions is in trained wordings, one is put together from parts, one in held-out wordings,
and one in far-fetched ones that are held out; `plain-scenes` and the like are the second of these alone, and more of
it; easy-VQA is its official test split.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image

from cot.train.easyvqa import all_questions, image_path, program
from cot.train.held_out import GENERATORS, held_out_samples
from cot.train.sample import QA

MULTI_FACT: Final = ("comparison", "sum", "difference", "same_colour", "extreme_value", "logic", "threshold", "change")
"""Families whose questions need more than one fact, or a computation."""


@dataclass(frozen=True)
class Case:
    """One question about one image. image_id: what cases of one image share."""

    image_id: str
    image: Image.Image
    qa: QA


def _generated(part: str, n: int, *, plain: bool = False) -> Iterator[Case]:
    count = 0
    for image_id, sample in held_out_samples(part, plain=plain):
        if count >= n:
            return
        for qa in sample.qas:
            yield Case(image_id, sample.image, qa)
            count += 1


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
    **{part: partial(_generated, part) for part in GENERATORS},
    **{f"plain-{part}": partial(_generated, part, plain=True) for part in ("scenes", "shapes", "charts")},
}
"""Name -> its first n cases (a few more, to finish an image)."""
