"""What a batch teaches: the losses over the model's answers, and over what helpers read off its features.

In: tensors of images, their labels and their turns. Out: one loss to go down, and figures to watch.
"""

from typing import Any, Final

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cot.engine.local.quantize import compute_dtype
from cot.train.data import Part
from cot.train.heads import Heads, NameHeads, alignment_loss, class_tokens, digit_tokens, first_digits, ground_tokens
from cot.train.labels import FACETS
from cot.train.looking import LAYER, looked_at, looking_loss
from cot.train.model import PREFIX_TOKENS
from cot.train.packing import IGNORE, OPENING, packed_mask
from cot.train.sample import GRID, Seen

PLAN_WEIGHT: Final = 4.0
"""Of the loss of plans. Where both are nearly learned it is a three-hundredth of that of answers."""


def pixels_to_input(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (batch, 3, side, side) -> float in [-1, 1], as the processor gives."""
    return pixels.float() / 127.5 - 1.0


def turn_weights(wanted: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """Weight of each wanted token: a plan of thirty tokens must not count as much as fifteen short answers, nor as
    little as one; so it counts as two. Both (batch, length); the answer has one weight for each true `wanted`."""
    lengths = torch.zeros(len(wanted), int(segments.max()) + 1, device=wanted.device)
    lengths = lengths.scatter_add(1, segments, wanted.float())
    return lengths.gather(1, segments)[wanted].pow(-0.75)


class Objective:
    """The losses of a LLaVA model in each part of its training, and the read-outs that teach it but are not shipped."""

    def __init__(self, model: Any, tokenizer: Tokenizer, device: str) -> None:
        self.model, self.tokenizer = model, tokenizer
        vision, text = model.config.vision_config, model.config.text_config
        self.heads = Heads(vision.hidden_size).to(device)
        self.names = NameHeads(text.hidden_size).to(device)
        self.named_layer = 3 * text.num_hidden_layers // 5
        before = [[tokenizer.token_to_id(name) for name in ("<s>", "<|user|>")]]
        self.start = torch.tensor(before, device=device)
        self.class_tokens = class_tokens(tokenizer).to(device)
        self.digit_tokens = digit_tokens(tokenizer).to(device)
        self.ground_tokens = ground_tokens(tokenizer).to(device)
        # float16 would need its losses scaled; where bfloat16 is slow, all is left in float32.
        self.bfloat16 = compute_dtype(device) == torch.bfloat16

    def loss(self, batch: dict[str, torch.Tensor], part: Part) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss and figures of a batch (see `BatchMaker`) in a part of the training."""
        with torch.autocast(batch["pixels"].device.type, torch.bfloat16, enabled=self.bfloat16):
            # What a name refers to is learned with the vision tower held still.
            with torch.set_grad_enabled(torch.is_grad_enabled() and part != "look-up"):
                features = self.features(batch)
            return self._vision_loss(features, batch) if part == "vision" else self._question_loss(features, batch)

    def features(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Patch features of the vision tower's last layer, as LLaVA takes them: (batch, patches, width)."""
        hidden: torch.Tensor = self.model.model.vision_tower(pixels_to_input(batch["pixels"])).last_hidden_state[:, 1:]
        return hidden

    def _vision_loss(
        self, features: torch.Tensor, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        loss, accuracies = self.heads.loss(features, batch)
        # Words and patches are cheapest to bring together here, and looking up starts from that.
        aligned = self._alignment(self.model.model.multi_modal_projector(features.detach()), batch)
        return loss + aligned, {"alignment": aligned.item()} | {n: value.item() for n, value in accuracies.items()}

    def _alignment(self, projected: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        words = self.model.model.language_model.embed_tokens.weight
        shown = torch.where(batch["classes"] > 0, batch["classes"], IGNORE)
        named = alignment_loss(projected, words, self.class_tokens, shown)
        numbered = alignment_loss(projected, words, self.digit_tokens, first_digits(batch["facets"]))
        ground = batch["facets"][..., [*FACETS].index("ground")]
        return named + 0.5 * numbered + 0.5 * alignment_loss(projected, words, self.ground_tokens, ground)

    def _question_loss(
        self, features: torch.Tensor, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        seen = self.model.model.multi_modal_projector(features)
        said, positions, mask = self.read(seen, batch)
        hidden = said.last_hidden_state[:, PREFIX_TOKENS:]
        plans = batch["above"] == OPENING
        loss, right = self._answer_loss(hidden, batch["targets"].masked_fill(plans, IGNORE), batch["segments"])
        planning, planned = self._answer_loss(hidden, batch["targets"].masked_fill(~plans, IGNORE), batch["segments"])
        named = batch["early"] != IGNORE
        early = hidden.new_zeros(())
        if named.any():  # a mean of nothing would be none
            early = F.cross_entropy(self.model.lm_head(hidden[named]).float(), batch["early"][named])
        aligned = self._alignment(seen, batch)
        found, told = self._naming_loss(features, said.hidden_states, positions, mask, batch)
        figures = {
            "answer_loss": loss.item(),
            "token_accuracy": right,
            "plan_loss": planning.item(),
            "plan_token_accuracy": planned,
            "alignment": aligned.item(),
            "early_loss": early.item(),
            **told,
        }
        return loss + PLAN_WEIGHT * planning + early + found + aligned, figures

    def read(self, seen: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """What the decoder makes of images and their turns: its output, and the positions and the mask it had.

        seen: projected features, (batch, patches, width). batch: with ids, segments, above and positions.
        """
        decoder = self.model.model.language_model
        start = decoder.embed_tokens(self.start).expand(len(seen), -1, -1)
        prefix = torch.arange(PREFIX_TOKENS, device=seen.device).expand(len(seen), -1)
        positions = torch.cat([prefix, batch["positions"]], dim=1)
        mask = packed_mask(batch["segments"], batch["above"], PREFIX_TOKENS)
        if not torch.is_autocast_enabled(seen.device.type):  # fused attention wants what it adds to of one format
            mask = mask.to(start.dtype)
        said = decoder(
            inputs_embeds=torch.cat([start, seen.to(start.dtype), decoder.embed_tokens(batch["ids"])], dim=1),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            output_hidden_states=True,
        )
        return said, positions, mask

    def _answer_loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, segments: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Loss of the tokens that are wanted of the model, and the share of them that it has right."""
        wanted = targets != IGNORE
        if not wanted.any():  # a mean of nothing would spoil all weights
            return hidden.new_zeros(()), 0.0
        logits = self.model.lm_head(hidden[wanted]).float()
        weights = turn_weights(wanted, segments)
        loss = (F.cross_entropy(logits, targets[wanted], reduction="none") * weights).sum() / weights.sum()
        return loss, (logits.argmax(-1) == targets[wanted]).float().mean().item()

    def _naming_loss(
        self,
        features: torch.Tensor,
        hidden: tuple[torch.Tensor, ...],
        positions: torch.Tensor,
        mask: torch.Tensor,
        batch: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """What the decoder knows where a question names something: where it looks from there, what it finds, and how
        that differs from what was named before. Without it the first of the hops from a name by way of the image to the
        answer gets no gradient before the others work, and they none before it (docs/log.md).

        hidden: states before, between and after the decoder's layers, (batch, length, width) each.
        """
        mentioned = (batch["seen"] >= 0).any(-1)
        seen, before = batch["seen"][mentioned], batch["before"][mentioned]
        layers = (self.named_layer, self.named_layer + 1)
        found, later = (hidden[layer][:, PREFIX_TOKENS:][mentioned] for layer in layers)
        names, told = self.names.loss(found, seen)
        gaps, signs = self.names.gap_loss(later, seen, before)
        # A finished checkpoint brings no heads: what the tower holds is soon read off it again.
        shares = self.heads.shares(features)
        patches, read = self.heads.loss(features, batch, counting=True)
        named = batch["seen"][..., Seen._fields.index("objects")]
        rows, places = (named >= 0).nonzero(as_tuple=True)
        places_in_all = (rows, places + PREFIX_TOKENS)
        looked = looked_at(self.model.model.language_model, hidden[LAYER], positions, mask, places_in_all)
        start = PREFIX_TOKENS - GRID * GRID
        looking, far = looking_loss(
            looked, shares.detach()[rows], batch["objects"][rows], named[rows, places], start=start
        )
        right = {name: read[name].item() for name in ("patch_accuracy", "sum_accuracy")}
        return names + gaps + looking + patches, {**told, **signs, **far, **right}
