"""A pass through the model: the pending tokens of rows go in, the logits of their last ones come out.

Passes of one token a row may be compiled (`compiled`), all others are not.
It reads and writes the rows' slots, and knows nothing of requests.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from cot.engine.local.compiled import CompiledDecode
from cot.engine.local.load import Loaded
from cot.engine.local.running import Running
from cot.engine.local.slots import Slots


class Forward:
    """Passes of one model over rows in slots. compiled: for those that it can make; None to compile nothing."""

    def __init__(self, loaded: Loaded, slots: Slots, compiled: CompiledDecode | None = None):
        self._loaded, self._slots, self._compiled = loaded, slots, compiled
        self._device, self._dtype = loaded.model.device, loaded.model.dtype

    def logits(self, first: int, rows: Sequence[Running], pixels: Mapping[str, Tensor]) -> Tensor:
        """Feed the pending tokens of rows, from slot `first` on. Returns logits of their last ones, (rows, vocab)."""
        logits = None
        if self._compiled and first == 0 and not pixels and all(len(one.pending) == 1 for one in rows):
            logits = self._compiled.logits(
                [one.pending[0] for one in rows], [one.length for one in rows], self._axes(rows, 1)
            )
        if logits is None:
            logits = self._eager(first, rows, pixels)
        for one in rows:
            one.length += len(one.pending)
            one.pending = []
        return logits

    def _eager(self, first: int, rows: Sequence[Running], pixels: Mapping[str, Tensor]) -> Tensor:
        counts = [len(one.pending) for one in rows]
        tokens = max(counts)
        places = self._slots.open(first, [one.length for one in rows], counts, self._device)
        ids = torch.tensor([[self._loaded.pad_id] * (tokens - len(one.pending)) + one.pending for one in rows])
        positions = self._axes(rows, tokens)
        out = self._loaded.model(
            input_ids=ids.to(self._device),
            attention_mask=self._slots.mask(places, self._dtype),
            position_ids=places if positions is None else positions.to(self._device),
            past_key_values=self._slots.cache,
            use_cache=True,
            logits_to_keep=1,
            **pixels,
        )
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def _axes(self, rows: Sequence[Running], tokens: int) -> Tensor | None:
        """Positions of the pending tokens, shape (axes, rows, tokens), on the CPU; None where they are their places."""
        padded = [
            pad(one.positions.of(one.length, one.length + len(one.pending)), (tokens - len(one.pending), 0))
            for one in rows
            if one.positions
        ]
        return torch.stack(padded, dim=1) if padded else None
