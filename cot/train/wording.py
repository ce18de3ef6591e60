"""Puts questions into words: the wordings are in `wordings.yaml` beside this file."""

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

import yaml

T = TypeVar("T")

Wording = Literal["trained", "held_out", "far_fetched"]
"""What training uses, and what it never does: as people say it, and as few would."""
WORDINGS: Final[Mapping[str, Mapping[Wording, Sequence[str]]]] = yaml.load(
    (Path(__file__).parent / "wordings.yaml").read_text(encoding="utf-8"),
    getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # twenty times as fast where libyaml is there
)
"""Family -> kind of wording -> wordings; about a tenth are kept out of training."""

_SLOT: Final = re.compile(r"\{[asp]([23]?)\}")
"""A slot for a name: {a}, {s} or {p} for the first, {p2} for the second."""

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


class Worded(NamedTuple):
    """A question, and in which order it mentions the names that were put into it, numbered from 0."""

    text: str
    order: tuple[int, ...]

    def mentioned(self, things: Sequence[T]) -> list[T]:
        """What the names stand for, in that order."""
        return [things[index] for index in self.order]


def word(family: str, rng: random.Random, *, wording: Wording, **slots: object) -> str:
    """A random wording of this kind; of the trained ones the canonical one more often."""
    return worded(family, rng, wording=wording, **slots).text


def worded(family: str, rng: random.Random, *, wording: Wording, **slots: object) -> Worded:
    """The same, with the order of its names."""
    pool = WORDINGS[family][wording]
    text = pool[0] if wording == "trained" and rng.random() < 0.15 else rng.choice(pool)
    order = dict.fromkeys(int(number or 1) - 1 for number in _SLOT.findall(text))
    return Worded(_vary(text, rng).format(**slots), tuple(order))


def _vary(wording: str, rng: random.Random) -> str:
    """Open and end it in another way. Before its slots are filled, so that names keep their capitals."""
    if opening := rng.choice(_OPENINGS):
        wording = opening + wording[0].lower() + wording[1:]
    elif rng.random() < 0.1:
        wording = wording[0].lower() + wording[1:]
    return wording.rstrip("?.") if rng.random() < 0.1 else wording
