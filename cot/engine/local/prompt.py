"""From a conversation to model inputs, through the checkpoint's own chat template and processor.

In: messages with text and images. Out: tensors for `generate`, and how many tokens they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cot.engine.base import Message
from cot.engine.local.load import Loaded
from cot.errors import EngineError


@dataclass(frozen=True)
class Prompt:
    """Model inputs of one conversation, on the model's device.

    inputs: keyword arguments of the model; `input_ids` has shape (1, tokens).
    """

    inputs: dict[str, Any]
    tokens: int
    image_tokens: int


class Prompter:
    """Makes prompts for one model."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded
        self._reserved = _reserved_pattern(loaded)

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """Render, tokenise and preprocess a conversation.

        Raises EngineError if the template refuses the roles or the prompt leaves no room for an answer.
        """
        inputs = self._process([self._turn(message) for message in messages])
        ids = inputs["input_ids"]
        tokens = int(ids.shape[1])
        limit = self._loaded.info.context_tokens
        image_token = self._loaded.image_token_id
        image_tokens = 0 if image_token is None else int((ids == image_token).sum())
        if limit and tokens >= limit:
            raise EngineError(
                f"prompt too long for {self._loaded.info.model}: got {tokens} tokens, {image_tokens} of them images, "
                f"its context is {limit} including the answer; use less text, or fewer or smaller images"
            )
        moved = inputs.to(self._loaded.model.device, dtype=self._loaded.model.dtype)
        return Prompt(dict(moved), tokens, image_tokens)

    def _process(self, turns: list[dict[str, Any]]) -> Any:
        from jinja2 import TemplateError

        try:
            return self._loaded.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise EngineError(
                f"the chat template of {self._loaded.info.model} refuses these messages ({roles}): {error}"
            ) from error

    def _turn(self, message: Message) -> dict[str, Any]:
        content = [
            {"type": "text", "text": self._reserved.sub(_break_up, part)}
            if isinstance(part, str)
            else {"type": "image", "image": part.pixels}
            for part in message.content
        ]
        return {"role": message.role, "content": content}


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
