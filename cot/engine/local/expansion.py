"""Inputs of a prompt about one image that was seen before, without another run of the processor.

In: a conversation about one image. Out: model inputs, with the image's placeholder expanded and the image preprocessed
as the processor did it before. That is taken over only where it can be done again to the letter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cot.engine.local.memory import Memory

TOKEN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"})
"""Inputs with a value for each token, shape (1, tokens)."""
MAX_BYTES = 128 * 2**20
"""Memory for inputs made of images."""

Turns = list[dict[str, Any]]
"""A conversation as a chat template takes it."""


@dataclass(frozen=True)
class Expansion:
    """What a processor makes of an image.

    tokens: by name of an input, the values of the image's tokens, and the value of any other token, which is not used
    for `input_ids`. pixels: the inputs made of the image itself.
    """

    tokens: dict[str, tuple[list[int], int]]
    pixels: dict[str, Any]

    def expand(self, ids: list[int], place: int) -> dict[str, Any]:
        """Inputs of a prompt. place: of the image's placeholder in `ids`."""
        made: dict[str, Any] = {}
        for name, (image, text) in self.tokens.items():
            values = ids if name == "input_ids" else [text] * len(ids)
            made[name] = torch.tensor([[*values[:place], *image, *values[place + 1 :]]])
        return made | self.pixels


@dataclass(frozen=True)
class _Processed:
    """A conversation about one image, and what the processor made of it."""

    turns: Turns
    inputs: dict[str, Any]


class Expansions:
    """What a processor made of images that came alone, by hash.

    image_token: the placeholder of an image, and of each of its pieces once it is expanded; None if there is none.
    encode: gives the tokens of a conversation with its placeholder as it is.
    """

    def __init__(self, image_token: int | None, encode: Callable[[Turns], list[int]]):
        self._image_token = image_token
        self._encode = encode
        self._known: Memory[str, _Processed | Expansion] = Memory(MAX_BYTES)
        self._possible = image_token is not None

    def note(self, image: str, turns: Turns, inputs: dict[str, Any]) -> None:
        """Take note of what the processor made of a conversation about the image of this hash."""
        if self._possible:
            self._known.put(image, _Processed(turns, inputs), _bytes(inputs))

    def find(self, image: str, turns: Turns) -> dict[str, Any] | None:
        """What the processor would make of a conversation about the image of this hash; None if it has to be asked."""
        known = self._known.get(image)
        if isinstance(known, _Processed):
            # Many images are asked about only once: what was made of the first conversation is looked at now.
            known = self._learn(image, known)
        if known is None:
            return None
        ids = self._encode(turns)
        place = self._place(ids)
        return None if place is None else known.expand(ids, place)

    def _learn(self, image: str, processed: "_Processed") -> Expansion | None:
        ids, inputs = self._encode(processed.turns), processed.inputs
        place = self._place(ids)
        if place is None:
            return None
        end = place + inputs["input_ids"].shape[1] - len(ids) + 1
        values = {name: value[0] for name, value in inputs.items() if name in TOKEN_INPUTS}
        tokens = {name: (value[place:end].tolist(), int(value[-1])) for name, value in values.items()}
        expansion = Expansion(tokens, {name: value for name, value in inputs.items() if name not in TOKEN_INPUTS})
        again = expansion.expand(ids, place)
        # A processor that does more than to expand the placeholder has to be asked every time.
        self._possible = all(torch.equal(again[name][0], value) for name, value in values.items())
        if not self._possible:
            return None
        self._known.put(image, expansion, _bytes(expansion.pixels))
        return expansion

    def _place(self, ids: list[int]) -> int | None:
        """Where the placeholder is, if there is one and only one."""
        if self._image_token is None or ids.count(self._image_token) != 1:
            return None
        return ids.index(self._image_token)


def _bytes(inputs: dict[str, Any]) -> int:
    return sum(getattr(value, "nbytes", 0) for value in inputs.values())
