"""Keys and values of the rows that run together: one slot a row, in one buffer.

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
"""The buffer grows by this many tokens at a time, so that it seldom does."""


class Slots:
    """The buffer, and the window of rows that the next forward pass reads and writes.

    The buffer has shape (layers, 2, rows, length, kv_heads, head_dim). Its last column takes what padding
    writes; nobody reads it.
    """

    def __init__(self, layers: int):
        self.cache = Cache(layers=[_SlotLayer(self, index) for index in range(layers)])
        self._layers = layers
        self._buffer: Tensor | None = None
        self._rows = self._length = 0
        self._window = slice(0)
        self._width = 0
        self._places: tuple[Any, Any] = (slice(0), slice(0))

    @property
    def bytes(self) -> int:
        """Memory of the buffer."""
        return 0 if self._buffer is None else self._buffer.nbytes

    def capacity(self, rows: int, length: int) -> int:
        """Tokens that the buffer holds once there is room for `rows` rows of `length` tokens."""
        return max(self._rows, _power_of_two(rows)) * max(self._length, _in_steps(length))

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens."""
        self._rows = max(self._rows, _power_of_two(rows))
        self._length = max(self._length, _in_steps(length))

    def release(self) -> None:
        """Give the buffer's memory back; only where no row is in use."""
        self._buffer = None
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
        held = self._room(keys.transpose(1, 2))[layer]
        held[0][self._places] = keys.transpose(1, 2)
        held[1][self._places] = values.transpose(1, 2)
        seen = held[:, self._window, : self._width].transpose(2, 3)
        return seen[0], seen[1]

    def copy(self, row: int, start: int, end: int) -> Segment:
        """Keys and values of a row's tokens from `start` to `end`; something must have been written before."""
        return self._filled()[:, :, row, start:end].clone()

    def restore(self, row: int, start: int, segment: Segment) -> None:
        """Put keys and values into a row from `start` on; `reserve` the room before."""
        self._room(segment[0])[:, :, row, start : start + segment.shape[2]] = segment

    def move(self, source: int, target: int, length: int) -> None:
        """Let a row take over the slot of another."""
        buffer = self._filled()
        buffer[:, :, target, :length] = buffer[:, :, source, :length]

    def clear(self, row: int) -> None:
        """Forget what a row's slot holds."""
        self._filled()[:, :, row] = 0

    def _filled(self) -> Tensor:
        if self._buffer is None:
            raise RuntimeError("got no buffer, expected one; write or restore before")
        return self._buffer

    def _room(self, like: Tensor) -> Tensor:
        """The buffer, made or grown as needed. Zeros: what is hidden is still multiplied, by 0.

        like: of its type, device, heads and their size, shape (..., kv_heads, head_dim).
        Raises RuntimeError if there is no memory for more; then the old one stays.
        """
        old = self._buffer
        if old is not None and old.shape[2] >= self._rows and old.shape[3] >= self._length:
            return old
        wanted, (self._rows, self._length) = (self._rows, self._length), (old.shape[2:4] if old is not None else (0, 0))
        made = like.new_zeros(self._layers, 2, *wanted, *like.shape[-2:])
        self._rows, self._length = wanted
        if old is not None:
            made[:, :, : old.shape[2], : old.shape[3]] = old
        self._buffer = made
        return made


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
    """Length of the buffer for `length` tokens and the column of padding."""
    return -(-(length + 1) // LENGTH_STEP) * LENGTH_STEP
