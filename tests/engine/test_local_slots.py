"""Buffers of keys and values: what rows hold survives growing, and growing takes little more than the result."""

import asyncio
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cot.engine import Regex, Request
from cot.engine.local import LocalEngine
from cot.engine.local.slots import Slots

Ask = Callable[..., Request]

LAYERS, HEADS, DIM = 4, 2, 8


class Made:
    """Bytes of the buffers that are alive, and of what is there besides, whenever another buffer has been made."""

    def __init__(self, make: Callable[..., torch.Tensor]):
        self._make = make
        self._alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.besides: Callable[[], int] = lambda: 0
        self.bytes: list[int] = []

    def buffer(self, like: torch.Tensor, *shape: int) -> torch.Tensor:
        made = self._make(like, *shape)
        if len(shape) == 4:
            self._alive.add(made)
            self.bytes.append(sum(one.nbytes for one in self._alive) + self.besides())
        return made


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    watched = Made(torch.Tensor.new_zeros)
    monkeypatch.setattr(torch.Tensor, "new_zeros", lambda like, *shape: watched.buffer(like, *shape))
    return watched


def write(slots: Slots, starts: list[int], tokens: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Let every layer take the same new tokens, shape (rows, heads, tokens, dim); returns what each one sees."""
    slots.open(0, starts, [tokens.shape[2]] * len(starts), tokens.device)
    return [slots.write(layer, tokens + layer, -tokens - layer) for layer in range(LAYERS)]


def test_growing_keeps_what_rows_hold_and_holds_one_buffer_twice(made: Made) -> None:
    slots = Slots(LAYERS)
    first, more = torch.randn(2, HEADS, 50, DIM), torch.randn(2, HEADS, 30, DIM)
    write(slots, [0, 0], first)
    before = slots.bytes
    assert slots.twice(2, 60) == 0
    assert slots.twice(4, 80) == before // (2 * LAYERS)
    for layer, (keys, values) in enumerate(write(slots, [50, 50], more)):
        expected = torch.cat([first, more], dim=2) + layer
        assert torch.equal(keys, expected)
        assert torch.equal(values, -expected)
    assert max(made.bytes) <= slots.bytes + before // (2 * LAYERS)
    assert made.bytes[-1] == slots.bytes + before // (2 * LAYERS), "nothing but the last of the old ones is left"


def test_a_buffer_that_cannot_grow_leaves_every_layer_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(LAYERS)
    first = torch.randn(1, HEADS, 50, DIM)
    write(slots, [0], first)
    make, grown = torch.Tensor.new_zeros, []

    def limited(like: torch.Tensor, *shape: int) -> torch.Tensor:
        grown.append(shape)
        if len(grown) == 4:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return make(like, *shape)

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "new_zeros", limited)
        with pytest.raises(torch.OutOfMemoryError):
            write(slots, [50], torch.randn(1, HEADS, 30, DIM))
    assert slots.capacity(1, 1) == 65
    next_token = torch.randn(1, HEADS, 1, DIM)
    for layer, (keys, _) in enumerate(write(slots, [50], next_token)):
        assert torch.equal(keys, torch.cat([first, next_token], dim=2) + layer)


@pytest.mark.parametrize(("wanted", "then"), [((4, 50), (1, 80)), ((1, 100), (4, 50))])
def test_layers_of_different_size_grow_on_when_there_is_memory_again(
    wanted: tuple[int, int], then: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(LAYERS)
    first = torch.randn(1, HEADS, 50, DIM)
    write(slots, [0], first)
    make, grown = torch.Tensor.new_zeros, []

    def limited(like: torch.Tensor, *shape: int) -> torch.Tensor:
        grown.append(shape)
        if len(grown) == 4:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return make(like, *shape)

    slots.reserve(*wanted)
    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "new_zeros", limited)
        with pytest.raises(torch.OutOfMemoryError):
            slots.grow()
    slots.reserve(*then)
    next_token = torch.randn(1, HEADS, 1, DIM)
    for layer, (keys, values) in enumerate(write(slots, [50], next_token)):
        assert torch.equal(keys, torch.cat([first, next_token], dim=2) + layer)
        assert torch.equal(values, -torch.cat([first, next_token], dim=2) - layer)
    assert slots.capacity(1, 1) == max(1, then[0]) * (64 * -(-then[1] // 64) + 1)


def test_a_prompt_is_copied_and_restored_in_all_layers() -> None:
    slots = Slots(LAYERS)
    seen = write(slots, [0, 0], torch.randn(2, HEADS, 20, DIM))
    segment = slots.copy(1, 5, 20)
    assert segment.shape == (LAYERS, 2, 15, HEADS, DIM)
    other = Slots(LAYERS)
    other.reserve(1, 16)
    other.restore(0, 0, segment)
    for (keys, values), again in zip(seen, write(other, [15], torch.zeros(1, HEADS, 1, DIM)), strict=True):
        assert torch.equal(again[0][0, :, :15], keys[1, :, 5:])
        assert torch.equal(again[1][0, :, :15], values[1, :, 5:])


async def test_keys_and_values_stay_within_their_memory_while_the_buffers_grow(
    llava_folder: Path, ask: Ask, made: Made
) -> None:
    budget = 1_500_000
    engine = LocalEngine.load(llava_folder, device="cpu", kv_bytes=budget)
    made.besides = lambda: engine._runner._tree.bytes
    for index in range(40):
        await engine.complete(ask(f"{index} " + "x " * 60, max_tokens=1))
    assert engine._runner._tree.bytes > 0.7 * budget, "prompts have taken what was free"
    grown = len(made.bytes)
    stream = engine.stream(ask("one", max_tokens=200, constraint=Regex("[a-z ]{2000}")))
    await anext(stream)
    for together in (1, 3, 7, 15):
        await asyncio.gather(
            *(engine.complete(ask(f"{index} of {together}", max_tokens=3)) for index in range(together))
        )
    assert len(made.bytes) >= grown + 4 * 4, "two buffers in each of two layers, four times"
    assert 0.9 * budget < max(made.bytes) <= budget
    await stream.aclose()  # type: ignore[attr-defined]
    await engine.close()
