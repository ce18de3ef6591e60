"""What changes the weights in each part of the training, and at which rate."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch

from cot.train.data import Part
from cot.train.heads import Heads, NameHeads
from cot.train.muon import Float32Muon

Named = list[tuple[str, torch.nn.Parameter]]


def new_optimizers(
    part: Part, model: Any, heads: Heads, names: NameHeads, *, weight_decay: float, tower_share: float, bfloat16: bool
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers that a long part trains, AdamW for all else.

    `share` of each group is its rate as a share of the recipe's, which is to be set at every step.
    tower_share: rate of the vision tower while questions are trained, as a share of the recipe's.
    bfloat16: whether the device is fast at it, and Muon may multiply in it.
    """
    tower = [*model.model.vision_tower.named_parameters()]
    rest = [(name, one) for name, one in model.named_parameters() if "vision_tower" not in name]
    read = {"norm": [*heads.norm.named_parameters()], "share": [*heads.share.named_parameters()]}
    pair = partial(_pair, decay=weight_decay, muon=torch.optim.Muon if bfloat16 else Float32Muon)
    looking = [*names.named_parameters(), *read["norm"], *read["share"]]
    if part == "vision":
        matrices, others = _split(tower)
        return pair(matrices, [*heads.named_parameters(), *others, *rest])
    if part == "look-up":
        return pair([], [*looking, *rest])
    matrices, others = _split(rest)
    layers, ends = _split(tower)
    patches = [(name, one) for name, one in heads.named_parameters() if not name.startswith(tuple(read))]
    return [
        *pair(matrices, [*looking, *others]),
        *pair(layers, [*patches, *ends], share=tower_share),
    ]


def _split(parameters: Named) -> tuple[Named, Named]:
    """The matrices inside layers, and all others."""
    matrices = [pair for pair in parameters if "layers" in pair[0] and pair[1].ndim == 2]
    return matrices, [pair for pair in parameters if "layers" not in pair[0] or pair[1].ndim != 2]


def _pair(
    matrices: Named, others: Named, *, decay: float, muon: type[torch.optim.Muon], share: float = 1.0
) -> list[torch.optim.Optimizer]:
    adamw = torch.optim.AdamW(_group(others, share), betas=(0.9, 0.98), weight_decay=decay, fused=True)
    if not matrices:
        return [adamw]
    return [adamw, muon(_group(matrices, share), weight_decay=decay, adjust_lr_fn="match_rms_adamw")]


def _group(parameters: Iterable[tuple[str, torch.nn.Parameter]], share: float) -> list[dict[str, Any]]:
    return [{"params": [one for _, one in parameters], "share": share}]
