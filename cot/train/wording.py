"""Puts questions into words: the wordings are in `wordings.yaml` beside this file."""

import random
from pathlib import Path
from typing import Final

import yaml

WORDINGS: Final[dict[str, list[str]]] = yaml.safe_load(
    (Path(__file__).parent / "wordings.yaml").read_text(encoding="utf-8")
)
"""Family -> wordings."""

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


def is_held_out(index: int) -> bool:
    """Whether the wording with this index is kept out of training."""
    return index % 10 == 9


def canonical(family: str, **slots: object) -> str:
    """The wording that plans use for a sub-question of this family."""
    return WORDINGS[family][0].format(**slots)


def word(family: str, rng: random.Random, *, held_out: bool, **slots: object) -> str:
    """A random wording: of the held-out tenth, or of the others, the canonical one more often."""
    pool = [text for index, text in enumerate(WORDINGS[family]) if is_held_out(index) == held_out]
    text = pool[0] if not held_out and rng.random() < 0.15 else rng.choice(pool)
    return _vary(text.format(**slots), rng)


def _vary(text: str, rng: random.Random) -> str:
    opening = rng.choice(_OPENINGS)
    if opening:
        text = opening + text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    return text
