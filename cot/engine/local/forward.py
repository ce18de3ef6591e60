"""A pass through the model: the pending tokens of rows go in, the logits of their last ones come out.

It reads and writes the rows' slots, and knows nothing of requests.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from cot.engine.local.load import Loaded
from cot.engine.local.running import Running
from cot.engine.local.slots import Slots


class Forward:
    """Passes of one model over rows in slots."""

    def __init__(self, loaded: Loaded, slots: Slots):
        self._loaded, self._slots = loaded, slots
        self._device, self._dtype = loaded.model.device, loaded.model.dtype

    def logits(self, first: int, rows: Sequence[Running], pixels: Mapping[str, Tensor]) -> Tensor:
        """Feed the pending tokens of rows, from slot `first` on. Returns logits of their last ones, (rows, vocab)."""
        model = self._loaded.model
        counts = [len(one.pending) for one in rows]
        tokens = max(counts)
        places = self._slots.open(first, [one.length for one in rows], counts, self._device)
        ids = torch.tensor([[self._loaded.pad_id] * (tokens - len(one.pending)) + one.pending for one in rows])
        out = model(
            input_ids=ids.to(self._device),
            attention_mask=self._slots.mask(places, self._dtype),
            position_ids=self._positions(rows, places),
            past_key_values=self._slots.cache,
            use_cache=True,
            logits_to_keep=1,
            **pixels,
        )
        logits: Tensor = out.logits[:, -1].float()
        for one in rows:
            one.length += len(one.pending)
            one.pending = []
        return logits

    def _positions(self, rows: Sequence[Running], places: Tensor) -> Tensor:
        """Positions of the pending tokens at these places, shape (rows, tokens), or (axes, rows, tokens)."""
        padded = [
            pad(one.positions.of(one.length, one.length + len(one.pending)), (places.shape[1] - len(one.pending), 0))
            for one in rows
            if one.positions
        ]
        return torch.stack(padded, dim=1).to(self._device) if padded else places
