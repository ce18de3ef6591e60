"""Parts of a model by its structure: the decoder and what stands around it, and the memory that they take.

In: a checkpoint's config, or a model. Out: names and counts. No weights are read: the model is built without memory
for them (torch's meta device).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cot.errors import EngineError, quoted

LIMITS: Final = (
    (re.compile(r"(layers?|depths?|blocks|stages|experts)$"), 1_000),
    (re.compile(r"(positions|embeddings)$"), 2**24),
    (re.compile(r"image_size$"), 2**14),
    (re.compile(r"(size|dims?|width|channels|heads)$"), 2**20),
)
"""Endings of names in a config, and the most that such a number may be, several times that of the largest models. More
could only keep a machine busy: each layer is built as a Python object, and the weights that a file lacks are drawn."""

POSITIVE: Final = re.compile(
    r"(num_(hidden_|key_value_|attention_)?(layers|heads)|depths?|num_channels|embed_dim|"
    r"(hidden|intermediate|vocab|image|patch)_size|max_position_embeddings)"
)
"""Names in a config whose numbers count something that a model must have."""

BLOCK = 64
"""Weights that share a scale in 4 bits, bitsandbytes' default."""
SCALES = 256
"""Scales that share a scale of their own, where they are quantised too (double quantisation)."""


@dataclass(frozen=True)
class Linear:
    """A linear layer of the decoder. name: from the model's root. Its weight has shape (outputs, inputs)."""

    name: str
    outputs: int
    inputs: int


@dataclass(frozen=True)
class Anatomy:
    """What a model consists of.

    parameters: by part, each counted once; tied embeddings stand in one of the two places.
    linear: what quantisation shrinks, all in the decoder. kept: names of the largest modules that it leaves alone.
    """

    parameters: dict[str, int]
    linear: tuple[Linear, ...]
    kept: tuple[str, ...]

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    def bytes(self, precision: str) -> int:
        """Memory of the weights: float32, bfloat16 or float16, int8, nf4 or fp4.

        Quantised linear layers have their scales counted; what is left stays in 16 bits.
        """
        if precision in ("float32", "bfloat16", "float16"):
            return self.total * (4 if precision == "float32" else 2)
        sizes = [layer.outputs * layer.inputs for layer in self.linear]
        rest = 2 * (self.total - sum(sizes))
        if precision == "int8":
            return rest + sum(sizes) + 4 * sum(layer.outputs for layer in self.linear)
        return rest + sum(_four_bit_bytes(size) for size in sizes)


def read_config(folder: Path) -> Any:
    """The config of a checkpoint folder.

    Raises EngineError if a size in it is none or beyond `LIMITS`, and whatever transformers raises for a bad config.
    """
    from transformers import AutoConfig

    path = folder / "config.json"
    for name, number in _numbers(json.loads(path.read_text("utf-8"))):
        most = next((most for ending, most in LIMITS if ending.search(name)), number)
        counts = POSITIVE.fullmatch(name) is not None
        whole = not counts or (number >= 1 and number == number // 1)
        if not number <= most or not whole:
            told = quoted(str(number), most=24)
            expected = f"at most {most:,}" if whole else f"a whole number from 1 to {most:,}"
            raise EngineError(f"{path} says {name}: {told}; expected {expected}: fetch or save it again")
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def build(config: Any) -> Any:
    """The model of a config, without memory for weights. Raises ValueError if it is no vision-language model's."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, trust_remote_code=False)


def dissect(model: Any) -> Anatomy:
    """Tell the parts of a model apart, with or without weights; it must not be quantised yet.

    Raises EngineError if its decoder cannot be found.
    """
    decoder = model.get_decoder()
    if decoder is model:
        raise EngineError(f"cannot find the decoder of {type(model).__name__}; expected a language_model or text_model")
    counts = dict.fromkeys(("vision tower", "projector", "decoder", "embeddings and head"), 0)
    seen: set[int] = set()
    for part, module in _parts(model, decoder):
        for parameter in module.parameters():
            counts[part] += 0 if id(parameter) in seen else parameter.numel()
            seen.add(id(parameter))
    kept = (*_outside(model, decoder, ""), *_heads_within(decoder, model))
    return Anatomy(counts, tuple(_linear(model, decoder)), kept)


def is_kept(model: Any, name: str, kept: tuple[str, ...]) -> bool:
    """Whether a module is left alone: by us, or by its family, which may insist on 32 bits for it."""
    sensitive = getattr(model, "_keep_in_fp32_modules", None) or ()
    return any(f"{name}.".startswith(f"{one}.") for one in kept) or any(one in name.split(".") for one in sensitive)


def _numbers(found: Any, name: str = "") -> Iterator[tuple[str, int | float]]:
    """All numbers in what JSON holds, with the names that they go by; those of a list go by the list's."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _numbers(value, key)
    elif isinstance(found, list):
        for value in found:
            yield from _numbers(value, name)
    elif isinstance(found, int | float):
        yield name, found


def _parts(model: Any, decoder: Any) -> Iterator[tuple[str, Any]]:
    """Modules of each part; what was counted before is not counted again."""
    for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
        if embedding is not None:
            yield "embeddings and head", embedding
    yield "decoder", decoder
    tower = model.get_encoder(modality="image")
    if tower is not model:
        # Qwen's projector stands inside of its tower.
        yield from (("projector", module) for name, module in tower.named_children() if "merger" in name)
        yield "vision tower", tower
    yield "projector", model


def _outside(module: Any, decoder: Any, name: str) -> Iterator[str]:
    """Names of the largest modules that hold no part of the decoder."""
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        if child is decoder:
            continue
        if any(part is decoder for part in child.modules()):
            yield from _outside(child, decoder, full)
        else:
            yield full


def _heads_within(decoder: Any, model: Any) -> Iterator[str]:
    """The name of the output embedding, if the decoder brings it along."""
    head = model.get_output_embeddings()
    if head is not None and any(part is head for part in decoder.modules()):
        yield from (name for name, module in model.named_modules() if module is head)


def _linear(model: Any, decoder: Any) -> Iterator[Linear]:
    import torch

    ours = {id(module) for module in decoder.modules()}
    heads = tuple(_heads_within(decoder, model))
    for name, module in model.named_modules():
        if type(module) is torch.nn.Linear and id(module) in ours and not is_kept(model, name, heads):
            yield Linear(name, module.out_features, module.in_features)


def _four_bit_bytes(weights: int) -> int:
    """Two weights a byte, a byte for the scale of each block, and float32 scales of those."""
    blocks = -(-weights // BLOCK)
    return -(-weights // 2) + blocks + 4 * -(-blocks // SCALES)
