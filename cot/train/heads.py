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
    """Linear read-outs of patch features, one for each part of `cot.train.sample.Dense` and for the factors of classes.

    They teach the vision tower and are not shipped. To say where the middle of its thing is, a patch must
    tell things of one kind apart, which counting needs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.kind = torch.nn.Linear(width, len(CLASSES))
        self.centre = torch.nn.Linear(width, MAX_CENTRES)
        self.offset = torch.nn.Linear(width, 3)
        self.factors = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, max(values) + 1) for name, values in FACTORS.items()}
        )
        for name, values in FACTORS.items():
            self.register_buffer(f"{name}_of", torch.tensor(values), persistent=False)

    def loss(
        self, features: torch.Tensor, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss, and accuracies on the patches that show something. features: (batch, patches, width).

        Most patches are background; averaged with the rest they would drown what is to be learned, so
        every mean is one over the patches that it is about.
        """
        hidden = self.norm(features).flatten(0, 1)
        labels, centres = batch["classes"].flatten(), batch["centres"].flatten()
        shown, empty = (labels > 0).float(), (labels == 0).float()
        kinds = self.kind(hidden).float()
        each = F.cross_entropy(kinds, labels, ignore_index=IGNORE, reduction="none")
        loss = mean_over(each, shown) + 0.5 * mean_over(each, empty)
        centre = self.centre(hidden).float()
        each = F.cross_entropy(centre, centres, ignore_index=IGNORE, reduction="none")
        loss = loss + mean_over(each, shown) + 0.2 * mean_over(each, empty)
        wrong = F.smooth_l1_loss(self.offset(hidden).float(), batch["offsets"].flatten(0, 1), reduction="none")
        loss = loss + 0.5 * mean_over(wrong.sum(-1), shown)
        for name, head in self.factors.items():
            wanted = self.get_buffer(f"{name}_of")[labels.clamp(min=0)]
            each = F.cross_entropy(head(hidden).float(), wanted, ignore_index=IGNORE, reduction="none")
            loss = loss + 0.3 * mean_over(each, (wanted != IGNORE).float())
        accuracies = {
            "patch_accuracy": mean_over((kinds.argmax(-1) == labels).float(), shown),
            "centre_accuracy": mean_over((centre.argmax(-1) == centres).float(), (centres > 0).float()),
            "offset_error": mean_over(wrong.detach().sum(-1), shown),
        }
        return loss, accuracies


def mean_over(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of values, weighted; 0 where nothing has weight."""
    return (values * weights).sum() / weights.sum().clamp(min=1)


def class_tokens(tokenizer: Tokenizer) -> torch.Tensor:
    """(classes, vocabulary): share of each token in what a class is called, rows sum to 1.

    "kind apple" is "apple" and "apples", with and without a blank before; "shape small red circle" is all its words;
    "value 57" is "5" and, half as much, "7".
    """
    shares = torch.zeros(len(CLASSES), tokenizer.get_vocab_size())
    for name, index in CLASSES.items():
        words = name.split()[1:] or [name]
        for word in {*words, *(CLASS_PLURALS.get(word, word) for word in words)}:
            for text in (word, f" {word}") if word.isalpha() else (word,):
                for place, token in enumerate(tokenizer.encode(text, add_special_tokens=False).ids):
                    shares[index, token] += 0.5**place
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
