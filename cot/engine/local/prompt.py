"""From a conversation to model inputs, through the checkpoint's own chat template and processor.

In: messages with text and images. Out: tensors for `generate`, and how many tokens they are.
"""

import hashlib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from transformers import BatchFeature

from cot.engine.base import Message
from cot.engine.local.expansion import TOKEN_INPUTS, Expansions
from cot.engine.local.load import Loaded
from cot.engine.local.remembering import RememberingImages
from cot.engine.thoughts import opens_thoughts
from cot.errors import RequestError, reason
from cot.image import LoadedImage

_TOKENS_AT_END: Final = 16
"""More than the beginning of thoughts is spelled with, even byte by byte."""


@dataclass(frozen=True)
class Prompt:
    """Model inputs of one conversation, on the model's device.

    inputs: keyword arguments of the model; `input_ids` has shape (1, tokens). ids: the same tokens.
    key: what each token stands for: its id, or its place in an image of this hash.
    spans: first and last + 1 token of each image; one for all of them where they cannot be told apart.
    pixel_shapes: what must be equal for the images of two prompts to go into one pass.
    thinking: whether it ends in the midst of the model's thoughts, as templates of some reasoning models do.
    """

    inputs: dict[str, Any]
    ids: tuple[int, ...]
    image_tokens: int
    key: tuple[Hashable, ...]
    spans: tuple[tuple[int, int], ...]
    pixel_shapes: Hashable
    thinking: bool = False

    @property
    def tokens(self) -> int:
        """Length of the prompt."""
        return len(self.ids)

    @property
    def pixels(self) -> dict[str, Any]:
        """The inputs that images are made of."""
        return {name: value for name, value in self.inputs.items() if name not in TOKEN_INPUTS}

    @property
    def divisible(self) -> bool:
        """Whether the inputs of single images can be told apart."""
        return all(len(value) % max(len(self.spans), 1) == 0 for value in self.pixels.values())

    def pixels_after(self, tokens: int) -> dict[str, Any]:
        """Inputs of the images that are not among the first `tokens` tokens. Empty without any."""
        seen = sum(end <= tokens for _, end in self.spans)
        if seen == len(self.spans):
            return {}
        return {name: value[len(value) * seen // len(self.spans) :] for name, value in self.pixels.items()}


class Prompter:
    """Makes prompts for one model."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded
        if not isinstance(loaded.processor.image_processor, RememberingImages):
            loaded.processor.image_processor = RememberingImages(loaded.processor.image_processor)
        self._device, self._dtype = loaded.model.device, loaded.model.dtype
        self._expansions = Expansions(loaded.image_token_id, self._encode)
        self._reserved = _reserved_pattern(loaded)

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """Render, tokenise and preprocess a conversation.

        Raises RequestError if the template refuses the roles or the prompt leaves no room for an answer.
        """
        images = [part for message in messages for part in message.content if not isinstance(part, str)]
        inputs = self._inputs([self._turn(message) for message in messages], images)
        ids = tuple(inputs["input_ids"][0].tolist())
        limit = self._loaded.info.context_tokens
        image_token = self._loaded.image_token_id
        image_tokens = 0 if image_token is None else ids.count(image_token)
        if limit and len(ids) >= limit:
            raise RequestError(
                f"prompt too long for {self._loaded.info.model}: got {len(ids)} tokens, {image_tokens} of them images, "
                f"its context is {limit} including the answer; use less text, or fewer or smaller images"
            )
        moved = BatchFeature(inputs).to(self._device, dtype=self._dtype)
        shapes = tuple(
            (name, tuple(value.shape[1:])) for name, value in sorted(moved.items()) if name not in TOKEN_INPUTS
        )
        key, spans = _content(ids, image_token, images, shapes)
        thinking = opens_thoughts(self._loaded.tokenizer.decode(ids[-_TOKENS_AT_END:]))
        return Prompt(dict(moved), ids, image_tokens, key, spans, shapes, thinking)

    def _inputs(self, turns: list[dict[str, Any]], images: Sequence[LoadedImage]) -> dict[str, Any]:
        """What the processor makes of a conversation, or would make of it."""
        if not images:
            return self._without_images(turns)
        if len(images) != 1:
            return dict(self._process(turns, tokenize=True, return_dict=True, return_tensors="pt"))
        image, bare = images[0].sha256, [_without_pixels(turn) for turn in turns]
        inputs = self._expansions.find(image, bare)
        if inputs is None:
            inputs = dict(self._process(turns, tokenize=True, return_dict=True, return_tensors="pt"))
            self._expansions.note(image, bare, inputs)
        return inputs

    def _without_images(self, turns: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            return dict(self._process(turns, tokenize=True, return_dict=True, return_tensors="pt"))
        except ValueError as error:
            if "image" not in str(error):
                raise
            raise RequestError(
                f"{self._loaded.info.model} takes no question without an image; show it one ({reason(error)})"
            ) from error

    def _process(self, turns: list[dict[str, Any]], **settings: Any) -> Any:
        from jinja2 import TemplateError

        try:
            return self._loaded.processor.apply_chat_template(turns, add_generation_prompt=True, **settings)
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise RequestError(
                f"the chat template of {self._loaded.info.model} refuses these messages ({roles}): {error}"
            ) from error

    def _encode(self, turns: list[dict[str, Any]]) -> list[int]:
        """Tokens of a conversation as a processor makes them, before it expands its images."""
        text: str = self._process(turns, tokenize=False)
        bos = self._loaded.tokenizer.bos_token
        begun = bos is not None and text.startswith(bos)
        ids: list[int] = self._loaded.tokenizer.encode(text, add_special_tokens=not begun)
        return ids

    def _turn(self, message: Message) -> dict[str, Any]:
        content = [
            {"type": "text", "text": self._reserved.sub(_break_up, part)}
            if isinstance(part, str)
            else {"type": "image", "image": part.pixels}
            for part in message.content
        ]
        return {"role": message.role, "content": content}


def _without_pixels(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn whose images are placeholders only."""
    content = [part if part["type"] == "text" else {"type": part["type"]} for part in turn["content"]]
    return turn | {"content": content}


def _content(
    ids: tuple[int, ...], image_token: int | None, images: Sequence[LoadedImage], shapes: Hashable
) -> tuple[tuple[Hashable, ...], tuple[tuple[int, int], ...]]:
    """Key and spans of a prompt, see `Prompt`. Images of one size take equally many tokens.

    shapes: of the inputs made of them. Some families cut an image that comes alone into more tiles than one in
    company: it has the same hash, but not the same tokens.
    """
    places = [place for place, token in enumerate(ids) if token == image_token]
    if not places or not images:
        return ids, ()
    alike = len({image.pixels.size for image in images}) == 1 and len(places) % len(images) == 0
    names = [image.sha256 for image in images]
    hashes = names if alike else [hashlib.sha256("\n".join(names).encode()).hexdigest()]
    each = len(places) // len(hashes)
    cut = f"{each} {shapes}"
    key: list[Hashable] = list(ids)
    for number, place in enumerate(places):
        key[place] = (hashes[number // each], number % each, cut)
    spans = [(places[index * each], places[(index + 1) * each - 1] + 1) for index in range(len(hashes))]
    return tuple(key), tuple(spans)


def _reserved_pattern(loaded: Loaded) -> re.Pattern[str]:
    """Texts that the tokeniser or the processor would take for control tokens or image placeholders."""
    added = loaded.tokenizer.added_tokens_decoder.values()
    texts = {token.content for token in added if token.special}
    for modality in ("image", "video", "audio"):
        placeholder = getattr(loaded.processor, f"{modality}_token", None)
        texts.add(placeholder if isinstance(placeholder, str) else "")
    long_first = sorted((text for text in texts if len(text) > 1 and not text.isspace()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, long_first)) or r"(?!)")


def _break_up(match: re.Match[str]) -> str:
    """A blank inside: the text stays readable, but no message can pose as a turn, an end or an image."""
    text = match.group()
    return f"{text[0]} {text[1:]}"
