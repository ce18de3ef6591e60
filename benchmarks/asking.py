"""Questions that benchmarks ask, and how: easy-VQA's test questions, answered briefly.

In: how many images. Out: requests, and what an engine answers to them in how many seconds.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from PIL import Image

from cot.engine import Completion, Message, Request
from cot.engine.local import LocalEngine
from cot.image import from_pixels
from cot.train.easyvqa import all_questions, image_path

MAX_TOKENS: Final = 8

Clock = Callable[[], float]
"""Seconds."""


def requests(images: int) -> list[list[Request]]:
    """The test questions of the first images, by image."""
    grouped = sorted(all_questions("test").items())[:images]
    found = []
    for number, asked in grouped:
        picture = from_pixels(Image.open(image_path("test", number)).convert("RGB"), source=f"easy-vqa {number}")
        found.append([
            Request((Message("user", (picture, f"{question}\nAnswer briefly.")),), MAX_TOKENS) for question, _ in asked
        ])  # fmt: skip
    return found


async def ask(
    engine: LocalEngine, asked: Sequence[Request], *, clock: Clock = time.perf_counter
) -> tuple[list[Completion], float]:
    """Ask all together. Returns the answers and the seconds."""
    begun = clock()
    answers = await asyncio.gather(*map(engine.complete, asked))
    return list(answers), clock() - begun
