"""What a model family needs besides tokens: positions, and whether requests may share a batch.

In: a loaded model. Out: which path answers, and the positions of a prompt's tokens.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BATCHED = frozenset({
    "idefics3", "internvl", "llava", "llava_next", "llava_onevision", "mistral3",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm",
})  # fmt: skip
"""Families whose tokens only look back, and which the tests hold to the tokens of `generate`."""


@dataclass(frozen=True)
class Positions:
    """Positions of a prompt's tokens, shape (axes, tokens), and what is added to the places of later ones."""

    prompt: Tensor
    later: int

    def of(self, start: int, end: int) -> Tensor:
        """Positions of the tokens at these places, shape (axes, end - start)."""
        known = self.prompt[:, start:end]
        new = torch.arange(max(start, self.prompt.shape[1]), end) + self.later
        return torch.cat([known, new.expand(len(known), -1)], dim=1)


def unbatched_reason(model: Any) -> str:
    """Why requests of this model are answered one at a time; empty if they are not."""
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        return "its layers lie on several devices"
    kind = model.config.model_type
    if kind not in BATCHED:
        return f"family {kind} is not known to allow it"
    text = model.config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or ["full_attention"])
    if layers != {"full_attention"} or (not hasattr(text, "layer_types") and getattr(text, "sliding_window", None)):
        return "its layers do not all see the whole text"
    return ""


def positions(model: Any, ids: Tensor, inputs: dict[str, Any]) -> Positions | None:
    """Positions of a prompt; None where they are its tokens' places.

    ids: shape (1, tokens). inputs: what the processor made besides; rotary families of several axes
    (Wang et al. 2024, M-RoPE) need the images' grids.
    """
    find = getattr(model.model, "get_rope_index", None)
    if find is None:
        return None
    grids = {name: inputs[name] for name in ("mm_token_type_ids", "image_grid_thw") if name in inputs}
    grids.setdefault("mm_token_type_ids", torch.zeros_like(ids))
    found, later = find(ids, **grids)
    return Positions(found[:, 0].cpu(), int(later.flatten()[0]))
