"""The official images and questions of easy-VQA, from the PyPI package `easy-vqa` (Victor Zhou, MIT).

In: the name of a split. Out: samples with programs. Training reads the train split only.
"""

import json
import random
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from cot.errors import DataError
from cot.train.canvas import PatchMap
from cot.train.labels import CLASSES, FACETS
from cot.train.sample import GRID, IMAGE_PIXELS, QA, Dense, Fact, Sample
from cot.train.wording import vary

Split = Literal["train", "test"]
_FORMS = ("circle", "rectangle", "triangle")
_COLOURS = ("black", "gray", "red", "green", "blue", "yellow", "teal", "brown")


@cache
def data_folder() -> Path:
    """Folder of the package's data, found without importing it. Raises DataError if it is not installed."""
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise DataError(
            "the package easy-vqa is missing; in a checkout of cot run:"
            " pip install --constraint requirements.lock -e '.[train]'"
        )
    return Path(spec.origin).parent / "data"


@cache
def all_questions(split: Split) -> dict[int, list[tuple[str, str]]]:
    """Image number -> its questions and answers."""
    grouped: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for question, answer, image in json.loads((data_folder() / split / "questions.json").read_text()):
        grouped[image].append((question, answer))
    return dict(grouped)


def image_path(split: Split, number: int) -> Path:
    """Where an image lies: PNG, 64 x 64 pixels."""
    return data_folder() / split / "images" / f"{number}.png"


def program(question: str, answer: str) -> QA:
    """A question of easy-VQA with its program; negated questions are asked without the negation."""
    asked = re.sub(r"^does the image not contain", "does the image contain", question)
    asked = asked.replace("is there not", "is there").replace("is no ", "is a ")
    negated = asked != question
    if answer in ("yes", "no"):
        true = (answer == "yes") != negated
        fact = Fact("yes_no", asked, "yes" if true else "no")
        return QA("existence", question, answer, (fact,), "not #1" if negated else "#1")
    return QA("attribute", question, answer, (Fact("phrase", asked, answer),))


def make_easyvqa(rng: random.Random, *, questions: int, split: Split = "train") -> Sample:
    """A random image of a split, with some of its questions."""
    number = rng.choice(list(all_questions(split)))
    known = all_questions(split)[number]
    chosen = rng.sample(known, min(questions, len(known)))
    image = Image.open(image_path(split, number)).convert("RGB")
    label = _label({answer for _, answer in known})
    image = image.resize((IMAGE_PIXELS, IMAGE_PIXELS), Image.Resampling.BICUBIC)
    qas = [program(question, answer) for question, answer in chosen]
    asked = [replace(qa, question=vary(qa.question.capitalize(), rng)) if rng.random() < 0.5 else qa for qa in qas]
    return Sample("easy-vqa", image, _dense(image, label), asked)


def _label(answers: set[str]) -> int | None:
    forms, colours = [f for f in _FORMS if f in answers], [c for c in _COLOURS if c in answers]
    if not forms or not colours:
        return None
    return CLASSES[f"shape large {colours[0]} {forms[0]}"]


def _dense(image: Image.Image, label: int | None) -> Dense:
    """What the patches show of the only shape, found as what differs from the corner; unknown if it has no name."""
    pixels = np.asarray(image).astype(np.int64)
    ground = np.abs(pixels - pixels[2, 2]).sum(axis=2) > 60
    if label is None or not ground.any():
        unknown = np.full((GRID, GRID, 1), -100)
        nothing = np.zeros((GRID, GRID, 5), np.float32)
        return Dense(unknown[..., 0], unknown[..., 0], nothing, unknown.repeat(len(FACETS), axis=2))
    rows, columns = np.flatnonzero(ground.any(axis=1)), np.flatnonzero(ground.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    patches = PatchMap()
    alone = dict.fromkeys(("same", "form", "colour", "size_form", "size_colour", "exact", "total"), 1)
    patches.paint(label, ground[top : rows[-1] + 1, left : columns[-1] + 1], left, top, alone)
    return patches.dense()
