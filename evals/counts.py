"""Counts things in new scenes, by how many there are: `python -m evals.counts`.

In: the embedded model, or another checkpoint. Out: a line for each number, percent right. Every kind that a question
about a scene counts is asked for once, as the planner asks: what is left wrong is the look, and neither plan nor
wording. Nothing is drawn at random at run time, so that checkpoints are asked the same.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator

from cot.engine.base import Message, Regex, Request
from cot.engine.local import LocalEngine
from cot.engine.local.source import find_source
from cot.errors import CotError
from cot.image import LoadedImage, from_pixels
from cot.stats import wilson
from cot.train.data import fact_turn
from cot.train.sample import Fact
from cot.train.scenes import make_scene
from evals.embedded import IN_FLIGHT, positive

SCENES = 480
QUESTIONS_EACH = 14
MANY = 6
"""So many and more are one line."""


def counted(scenes: int) -> Iterator[tuple[LoadedImage, Fact]]:
    """The counts of kinds that are there, of new scenes; not of all objects together."""
    for number in range(scenes):
        sample = make_scene(random.Random(f"count-analysis/{number}"), questions=QUESTIONS_EACH)
        image = from_pixels(sample.image, source=str(number))
        facts = dict.fromkeys(fact for qa in sample.qas for fact in qa.facts if fact.wants == "count")
        yield from ((image, fact) for fact in facts if fact.answer != "0" and "objects" not in fact.text)


async def count(model: str, scenes: int) -> list[tuple[int, bool]]:
    """How many there are, and whether the model says so, of each count. Raises EngineError for a wrong model."""
    engine = LocalEngine.load(model)
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(image: LoadedImage, fact: Fact) -> tuple[int, bool]:
        asked = Message("user", (image, fact_turn(fact)[0]))
        async with places:
            said = await engine.complete(Request((asked,), max_tokens=4, constraint=Regex("[0-9]{1,2}")))
        return int(fact.answer), said.text == fact.answer

    try:
        return await asyncio.gather(*(one(image, fact) for image, fact in counted(scenes)))
    finally:
        await engine.close()


def lines(results: list[tuple[int, bool]]) -> Iterator[str]:
    """Percent right with its 95% interval: of all counts, and by number."""
    asked = Counter(min(number, MANY) for number, _ in results)
    right = Counter(min(number, MANY) for number, told in results if told)
    yield _line("all", sum(right.values()), len(results))
    for number in sorted(asked):
        yield _line(f"{number} and more" if number == MANY else str(number), right[number], asked[number])


def _line(name: str, right: int, n: int) -> str:
    low, high = wilson(right, n)
    return f"{name:10} n {n:5}  {100 * right / n:5.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def main(arguments: list[str] | None = None) -> None:
    """Count and report. Raises EngineError for a wrong model."""
    parser = argparse.ArgumentParser(prog="python -m evals.counts", description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or a checkpoint folder")
    parser.add_argument("--scenes", type=positive, default=SCENES, help="how many scenes")
    options = parser.parse_args(arguments)
    find_source(options.model)
    for line in lines(asyncio.run(count(options.model, options.scenes))):
        print(line)


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
