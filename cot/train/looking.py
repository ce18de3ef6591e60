"""Teaches one attention head of the decoder where to look from a name, and how much.

In: the decoder's hidden states where questions name things, and which objects have that name. Out: a loss. The
head is to spread over the patches of these objects as the tower's shares do, which add up to one for each object,
and to leave `SINK` objects' worth to the first token: what that keeps then says how many there are.
"""

from typing import Any, Final

import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

LAYER: Final = 1
"""The layer whose first head is taught: the one before it can put names of several words together."""
SINK: Final = 3.0


def looking_loss(
    decoder: Any,
    hidden: torch.Tensor,
    positions: torch.Tensor,
    mask: torch.Tensor,
    names: tuple[torch.Tensor, torch.Tensor],
    wanted: torch.Tensor,
) -> torch.Tensor:
    """Mean divergence (KL, >= 0) of the head's attention from what it should be.

    hidden: input of the layer, (batch, length, width). positions: (batch, length). mask: added to scores,
    (batch, 1, length, length). names: row and place of each name. wanted: (names, length), rows sum to 1.
    """
    layer = decoder.layers[LAYER]
    attention, (rows, places) = layer.self_attn, names
    seen = layer.input_layernorm(hidden)
    cos, sin = decoder.rotary_emb(seen, positions)
    queries, keys = (
        project(seen)[..., : attention.head_dim].unsqueeze(1) for project in (attention.q_proj, attention.k_proj)
    )
    queries, keys = apply_rotary_pos_emb(queries, keys, cos, sin)
    scores = torch.einsum("nd,nld->nl", queries[rows, 0, places].float(), keys[rows, 0].float()) * attention.scaling
    looked = (scores + mask[rows, 0, places].float()).log_softmax(-1)
    return torch.nn.functional.kl_div(looked, wanted, reduction="batchmean")


def wanted_attention(
    shares: torch.Tensor, objects: torch.Tensor, named: torch.Tensor, *, start: int, length: int
) -> torch.Tensor:
    """Where to look from each name: (names, length), rows sum to 1.

    shares: of each patch in an object, (names, patches). objects: which object covers it, alike. named: bits of the
    objects that have the name, (names,). start: place of the first patch.
    """
    has_name = ((named[:, None] >> objects.clamp(min=0)) & 1) * (objects > 0)
    wanted = torch.zeros(len(named), length, device=shares.device)
    wanted[:, 0] = SINK
    wanted[:, start : start + shares.shape[1]] = shares * has_name
    return wanted / wanted.sum(1, keepdim=True)
