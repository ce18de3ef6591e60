"""Keys and values of the rows that run together: one slot a row, in buffers of each layer's own.

In: what the attention layers of one forward pass computed. Out: everything that they may look at.
Slots know tokens by their place only; which text they hold is the batch's business.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

Segment = Tensor
"""Keys and values of a stretch of tokens, shape (layers, 2, tokens, kv_heads, head_dim)."""

LENGTH_STEP = 64
"""Buffers grow by this many tokens at a time, so that they seldom do."""


class Slots:
    """The buffers, and the window of rows that the next forward pass reads and writes.

    Each layer has one for keys and one for values, of shape (rows, length, kv_heads, head_dim). They are made and
    grown one after another, so that no more than one of them is there twice. Their last column takes what padding
    writes; nobody reads it.

    doubling: let the length be a power of two, and that column, so that buffers take few shapes.
    """

    def __init__(self, layers: int, *, doubling: bool = False):
        self.layers = layers
        self._doubling = doubling
        self.cache = Cache(layers=[_SlotLayer(self, index) for index in range(layers)])
        self._buffers: list[list[Tensor]] = [[] for _ in range(layers)]
        self._rows = self._length = 0
        self._window = slice(0)
        self._width = 0
        self._places: tuple[Any, Any] = (slice(0), slice(0))

    @property
    def bytes(self) -> int:
        """Memory of all buffers."""
        return sum(buffer.nbytes for layer in self._buffers for buffer in layer)

    def capacity(self, rows: int, length: int) -> int:
        """Tokens that the buffers hold once there is room for `rows` rows of `length` tokens."""
        return max(self._rows, power_of_two(rows)) * max(self._length, self._in_steps(length))

    def twice(self, rows: int, length: int) -> int:
        """Bytes that are held twice while room is made for `rows` rows of `length` tokens: one buffer's, or none."""
        size = max(self._rows, power_of_two(rows)), max(self._length, self._in_steps(length))
        buffers = [buffer for layer in self._buffers for buffer in layer]
        return max((one.nbytes for one in buffers if one.shape[0] < size[0] or one.shape[1] < size[1]), default=0)

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens."""
        self._rows = max(self._rows, power_of_two(rows))
        self._length = max(self._length, self._in_steps(length))

    def release(self) -> None:
        """Give the buffers' memory back; only where no row is in use."""
        self._buffers = [[] for _ in self._buffers]
        self._rows = self._length = 0

    def open(self, first: int, starts: Sequence[int], counts: Sequence[int], device: torch.device) -> Tensor:
        """Let the next pass write `counts` tokens a row, from place `starts` on, to the slots from `first` on.

        Tokens are padded on the left. Returns the place of each token in its slot, shape (rows, tokens),
        0 for padding.
        """
        tokens = max(counts)
        self.reserve(first + len(starts), max(start + count for start, count in zip(starts, counts, strict=True)))
        offsets = torch.tensor([start + count - tokens for start, count in zip(starts, counts, strict=True)])
        places = offsets[:, None] + torch.arange(tokens)
        self._window = slice(first, first + len(starts))
        self._width = int(places.max()) + 1
        if len({*starts}) == len({*counts}) == 1:
            self._places = (self._window, slice(starts[0], self._width))
            return places.to(device)
        padding = torch.arange(tokens) < tokens - torch.tensor(counts)[:, None]
        rows = torch.arange(first, first + len(starts))[:, None]
        self._places = (rows.to(device), places.masked_fill(padding, self._length - 1).to(device))
        return places.masked_fill(padding, 0).to(device)

    def mask(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        """Added to attention scores, shape (rows, 1, tokens, width): each token sees its slot up to its own place."""
        seen = torch.arange(self._width, device=places.device) <= places[:, :, None]
        hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=places.device)
        return torch.where(seen, torch.zeros_like(hidden), hidden)[:, None]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take new keys and values, shape (rows, kv_heads, tokens, head_dim); returns all that the rows hold."""
        new = (keys.transpose(1, 2), values.transpose(1, 2))
        held = self._room(layer, new)
        for buffer, written in zip(held, new, strict=True):
            buffer[self._places] = written
        seen_keys, seen_values = (buffer[self._window, : self._width].transpose(1, 2) for buffer in held)
        return seen_keys, seen_values

    @property
    def usable(self) -> int:
        """Tokens that a slot can hold, and the place of padding behind them."""
        return self._length - 1

    def grow(self) -> None:
        """Make the room that was reserved, in all layers; something must have been written before."""
        for layer, held in enumerate(self._filled()):
            self._room(layer, held)

    def first(self, rows: int) -> list[list[Tensor]]:
        """The first slots: keys and values of each layer, as they are in memory."""
        return [[buffer[:rows] for buffer in layer] for layer in self._filled()]

    def copy(self, row: int, start: int, end: int) -> Segment:
        """Keys and values of a row's tokens from `start` to `end`; something must have been written before."""
        held = [buffer[row, start:end] for layer in self._filled() for buffer in layer]
        return torch.stack(held).view(len(self._buffers), 2, *held[0].shape)

    def restore(self, row: int, start: int, segment: Segment) -> None:
        """Put keys and values into a row from `start` on; `reserve` the room before."""
        for layer, both in enumerate(segment):
            for buffer, known in zip(self._room(layer, both), both, strict=True):
                buffer[row, start : start + len(known)] = known

    def move(self, source: int, target: int, length: int) -> None:
        """Let a row take over the slot of another."""
        for layer in self._filled():
            for buffer in layer:
                buffer[target, :length] = buffer[source, :length]

    def clear(self, row: int) -> None:
        """Forget what a row's slot holds."""
        for layer in self._filled():
            for buffer in layer:
                buffer[row] = 0

    def _in_steps(self, length: int) -> int:
        """Length of a buffer for `length` tokens and the column of padding."""
        steps = -(-length // LENGTH_STEP)
        return (power_of_two(steps) if self._doubling else steps) * LENGTH_STEP + 1

    def _filled(self) -> list[list[Tensor]]:
        if not all(self._buffers):
            raise RuntimeError("got no buffer, expected one a layer; write or restore before")
        return self._buffers

    def _room(self, layer: int, like: Sequence[Tensor]) -> list[Tensor]:
        """The buffers of a layer, made or grown as needed. Zeros: what is hidden is still multiplied, by 0.

        like: keys and values, of their type, device, heads and their size, shape (..., kv_heads, head_dim).
        Raises RuntimeError if there is no memory for more; then there is as much room as before.
        """
        held = self._buffers[layer]
        for index, one in enumerate(like):
            old = held[index] if index < len(held) else None
            if old is not None and old.shape[0] >= self._rows and old.shape[1] >= self._length:
                continue
            try:
                made = one.new_zeros(self._rows, self._length, *one.shape[-2:])
            except RuntimeError:
                self._give_up_growing()
                raise
            if old is None:
                held.append(made)
            else:
                # Without the column of padding, which becomes one that is read. A layer that has more room than
                # others, since one of them could not grow, gives up what none of them can use.
                kept = old[: self._rows, : min(old.shape[1], self._length) - 1]
                made[: kept.shape[0], : kept.shape[1]] = kept
                # Before the next one is made.
                held[index] = old = kept = made
        return held

    def _give_up_growing(self) -> None:
        """Want no more room than there is in every layer."""
        sizes = [tuple(buffer.shape[:2]) for layer in self._buffers for buffer in layer]
        if len(sizes) < 2 * len(self._buffers):
            self.release()
        else:
            self._rows, self._length = (min(size) for size in zip(*sizes, strict=True))


class _SlotLayer(CacheLayerMixin):
    """What one attention layer sees of the slots."""

    is_sliding = False
    is_compileable = False

    def __init__(self, slots: Slots, index: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self._slots = slots
        self._index = index
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: slots make their buffers themselves."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Take the new keys and values of the open window; returns all of its rows."""
        return self._slots.write(self._index, key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what is seen."""
        return self._slots._width, 0

    def get_seq_length(self) -> int:
        """Longest length before this pass; not 0 once anything is there."""
        return self._slots._width

    def get_max_length(self) -> int:
        """No limit but memory."""
        return -1


def power_of_two(number: int) -> int:
    """The least one that is not below a number."""
    return 1 << max(number - 1, 0).bit_length()
