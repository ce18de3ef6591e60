"""Puts questions into words: the wordings are in `wordings.yaml` beside this file."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

WORDINGS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = yaml.safe_load(
    (Path(__file__).parent / "wordings.yaml").read_text(encoding="utf-8")
)
"""Family -> `trained` and `held_out` -> wordings; about a tenth are held out of training."""

_OPENINGS: Final = (
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "In this image, ",
    "In the picture, ",
    "Please tell me: ",
    "Look closely: ",
)


def canonical(family: str, **slots: object) -> str:
    """The wording that plans use for a sub-question of this family."""
    return WORDINGS[family]["trained"][0].format(**slots)


def word(family: str, rng: random.Random, *, held_out: bool, **slots: object) -> str:
    """A random wording: of the held-out tenth, or of the others, the canonical one more often."""
    pool = WORDINGS[family]["held_out" if held_out else "trained"]
    text = pool[0] if not held_out and rng.random() < 0.15 else rng.choice(pool)
    return _vary(text, rng).format(**slots)


def _vary(wording: str, rng: random.Random) -> str:
    """Open and end it in another way. Before its slots are filled, so that names keep their capitals."""
    if opening := rng.choice(_OPENINGS):
        wording = opening + wording[0].lower() + wording[1:]
    elif rng.random() < 0.1:
        wording = wording[0].lower() + wording[1:]
    return wording.rstrip("?.") if rng.random() < 0.1 else wording
