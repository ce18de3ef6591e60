"""Keys and values of the rows that run together: one slot a row, in buffers of one shape.

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
"""Keys and values of a stretch of tokens, shape (layers, 2, kv_heads, tokens, head_dim)."""

LENGTH_STEP = 64
"""Buffers grow by this many tokens at a time, so that they seldom do."""


class Slots:
    """The buffers, and the window of rows that the next forward pass reads and writes.

    Buffers have shape (rows, kv_heads, length, head_dim). Their last column takes what padding
    writes; nobody reads it.
    """

    def __init__(self, layers: int):
        self.cache = Cache(layers=[_SlotLayer(self, index) for index in range(layers)])
        self._buffers: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._rows = self._length = 0
        self._first = self._width = 0
        self._columns = torch.zeros(0, 0, dtype=torch.long)

    @property
    def bytes(self) -> int:
        """Memory of the buffers."""
        return sum(part.nbytes for pair in self._buffers if pair for part in pair)

    def capacity(self, rows: int, length: int) -> int:
        """Tokens that the buffers hold once there is room for `rows` rows of `length` tokens."""
        return max(self._rows, _power_of_two(rows)) * max(self._length, _in_steps(length))

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens."""
        self._rows = max(self._rows, _power_of_two(rows))
        self._length = max(self._length, _in_steps(length))

    def release(self) -> None:
        """Give the buffers' memory back; only where no row is in use."""
        self._buffers = [None] * len(self._buffers)
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
        padding = torch.arange(tokens) < tokens - torch.tensor(counts)[:, None]
        self._first = first
        self._width = int(places.max()) + 1
        self._columns = places.masked_fill(padding, self._length - 1).to(device)
        return places.masked_fill(padding, 0).to(device)

    def mask(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        """Added to attention scores, shape (rows, 1, tokens, width): each token sees its slot up to its own place."""
        seen = torch.arange(self._width, device=places.device) <= places[:, :, None]
        hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=places.device)
        return torch.where(seen, torch.zeros_like(hidden), hidden)[:, None]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take new keys and values, shape (rows, kv_heads, tokens, head_dim); returns all that the rows hold."""
        rows = slice(self._first, self._first + keys.shape[0])
        found = []
        for buffer, new in zip(self._buffer(layer, keys, values), (keys, values), strict=True):
            window = buffer[rows]
            if self._columns.shape[1] == 1:
                window[torch.arange(len(window), device=new.device), :, self._columns[:, 0]] = new[:, :, 0]
            else:
                window[torch.arange(len(window), device=new.device)[:, None], :, self._columns] = new.transpose(1, 2)
            found.append(window[:, :, : self._width])
        return found[0], found[1]

    def copy(self, row: int, start: int, end: int) -> Segment:
        """Keys and values of a row's tokens from `start` to `end`."""
        return torch.stack([torch.stack([part[row, :, start:end] for part in pair]) for pair in self._filled()])

    def restore(self, row: int, start: int, segment: Segment) -> None:
        """Put keys and values into a row from `start` on; `reserve` the room before."""
        end = start + segment.shape[3]
        for layer, (keys, values) in enumerate(segment.unbind()):
            for buffer, part in zip(self._buffer(layer, keys[None], values[None]), (keys, values), strict=True):
                buffer[row, :, start:end] = part

    def move(self, source: int, target: int, length: int) -> None:
        """Let a row take over the slot of another."""
        for pair in self._filled():
            for buffer in pair:
                buffer[target, :, :length] = buffer[source, :, :length]

    def _filled(self) -> list[tuple[Tensor, Tensor]]:
        return [pair for pair in self._buffers if pair]

    def _buffer(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Buffers of a layer, made or grown as needed. Zeros: what is hidden is still multiplied, by 0."""
        old = self._buffers[layer]
        if old and old[0].shape[0] >= self._rows and old[0].shape[2] >= self._length:
            return old
        made = []
        for index, like in enumerate((keys, values)):
            rows = max(self._rows, old[index].shape[0]) if old else self._rows
            length = max(self._length, old[index].shape[2]) if old else self._length
            buffer = like.new_zeros(rows, like.shape[1], length, like.shape[3])
            if old:
                buffer[: old[index].shape[0], :, : old[index].shape[2]] = old[index]
            made.append(buffer)
        pair = (made[0], made[1])
        self._buffers[layer] = pair
        return pair


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


def _power_of_two(rows: int) -> int:
    return 1 << max(rows - 1, 0).bit_length()


def _in_steps(length: int) -> int:
    """Length of a buffer for `length` tokens and the column of padding."""
    return -(-(length + 1) // LENGTH_STEP) * LENGTH_STEP
