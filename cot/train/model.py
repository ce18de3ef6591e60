"""Builds the embedded model from nothing: configuration, tokenizer, processor, random weights.

A plain LLaVA: CLIP vision tower, two-layer projector, Llama decoder.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from cot.train.data import corpus
from cot.train.sample import GRID, INPUT_PIXELS, PATCH_PIXELS

SPECIAL_TOKENS: Final = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<image>")
PREFIX_TOKENS: Final = 2 + GRID * GRID
"""`<s>`, `<|user|>` and the image."""
CONTEXT_TOKENS: Final = 1024
ROPE_THETA: Final = 1e8
"""Three quarters of a head's width hardly turn within a prompt, and are left for what things are, wherever they lie."""

CHAT_TEMPLATE: Final = (
    "<s>{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """Widths and depths."""

    vision_width: int
    vision_layers: int
    vision_heads: int
    text_width: int
    text_layers: int
    text_heads: int
    text_mlp: int
    vocabulary: int


SIZES: Final = {
    "tiny": Size(32, 2, 2, 32, 2, 2, 64, 640),
    "embedded": Size(256, 6, 4, 256, 5, 4, 768, 2048),
}
"""Sizes by name: `tiny` is for tests, `embedded` is what ships."""


def train_tokenizer(vocabulary: int, *, samples: int) -> Tokenizer:
    """A byte-level BPE tokenizer for what the generators say; digits stay single."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(0, samples), trainer)
    return tokenizer


def build_processor(tokenizer: Tokenizer) -> Any:
    """The LLaVA processor around a tokenizer: resizes to `INPUT_PIXELS` squared, no crop."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>", "<image>"],
        model_max_length=CONTEXT_TOKENS, padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
    images = CLIPImageProcessorPil(
        size={"height": INPUT_PIXELS, "width": INPUT_PIXELS}, do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5],
    )  # fmt: skip
    return LlavaProcessor(
        image_processor=images, tokenizer=fast, patch_size=PATCH_PIXELS, chat_template=CHAT_TEMPLATE,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, image_token="<image>",
    )  # fmt: skip


def build_model(size: Size, tokenizer: Tokenizer) -> Any:
    """A LLaVA of this size with random weights, float32."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    special: dict[str, Any] = {name: tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    vision = CLIPVisionConfig(
        hidden_size=size.vision_width, intermediate_size=3 * size.vision_width, num_hidden_layers=size.vision_layers,
        num_attention_heads=size.vision_heads, image_size=INPUT_PIXELS, patch_size=PATCH_PIXELS, hidden_act="gelu",
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=size.text_width, intermediate_size=size.text_mlp, num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads, num_key_value_heads=size.text_heads, vocab_size=tokenizer.get_vocab_size(),
        initializer_range=size.text_width**-0.5, max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=special["<s>"], eos_token_id=special["</s>"],
        pad_token_id=special["<pad>"], tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=special["<image>"],
        vision_feature_layer=-1, vision_feature_select_strategy="default", image_seq_length=GRID * GRID,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    _start_decoder(model)
    generation = model.generation_config
    generation.bos_token_id, generation.eos_token_id = special["<s>"], special["</s>"]
    generation.pad_token_id, generation.do_sample = special["<pad>"], False
    return model


def _start_decoder(model: Any) -> None:
    """Random weights from which a small decoder learns soon (docs/log.md).

    Queries equal keys and outputs are values transposed, so that a token first looks for what resembles it, such as a
    patch of what it names, and copies that; what a token is outweighs what a layer adds to it; and the logits start
    as the transposed embeddings. The default standard deviation of 0.02 suits widths of thousands: a small decoder
    hardly leaves it.
    """
    import torch

    decoder = model.model.language_model
    with torch.no_grad():
        for layer in decoder.layers:
            attention = layer.self_attn
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)
            for last in (attention.o_proj, layer.mlp.down_proj):
                last.weight.mul_((2 * len(decoder.layers)) ** -0.5)
        decoder.embed_tokens.weight.normal_()
        model.lm_head.weight.copy_(decoder.embed_tokens.weight / 32)


def save(model: Any, processor: Any, folder: Path) -> None:
    """Write an ordinary checkpoint folder, weights in bfloat16."""
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)
    # safetensors lets nobody else read what it writes, whatever the umask says.
    for path in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", path)
