"""Puts questions into words: wordings are in `wordings.yaml` beside this file, and parts of them in `phrases.yaml`."""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import yaml

T = TypeVar("T")

Wording = Literal["trained", "phrased", "held_out", "far_fetched"]
"""What training uses, whole or put together from parts, and what it never does: as people say it, and as few would."""


def _read(name: str) -> Any:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    # The loader of libyaml, where it is there, is twenty times as fast.
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


WORDINGS: Final[Mapping[str, Mapping[Wording, Sequence[str]]]] = _read("wordings.yaml")
"""Family -> kind of wording -> wordings; about a tenth are kept out of training."""

_PHRASES: Final = _read("phrases.yaml")
_SLOT: Final = re.compile(r"\{[asp]([2-4]?)\}")
"""A slot for a name: {a}, {s} or {p} for the first, {p2} for the second."""
_PART: Final = re.compile(r"<(\w+)>")
_EITHER: Final = re.compile(r"\(([^()]*\|[^()]*)\)")
"""The innermost of alternatives."""

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
    if wording == "phrased":
        text = phrase(family, rng)
    else:
        pool = WORDINGS[family][wording]
        text = pool[0] if wording == "trained" and rng.random() < 0.15 else rng.choice(pool)
    order = dict.fromkeys(int(number or 1) - 1 for number in _SLOT.findall(text))
    return Worded(vary(text, rng).format(**slots), tuple(order))


def phrase(family: str, rng: random.Random) -> str:
    """A wording put together from parts, with its slots; never one that is kept out of training."""
    while True:
        text = _put_together(family, rng)
        if _bare(text) not in _kept_out():
            return text


def _put_together(family: str, rng: random.Random) -> str:
    parts = _PHRASES["families"][family]
    if "swapped" in parts:
        return _SLOT.sub(_exchange, _put_together(parts["swapped"], rng))
    form = rng.choice(list(parts))
    pattern: str = rng.choice(parts[form])
    if form != "asked":
        pattern = rng.choice(_PHRASES["frames"][form]).replace("{x}", pattern)
    while found := _PART.search(pattern):
        pattern = pattern.replace(found[0], _PHRASES["parts"][found[1]], 1)
    while found := _EITHER.search(pattern):
        pattern = pattern.replace(found[0], rng.choice(found[1].split("|")), 1)
    return pattern[0].upper() + pattern[1:]


def _exchange(slot: re.Match[str]) -> str:
    """{p} for {p2} and the reverse."""
    number = {"": "2", "2": ""}.get(slot[1], slot[1])
    return f"{slot[0][:2]}{number}}}"


@cache
def _kept_out() -> frozenset[str]:
    """What is kept out of training, of any family, and the same with its first two nouns exchanged."""
    kinds: tuple[Wording, ...] = ("held_out", "far_fetched")
    texts = [text for by in WORDINGS.values() for kind in kinds for text in by[kind]]
    return frozenset(_bare(said) for text in texts for said in (text, _SLOT.sub(_exchange, text)))


def _bare(text: str) -> str:
    """A wording without what `vary` may change, and without marks."""
    return " ".join(re.findall(r"[\w{}']+", text.lower()))


def vary(wording: str, rng: random.Random) -> str:
    """Open and end it in another way. Before its slots are filled, so that names keep their capitals."""
    if opening := rng.choice(_OPENINGS):
        wording = opening + wording[0].lower() + wording[1:]
    elif rng.random() < 0.1:
        wording = wording[0].lower() + wording[1:]
    return wording.rstrip("?.") if rng.random() < 0.1 else wording
