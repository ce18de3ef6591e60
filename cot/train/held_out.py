"""Samples of the generators that training never sees: those to measure on, and others to calibrate on.

In: a part's name. Out: samples, the same every time, or the rows of an evaluation task. Seeds are strings that
training never uses; every other image to measure on has its questions in wordings that are kept out too.
"""

import io
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, get_args

from cot.dataset import DataSpec, Loader, Row
from cot.errors import DataError
from cot.train.charts import make_chart
from cot.train.easyvqa import Split, all_questions, image_path, program
from cot.train.kinds import HELD_OUT_STYLE
from cot.train.sample import Sample
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes
from cot.train.wording import Wording

QUESTIONS_EACH: Final = 6

GENERATORS: Final[Mapping[str, Callable[..., Sample]]] = {
    "scenes": make_scene,
    "shapes": make_shapes,
    "charts": make_chart,
    "unseen-style": partial(make_scene, style=HELD_OUT_STYLE),
}

WORDED: Final[tuple[Wording, ...]] = ("trained", "held_out", "phrased", "far_fetched")
"""How the questions about images to measure on are worded, in turn."""

CALIBRATION: Final = "calibration"
"""The split to calibrate on; its parts are `CALIBRATED`, in turn."""
CALIBRATED: Final = ("scenes", "shapes", "charts")


EXAMPLES: Final = "examples/"
"""Before a part: the split of solved examples to show before questions of it."""


def held_out_samples(part: str, *, plain: bool = False) -> Iterator[tuple[str, Sample]]:
    """Samples without end, each with what its questions share: `scenes/0`. plain: those alone whose questions are put
    together from parts."""
    for number, wording in enumerate(itertools.cycle(WORDED)):
        if plain and wording != "phrased":
            continue
        rng = random.Random(f"held-out/{part}/{number}")
        yield f"{part}/{number}", GENERATORS[part](rng, questions=QUESTIONS_EACH, wording=wording)


def calibration_samples() -> Iterator[tuple[str, Sample]]:
    """Samples without end, on which nothing is measured: of seeds of their own, half of them in trained wordings and
    half put together from parts."""
    for number in itertools.count():
        for part in CALIBRATED:
            rng = random.Random(f"{CALIBRATION}/{part}/{number}")
            # Drawn, since images are fitted to and checked on in turn.
            wording: Wording = random.Random(f"{CALIBRATION}/wording/{part}/{number}").choice(("trained", "phrased"))
            yield f"{CALIBRATION}/{part}/{number}", GENERATORS[part](rng, questions=QUESTIONS_EACH, wording=wording)


def example_samples(part: str) -> Iterator[tuple[str, Sample]]:
    """Samples without end, of seeds that nothing else uses, in the wordings of training: `examples/scenes/0`."""
    for number in itertools.count():
        name = f"{EXAMPLES}{part}/{number}"
        yield name, GENERATORS[part](random.Random(name), questions=QUESTIONS_EACH)


def held_out_rows(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A loader: the part is `split`, `examples/` before it for its examples, and `n` says how many questions there are.

    Fields: `image` (the bytes of a PNG file), `image_id`, `number` (from 1), `question`, `answer`, `family`, `facts`.
    Raises DataError for an unknown part, and without `n`.
    """
    known: dict[str, Callable[[], Iterator[tuple[str, Sample]]]] = {CALIBRATION: calibration_samples}
    for part in GENERATORS:
        known |= {part: partial(held_out_samples, part), EXAMPLES + part: partial(example_samples, part)}
    if spec.split not in known:
        raise DataError(f"unknown split {spec.split!r} of generated data; known: {', '.join(known)}")
    if spec.n is None:
        raise DataError("generated data has no end; expected n, the number of questions")
    for image_id, sample in known[spec.split]():
        buffer = io.BytesIO()
        sample.image.save(buffer, "PNG")
        for number, qa in enumerate(sample.qas, 1):
            values = {
                "image": buffer.getvalue(), "image_id": image_id, "number": number,
                "question": qa.question, "answer": qa.answer, "family": qa.family, "facts": qa.facts,
            }  # fmt: skip
            yield Row(values, f"{image_id}, question {number}")


def easy_vqa_rows(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A loader: the questions of the PyPI package `easy-vqa`, ordered by image. split: `test` (default) or `train`.

    Fields: `image`, `image_id`, `number` (from 1), `question`, `answer`, `family`, `facts`.
    Raises DataError for another split, and if the package is not installed.
    """
    splits: tuple[Split, ...] = get_args(Split)
    split = next((known for known in splits if known == (spec.split or "test")), None)
    if split is None:
        raise DataError(f"unknown split {spec.split!r} of easy-vqa; known: {', '.join(splits)}")
    for image_id, asked in sorted(all_questions(split).items()):
        for number, (question, answer) in enumerate(asked, 1):
            qa = program(question, answer)
            values = {
                "image": image_path(split, image_id), "image_id": image_id, "number": number, "question": question,
                "answer": answer, "family": qa.family, "facts": qa.facts,
            }  # fmt: skip
            yield Row(values, f"easy-vqa {split}, image {image_id}")


LOADERS: Final[Mapping[str, Loader]] = {"generated": held_out_rows, "easy-vqa": easy_vqa_rows}
"""By the names that task files use."""
