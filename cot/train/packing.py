"""Packs the turns that an image is trained on behind one image prefix, each as if it were asked alone.

In: prompts and answers. Out: their tokens, one turn behind another, and what each token may see. A turn sees the prefix
and itself only, at the positions it would have alone; an opening that many turns have in common is there once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from tokenizers import Tokenizer

from cot.train.mentions import mentions
from cot.train.sample import Look, Sample, Seen

if TYPE_CHECKING:
    import torch

IGNORE: Final = -100
OPENING: Final = 1
"""The segment of the common opening; turns have the numbers behind it, and 0 is padding."""
Turn = tuple[str, str]
"""Prompt and answer."""


@dataclass
class Packed:
    """One image's turns, as lists of equal length (text tokens).

    targets: the next tokens of answers and their end, `IGNORE` elsewhere. early: where a question names its last thing,
    the first token of its answer. seen: at the end of each name, what the image shows of it; before: there too, what it
    shows of the name before. None of these of plans, which do not depend on what is shown. segments: which turn
    a token belongs to, or `OPENING`. above: which other segment it may see: `OPENING`, or its own again where it has
    none above it. positions: as the decoder counts them.
    """

    ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    early: list[int] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    before: list[Seen] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    def take(self, turn: "Packed", max_tokens: int) -> bool:
        """Append a turn, without an opening that is there already; False if it does not fit."""
        already = turn.segments.count(OPENING) if OPENING in self.segments else 0
        if len(self.ids) + len(turn.ids) - already > max_tokens:
            return False
        for column in fields(self):
            getattr(self, column.name).extend(getattr(turn, column.name)[already:])
        return True


def pack(
    tokenizer: Tokenizer,
    conversation: Sequence[Turn],
    *,
    prefix_tokens: int,
    max_tokens: int,
    look: Look = Sample.look,
    opening: Sequence[int] = (),
) -> Packed:
    """Tokenise turns one behind another; those that no longer fit into `max_tokens` are left out.

    prefix_tokens: of the image. look: what the image shows of a name. opening: tokens with which many turns begin;
    packed once, before the first of them that fits.
    """
    packed = Packed()
    for segment, (prompt, answer) in enumerate(conversation, OPENING + 1):
        turn = _turn(tokenizer, prompt, answer, look, opening=opening, segment=segment, first=prefix_tokens)
        packed.take(turn, max_tokens)
    return packed


def _turn(
    tokenizer: Tokenizer, prompt: str, answer: str, look: Look, *, opening: Sequence[int], segment: int, first: int
) -> Packed:
    """A turn alone, with its opening. first: position of its first token."""
    encoded = tokenizer.encode(f"{prompt}<|assistant|>", add_special_tokens=False)
    asked = encoded.ids
    said = tokenizer.encode(f"{answer}</s>", add_special_tokens=False).ids
    # The last token of a turn predicts nothing and is left out.
    length = len(asked) + len(said) - 1
    shared = len(opening) if asked[: len(opening)] == list(opening) else 0
    named = () if shared else mentions(prompt)  # a plan is to be the same, whatever the image shows of its names
    named_at = {encoded.char_to_token(end - 1) or 0: look(name) for end, name in named}
    *_, last = None, *named_at
    before_at = dict(zip(named_at, [Seen(), *named_at.values()], strict=False))
    return Packed(
        ids=(asked + said)[:-1],
        targets=[IGNORE] * (len(asked) - 1) + said,
        early=[said[0] if place == last else IGNORE for place in range(length)],
        seen=[named_at.get(place, Seen()) for place in range(length)],
        before=[before_at.get(place, Seen()) for place in range(length)],
        segments=[OPENING] * shared + [segment] * (length - shared),
        above=[OPENING if shared else segment] * length,
        positions=[*range(first, first + length)],
    )


def packed_mask(segments: "torch.Tensor", above: "torch.Tensor", prefix: int) -> "torch.Tensor":
    """What a token may look at, added to attention scores: (batch, 1, length, length).

    segments, above: (batch, text tokens), see `Packed`. 0 for the prefix and what comes before a token in its own turn
    and the opening above it; the least bfloat16 elsewhere.
    """
    import torch  # not above: those who only make batches need none

    def whole(text: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros(len(text), prefix, dtype=text.dtype, device=text.device), text], dim=1)

    own, over = whole(segments), whole(above)
    length = own.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    is_prefix = torch.arange(length, device=segments.device) < prefix
    same = (own[:, :, None] == own[:, None, :]) | (over[:, :, None] == own[:, None, :]) | is_prefix
    seen = torch.where(same & causal, 0.0, torch.finfo(torch.bfloat16).min)
    return seen.to(torch.bfloat16)[:, None]
