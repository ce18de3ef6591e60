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
FAR_OFF: Final = 2.0
"""A number that is off by more is not told at all yet."""
FAR: Final = 8.0
"""By how much patches of other objects are to score less than the first token."""


def looked_at(
    decoder: Any,
    hidden: torch.Tensor,
    positions: torch.Tensor,
    mask: torch.Tensor,
    names: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Logarithm of how much the head looks at each token, from names: (names, length).

    hidden: input of the layer, (batch, length, width). positions: (batch, length). mask: added to scores,
    (batch, 1, length, length). names: row and place of each name.
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
    looked: torch.Tensor = (scores + mask[rows, 0, places].float()).log_softmax(-1)
    return looked


def looking_loss(
    looked: torch.Tensor, shares: torch.Tensor, objects: torch.Tensor, named: torch.Tensor, *, start: int
) -> tuple[torch.Tensor, dict[str, float]]:
    """How far from looking where it should, >= 0, and how often the first token tells the number.

    A divergence (KL) alone leaves an object too much or too little by a third, and counts are lost in that: so each
    object is also to get its part whole, and all of them together to be their number. That is an absolute error, which
    wants a patch that may be one thing or another to be taken for the likelier one; a divergence wants a part of it for
    each, and such parts add up to things that are not there. looked: as `looked_at` says. The rest as for
    `wanted_attention`.
    """
    if not len(named):  # a small batch may name nothing, and a mean of nothing would spoil all weights
        return looked.sum(), {"looking_loss": 0.0, "looking_accuracy": 0.0}
    wanted = wanted_attention(shares, objects, named, start=start, length=looked.shape[1])
    spread = torch.nn.functional.kl_div(looked, wanted, reduction="batchmean")
    mine = _have_name(objects, named).float()
    patches, first = looked[:, start : start + shares.shape[1]], looked[:, :1]
    parts = SINK * (patches - first).clamp(max=6).exp() * mine
    owners = objects.clamp(min=0)
    empty = torch.zeros(len(named), int(objects.max()) + 1, device=looked.device)
    whole, held = empty.scatter_add(1, owners, parts), empty.scatter_add(1, owners, mine) > 0
    off = torch.nn.functional.smooth_l1_loss((whole + 1e-3).log(), empty, beta=0.1, reduction="none")
    # Little looks at many other objects add up too, and the less each is, the less a divergence minds it.
    others = ((objects > 0).float() - mine) * torch.nn.functional.softplus(patches - first + FAR)
    told, number = SINK * ((-first).clamp(max=6).exp().squeeze(1) - 1), held.sum(1).float()
    right = ((told.detach() - number).abs() < 0.5).float()
    loss = spread + 2 * (off * held).sum() / held.sum().clamp(min=1) + others.sum() / (objects > 0).sum().clamp(min=1)
    # Far from it, a divergence leads there better than an error of hundreds.
    miscounted = (told - number).clamp(-FAR_OFF, FAR_OFF)
    loss = loss + 4 * torch.nn.functional.smooth_l1_loss(miscounted, torch.zeros_like(number), beta=0.1)
    return loss, {"looking_loss": spread.item(), "looking_accuracy": right.mean().item()}


def wanted_attention(
    shares: torch.Tensor, objects: torch.Tensor, named: torch.Tensor, *, start: int, length: int
) -> torch.Tensor:
    """Where to look from each name: (names, length), rows sum to 1.

    shares: of each patch in an object, (names, patches). objects: which object covers it, alike. named: bits of the
    objects that have the name, (names,). start: place of the first patch.
    """
    wanted = torch.zeros(len(named), length, device=shares.device)
    wanted[:, 0] = SINK
    wanted[:, start : start + shares.shape[1]] = shares * _have_name(objects, named)
    return wanted / wanted.sum(1, keepdim=True)


def _have_name(objects: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
    return ((named[:, None] >> objects.clamp(min=0)) & 1) * (objects > 0)
