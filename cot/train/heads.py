"""What teaches the vision tower: read-outs of its patch features against the labels that generators know."""

from typing import Final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cot.train.kinds import KINDS
from cot.train.labels import BACKGROUND_COLOURS, CLASSES, FACETS, FACTORS, FORMS, MAX_COUNT
from cot.train.packing import IGNORE
from cot.train.sample import IMAGE_PIXELS, Seen
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
        self, features: torch.Tensor, batch: dict[str, torch.Tensor], *, counting: bool = False
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss, and accuracies on the patches that show something. features: (batch, patches, width).

        counting: with what `miscounted` gives, which is for features that know what they show.

        Most patches are background; averaged with the rest they would drown what is to be learned, so
        every mean is one over the patches that it is about.
        """
        hidden = self.norm(features).flatten(0, 1)
        labels = batch["classes"].flatten()
        shown, empty = (labels > 0).float(), (labels == 0).float()
        kinds = self.kind(hidden).float()
        each = F.cross_entropy(kinds, labels, ignore_index=IGNORE, reduction="none")
        loss = mean_over(each, shown) + 0.5 * mean_over(each, empty)
        shares = self._shares(hidden).view_as(batch["objects"])
        whole, whole_error = self.whole(shares, batch["objects"])
        loss = loss + 8 * whole
        if counting:
            loss = loss + 4 * self.miscounted(kinds.view(*batch["objects"].shape, -1), shares, batch)
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
            **whole_error,
            "offset_error": mean_over((offset.detach() - offsets)[:, :2].abs().mean(-1), shown),
            **told,
        }
        return loss, accuracies

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """What part of an object each patch holds, in [0, 1]: (batch, patches) for features (batch, patches, width)."""
        return self._shares(self.norm(features))

    def _shares(self, normed: torch.Tensor) -> torch.Tensor:
        read: torch.Tensor = self.share(normed)
        return read.float().squeeze(-1).sigmoid()

    @staticmethod
    def miscounted(kinds: torch.Tensor, shares: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """How far shares of patches, each times the probability of a class, are from adding up to the number of
        objects of that class, >= 0: a mean over the classes that an image shows.

        An absolute error: a patch that may be one thing or another is to be taken for the likelier one, where
        cross-entropy alone leaves each a part of it. kinds: logits, (batch, patches, classes). shares: (batch,
        patches). batch: its classes and objects, see `BatchMaker`.
        """
        labels, objects = batch["classes"], batch["objects"]
        known = (labels != IGNORE) & (objects >= 0)
        counted = torch.einsum("bp,bpc->bc", shares * known, kinds.softmax(-1))[:, 1:]
        several = torch.zeros(len(labels), int(objects.max()) + 1, kinds.shape[-1], device=kinds.device)
        rows, places = (known & (objects > 0) & (labels > 0)).nonzero(as_tuple=True)
        several[rows, objects[rows, places], labels[rows, places]] = 1.0
        number = several.sum(1)[:, 1:]
        each = F.smooth_l1_loss(counted, number, beta=0.1, reduction="none")
        return each.sum() / (number > 0).sum().clamp(min=1)

    @staticmethod
    def whole(mass: torch.Tensor, objects: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """How far the shares of each object's patches are from adding up to 1, and all others from 0: their sum is a
        count. Which patch holds how much is left to the tower. Both (batch, patches)."""
        known = (objects >= 0).float()
        sums = torch.zeros(len(mass), int(objects.max()) + 1, device=mass.device)
        sums = sums.scatter_add(1, objects.clamp(min=0), mass * known)
        held = torch.zeros_like(sums).scatter_add(1, objects.clamp(min=0), known)[:, 1:] > 0
        off = F.smooth_l1_loss(sums[:, 1:], torch.ones_like(sums[:, 1:]), beta=0.1, reduction="none")
        empty = F.smooth_l1_loss(sums[:, 0], torch.zeros_like(sums[:, 0]), beta=0.1)
        number = held.sum(1)
        right = ((mass.detach() * known).sum(1) - number).abs() < 0.5
        return mean_over(off, held.float()) + 0.3 * empty, {
            "whole_error": mean_over((sums.detach()[:, 1:] - 1).abs(), held.float()),
            "empty_error": sums.detach()[:, 0].mean(),
            "sum_accuracy": mean_over(right.float(), (number > 1).float()),
        }


SCALES: Final = {"x": 80.0, "y": 80.0, "side": 40.0, "number": 6.0, "value": 50.0}
"""What two named things are compared by, and what difference counts as one."""


class NameHeads(torch.nn.Module):
    """Linear read-outs of what the decoder knows where a question names something: see `cot.train.sample.Seen`.

    They teach the decoder and are not shipped. Without them nothing tells the first hop, from a name to what it
    names in the image, from chance.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.place = torch.nn.Linear(width, 3)
        self.gap = torch.nn.Linear(width, len(SCALES))
        self.numbers = torch.nn.ModuleDict(
            {"number": torch.nn.Linear(width, MAX_COUNT + 1), "tens": torch.nn.Linear(width, 10),
             "units": torch.nn.Linear(width, 10)}
        )  # fmt: skip

    def loss(self, hidden: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss and figures. hidden: (names, width). seen: (names, len(Seen._fields))."""
        hidden = self.norm(hidden)
        wanted = dict(zip(Seen._fields, seen.unbind(-1), strict=True))
        place = torch.stack([wanted["x"], wanted["y"], wanted["side"]], dim=-1)
        known = (place >= 0).all(-1)
        off = self.place(hidden).float() - (place / (IMAGE_PIXELS / 2) - 1)
        # Where a thing is by a hundredth of the image: relations ask for small differences.
        loss = 4 * mean_over(F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none").sum(-1), known)
        figures = {"place_error": mean_over(off.detach()[:, :2].abs().mean(-1), known).item() * IMAGE_PIXELS / 2}
        for name, head in self.numbers.items():
            read, known = head(hidden).float(), wanted[name] >= 0
            each = F.cross_entropy(read, wanted[name], ignore_index=IGNORE, reduction="none")
            loss = loss + mean_over(each, known)
            figures[f"{name}_accuracy"] = mean_over((read.argmax(-1) == wanted[name]).float(), known).item()
        return loss, figures

    def gap_loss(
        self, hidden: torch.Tensor, seen: torch.Tensor, before: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """How badly a later layer tells by how much the thing named before is further right, further down, larger,
        more or worth more than this one; and how often it tells the sign. hidden: (names, width). seen, before:
        (names, len(Seen._fields))."""
        (this, known), (other, other_known) = _values(seen), _values(before)
        both = (known & other_known).float()
        gap, read = other - this, self.gap(self.norm(hidden)).float()
        each = F.smooth_l1_loss(read, gap, beta=0.05, reduction="none")
        loss = sum(mean_over(one, weight) for one, weight in zip(each.unbind(-1), both.unbind(-1), strict=True))
        apart = both * (gap != 0)
        right = ((read > 0) == (gap > 0)).float()
        told = {f"{name}_sign": mean_over(right[:, index], apart[:, index]).item() for index, name in enumerate(SCALES)}
        return torch.as_tensor(loss), told


def _values(seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is compared, in units of `SCALES`, and where it is known: both (names, len(SCALES))."""
    fields = dict(zip(Seen._fields, seen.unbind(-1), strict=True))
    fields["value"] = torch.where(fields["tens"] >= 0, 10 * fields["tens"] + fields["units"], -1)
    raw = torch.stack([fields[name] for name in SCALES], dim=-1)
    return raw / torch.tensor([*SCALES.values()], device=seen.device), raw >= 0


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
            _add_spelling(shares[index], word, tokenizer)
    return shares / shares.sum(dim=1, keepdim=True)


def _add_spelling(shares: torch.Tensor, word: str, tokenizer: Tokenizer) -> None:
    """Add a word's tokens to shares (vocabulary,), the first of them most."""
    for text in (word, f" {word}") if word.isalpha() else (word,):
        for place, token in enumerate(tokenizer.encode(text, add_special_tokens=False).ids):
            shares[token] += 0.5**place


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
    # A batch may show nothing of the sort, and a mean of nothing would spoil all weights.
    return F.cross_entropy(20.0 * seen @ names.T, patches[shown], reduction="sum") / shown.sum().clamp(min=1)


def digit_tokens(tokenizer: Tokenizer) -> torch.Tensor:
    """(10, vocabulary): which token each digit is."""
    ids = torch.tensor([tokenizer.token_to_id(str(digit)) for digit in range(10)])
    return F.one_hot(ids, tokenizer.get_vocab_size()).float()


def ground_tokens(tokenizer: Tokenizer) -> torch.Tensor:
    """(backgrounds, vocabulary): share of each token in the name of a background's colour."""
    shares = torch.zeros(len(BACKGROUND_COLOURS), tokenizer.get_vocab_size())
    for row, name in zip(shares, BACKGROUND_COLOURS, strict=True):
        _add_spelling(row, name, tokenizer)
    return shares / shares.sum(dim=1, keepdim=True)


def first_digits(facets: torch.Tensor) -> torch.Tensor:
    """First digit of the number that each patch stands for, IGNORE where none: of how many things are the same, or of
    what a label's bar is worth. facets: (..., len(FACETS))."""
    values = dict(zip(FACETS, facets.unbind(-1), strict=True))
    same, tens, units = values["same"], values["tens"], values["units"]
    counted = torch.where(same > 9, 1, same)
    return torch.where(same != IGNORE, counted, torch.where(tens > 0, tens, units))
