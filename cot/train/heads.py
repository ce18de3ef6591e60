"""What teaches the vision tower: read-outs of its patch features against the labels that generators know."""

from typing import Final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cot.train.data import IGNORE
from cot.train.kinds import KINDS
from cot.train.labels import CLASSES, FACETS, FACTORS, FORMS
from cot.train.shapes import noun

PLURALS: Final = dict([*((kind.singular, kind.plural) for kind in KINDS), *(noun("", "", form) for form in FORMS)])


class Heads(torch.nn.Module):
    """Linear read-outs of patch features, one for each part of `cot.train.sample.Dense` and for the factors of classes.

    They teach the vision tower and are not shipped. To say where the middle of its thing is, a patch must
    tell things of one kind apart, which counting needs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.kind = torch.nn.Linear(width, len(CLASSES))
        self.share = torch.nn.Linear(width, 1)
        self.offset = torch.nn.Linear(width, 5)
        self.facets = torch.nn.Linear(width, sum(FACETS.values()))
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
        labels = batch["classes"].flatten()
        shown, empty = (labels > 0).float(), (labels == 0).float()
        kinds = self.kind(hidden).float()
        each = F.cross_entropy(kinds, labels, ignore_index=IGNORE, reduction="none")
        loss = mean_over(each, shown) + 0.5 * mean_over(each, empty)
        share, shares = self.share(hidden).float().squeeze(-1), batch["shares"].flatten()
        each = F.binary_cross_entropy_with_logits(share, shares, reduction="none")
        loss = loss + 2 * mean_over(each, shown) + 0.2 * mean_over(each, empty)
        # Counting needs the middle of a thing to a tenth of a patch: squares of such small errors would teach nothing.
        offset, offsets = self.offset(hidden).float(), batch["offsets"].flatten(0, 1)
        loss = loss + mean_over(F.smooth_l1_loss(offset, offsets, beta=0.1, reduction="none").sum(-1), shown)
        for name, head in self.factors.items():
            wanted = self.get_buffer(f"{name}_of")[labels.clamp(min=0)]
            each = F.cross_entropy(head(hidden).float(), wanted, ignore_index=IGNORE, reduction="none")
            loss = loss + 0.3 * mean_over(each, (wanted != IGNORE).float())
        told: dict[str, torch.Tensor] = {}
        split = self.facets(hidden).float().split([*FACETS.values()], dim=-1)
        for name, read, wanted in zip(FACETS, split, batch["facets"].flatten(0, 1).unbind(-1), strict=True):
            each = F.cross_entropy(read, wanted, ignore_index=IGNORE, reduction="none")
            known = (wanted != IGNORE).float()
            loss = loss + 0.5 * mean_over(each, known)
            told[f"{name}_accuracy"] = mean_over((read.argmax(-1) == wanted).float(), known)
        accuracies = {
            "patch_accuracy": mean_over((kinds.argmax(-1) == labels).float(), shown),
            "share_error": mean_over((share.detach().sigmoid() - shares).abs(), (shares > 0.01).float()),
            "offset_error": mean_over((offset.detach() - offsets)[:, :2].abs().mean(-1), shown),
            **told,
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
        for word in {*words, *(PLURALS.get(word, word) for word in words)}:
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
    projected: (batch, patches, width). embeddings: (vocabulary, width). shares: (labels, vocabulary), of each label
    in words. patches: (batch, patches), label of each, IGNORE where it has none.
    """
    shown = patches != IGNORE
    names = F.normalize((shares.to(embeddings.dtype) @ embeddings).float(), dim=-1)
    seen = F.normalize(projected[shown].float(), dim=-1)
    return F.cross_entropy(20.0 * seen @ names.T, patches[shown])


def digit_tokens(tokenizer: Tokenizer) -> torch.Tensor:
    """(10, vocabulary): which token each digit is."""
    ids = torch.tensor([tokenizer.token_to_id(str(digit)) for digit in range(10)])
    return F.one_hot(ids, tokenizer.get_vocab_size()).float()


def first_digits(facets: torch.Tensor) -> torch.Tensor:
    """First digit of the number that each patch stands for, IGNORE where none: of how many things are the same, or of
    what a label's bar is worth. facets: (..., len(FACETS))."""
    values = dict(zip(FACETS, facets.unbind(-1), strict=True))
    same, tens, units = values["same"], values["tens"], values["units"]
    counted = torch.where(same > 9, 1, same)
    return torch.where(same != IGNORE, counted, torch.where(tens > 0, tens, units))
