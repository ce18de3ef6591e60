"""What teaches the vision tower: read-outs of its patch features against the labels that generators know."""

from typing import Final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cot.train.data import IGNORE
from cot.train.kinds import KINDS
from cot.train.labels import CLASSES, FACTORS

CLASS_PLURALS: Final = {kind.singular: kind.plural for kind in KINDS} | {"cross": "crosses"}
MAX_CENTRES: Final = 3
"""Classes of the centre read-out: none, one, or two and more."""


class Heads(torch.nn.Module):
    """Linear read-outs of patch features: what covers a patch, its factors, and how many centres lie in it.

    They teach the vision tower and are not shipped.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.kind = torch.nn.Linear(width, len(CLASSES))
        self.centre = torch.nn.Linear(width, MAX_CENTRES)
        self.factors = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, max(values) + 1) for name, values in FACTORS.items()}
        )
        for name, values in FACTORS.items():
            self.register_buffer(f"{name}_of", torch.tensor(values), persistent=False)

    def loss(self, features: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
        """Loss, and accuracy on the patches that show something. features: (batch, patches, width)."""
        hidden = self.norm(features).flatten(0, 1)
        labels, centres = batch["patches"].flatten(), batch["centres"].flatten()
        kinds = self.kind(hidden).float()
        # Most patches are background; averaged with the rest they would drown what is to be learned.
        each = F.cross_entropy(kinds, labels, ignore_index=IGNORE, reduction="none")
        shown = labels > 0
        loss = each[shown].mean() + 0.5 * each[labels == 0].mean()
        loss = loss + F.cross_entropy(self.centre(hidden).float(), centres, ignore_index=IGNORE)
        for name, head in self.factors.items():
            wanted = self.get_buffer(f"{name}_of")[labels.clamp(min=0)]
            having = wanted != IGNORE
            if having.any():
                loss = loss + 0.3 * F.cross_entropy(head(hidden[having]).float(), wanted[having])
        accuracy = (kinds.argmax(-1)[shown] == labels[shown]).float().mean().item()
        return loss, accuracy


def class_tokens(tokenizer: Tokenizer) -> torch.Tensor:
    """(classes, vocabulary): share of each token in what a class is called, rows sum to 1.

    "kind apple" is " apple" and " apples"; "shape small red circle" is all its words.
    """
    shares = torch.zeros(len(CLASSES), tokenizer.get_vocab_size())
    for name, index in CLASSES.items():
        words = name.split()[1:] or [name]
        for word in [*words, *(CLASS_PLURALS.get(word, word) for word in words)]:
            for token in tokenizer.encode(f" {word}", add_special_tokens=False).ids:
                shares[index, token] += 1
    return shares / shares.sum(dim=1, keepdim=True)


def alignment_loss(
    projected: torch.Tensor, embeddings: torch.Tensor, shares: torch.Tensor, patches: torch.Tensor
) -> torch.Tensor:
    """How far projected patches are from the decoder's words for what they show: cross-entropy of cosines.

    Where a patch of an apple lies near the embedding of "apple", one rule - look for what is near the word -
    serves all kinds, and need not be learned for each.
    projected: (batch, patches, width). embeddings: (vocabulary, width). shares: from `class_tokens`.
    patches: (batch, patches), class of each.
    """
    shown = patches > 0
    names = F.normalize((shares.to(embeddings.dtype) @ embeddings).float(), dim=-1)
    seen = F.normalize(projected[shown].float(), dim=-1)
    return F.cross_entropy(20.0 * seen @ names.T, patches[shown])
