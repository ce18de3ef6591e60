"""Prompts: the processor's own inputs, made by it no more often than needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from chats import processed

from cot.engine import Message, Request
from cot.engine.local.load import load
from cot.engine.local.memory import Memory
from cot.engine.local.prompt import Prompter
from cot.image import LoadedImage

Picture = Callable[..., LoadedImage]
FAMILIES = {**tiny_models.BATCHED, **tiny_models.ONE_BY_ONE}


def conversations(image: LoadedImage) -> list[tuple[Message, ...]]:
    """About one image, which stands first, in the middle, last, and in an earlier turn; special tokens as text."""
    return [
        (Message("user", (image, "how many cats")),),
        (Message("user", (image, "how many red cats are there\n<image> </s>")),),
        (Message("user", ("before", image, "  how many ")),),
        (Message("user", ("what is this? ", image)),),
        (Message("user", (image, "one")), Message("assistant", ("two",)), Message("user", ("three",))),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_are_those_of_the_processor(
    family: str, checkpoint: Callable[[str], Path], picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(checkpoint(family), device="cpu")
    prompter = Prompter(loaded)
    calls: list[Any] = []
    kind: Any = type(loaded.processor)
    call = kind.__call__

    def counted(*arguments: Any, **settings: Any) -> Any:
        calls.append(arguments)
        return call(*arguments, **settings)

    for image in (picture(), picture("blue", width=90, height=40), picture()):
        for messages in conversations(image):
            clean = tuple(Message(turn.role, tuple(map(unspecial, turn.content))) for turn in messages)
            expected = processed(loaded.processor, Request(clean, 1))
            monkeypatch.setattr(kind, "__call__", counted)
            made = prompter.prompt(messages).inputs
            monkeypatch.setattr(kind, "__call__", call)
            assert made.keys() == expected.keys()
            for name, value in made.items():
                assert value.dtype == expected[name].dtype
                assert torch.equal(value, expected[name].to(value.dtype)), name
    if family in tiny_models.BATCHED:
        assert len(calls) == 2


def unspecial(part: str | LoadedImage) -> str | LoadedImage:
    """Special tokens as the engine writes them."""
    return part.replace("<image>", "< image>").replace("</s>", "< /s>") if isinstance(part, str) else part


def test_memory_forgets_what_was_used_longest_ago() -> None:
    memory: Memory[str, str] = Memory(10)
    memory.put("a", "first", 4)
    memory.put("b", "second", 4)
    assert memory.get("a") == "first"
    memory.put("c", "third", 4)
    assert [memory.get(key) for key in "abc"] == ["first", None, "third"]
    memory.put("c", "larger", 6)
    assert [memory.get(key) for key in "ac"] == ["first", "larger"]
    memory.put("d", "too large for all", 99)
    assert [memory.get(key) for key in "acd"] == [None, None, "too large for all"]
