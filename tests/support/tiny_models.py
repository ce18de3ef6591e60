"""Tiny vision-language checkpoints with random weights, one of each family, made by code and saved the ordinary way."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from cot.engine.local.image_only import image_only

# Its signatures are made at run time, and its types do not know them.
transformers: Any = importlib.import_module("transformers")

SENTENCES = ["how many cats are there in the image", "yes no red green blue", "the answer is three 1 2 3"]
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
CONTEXT_TOKENS = 256
IMAGE_ID, VIDEO_ID, START_ID, END_ID, LIMIT_ID = 3, 5, 6, 7, 4


def byte_level_tokenizer(*special: str) -> Any:
    """A byte-level BPE of some 300 tokens.

    Ids: <pad> 0, <s> 1, </s> 2, <image> 3, <end> 4, <video> 5, <start_image> 6, <end_image> 7, then `special`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", "<image>", "<end>", "<video>", "<start_image>", "<end_image>", *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    extra = {
        "image_token": "<image>", "context_image_token": "<image>", "video_token": "<video>",
        "start_image_token": "<start_image>", "end_image_token": "<end_image>", "boi_token": "<start_image>",
        "eoi_token": "<end_image>", "vision_start_token": "<start_image>", "vision_end_token": "<end_image>",
        "end": "<end>", **{name.strip("<>"): name for name in special},
    }  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=extra
    )


def text_settings(vocab_size: int, **more: Any) -> dict[str, Any]:
    """A two-layer decoder with a few logits that no token has, as padded checkpoints do."""
    return {
        "vocab_size": vocab_size + 12,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": CONTEXT_TOKENS,
        # Spread enough for lively text: with the default, greedy decoding repeats one token.
        "initializer_range": 0.6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **more,
    }


VISION: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def _save(folder: Path, model_class: Any, config: Any, processor: Any, **generation: Any) -> Path:
    torch.manual_seed(0)
    model = model_class(config).to(torch.bfloat16)
    for name, value in {"eos_token_id": 2, **generation}.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


WIDE: Final = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
"""A decoder that can be run in 4 bits on a CPU, which wants inputs in multiples of 64; keys are only 16 wide."""


def llava(folder: Path, *, text: dict[str, Any] | None = None, **generation: Any) -> Path:
    """CLIP of 28-pixel images (4 image tokens) and Llama, whose settings `text` changes."""
    config, processor = llava_parts(text or {}, VISION, 28)
    return _save(folder, transformers.LlavaForConditionalGeneration, config, processor, **generation)


def llava_parts(text: dict[str, Any], vision: dict[str, Any], side: int) -> tuple[Any, Any]:
    """Config and processor of a LLaVA of any size. side: of its images in pixels; patches are 14 pixels wide."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = byte_level_tokenizer()
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**vision, image_size=side, patch_size=14),
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer), **text)),
        image_token_id=IMAGE_ID, vision_feature_select_strategy="default", vision_feature_layer=-1,
    )  # fmt: skip
    size = {"height": side, "width": side}
    processor = transformers.LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size), tokenizer, patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=TEMPLATE,
    )  # fmt: skip
    return config, processor


def llava_next(folder: Path) -> Path:
    """Images cut into tiles by their shape."""
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tokenizer = byte_level_tokenizer()
    grid = [[28, 56], [56, 28], [56, 56]]
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION, image_size=28, patch_size=14),
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer))),
        image_token_index=IMAGE_ID, vision_feature_layer=-1, image_grid_pinpoints=grid, image_seq_length=4,
    )  # fmt: skip
    size = {"height": 28, "width": 28}
    processor = transformers.LlavaNextProcessor(
        LlavaNextImageProcessorPil(size={"shortest_edge": 28}, crop_size=size, image_grid_pinpoints=grid), tokenizer,
        patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=TEMPLATE,
    )  # fmt: skip
    return _save(folder, transformers.LlavaNextForConditionalGeneration, config, processor)


def llava_onevision(folder: Path) -> Path:
    """SigLIP, tiles by shape, Qwen2."""
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    tokenizer = byte_level_tokenizer()
    grid = [[28, 56], [56, 28], [56, 56]]
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**VISION, image_size=28, patch_size=14, vision_use_head=False),
        text_config=transformers.Qwen2Config(**text_settings(len(tokenizer))),
        image_token_index=IMAGE_ID, video_token_index=VIDEO_ID, image_grid_pinpoints=grid,
    )  # fmt: skip
    processor = image_only(transformers.LlavaOnevisionProcessor)(
        LlavaOnevisionImageProcessorPil(size={"height": 28, "width": 28}, image_grid_pinpoints=grid), tokenizer,
        num_image_tokens=4, vision_feature_select_strategy="full", chat_template=TEMPLATE,
    )  # fmt: skip
    return _save(folder, transformers.LlavaOnevisionForConditionalGeneration, config, processor)


def _qwen_processor(kind: Any, patch: int) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    side = 2 * patch
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": side * side, "longest_edge": 6 * side * side}, patch_size=patch, merge_size=2
    )
    template = TEMPLATE.replace("<image>", "<start_image><image><end_image>")
    return image_only(kind)(images, byte_level_tokenizer(), chat_template=template)


def _qwen_tokens() -> dict[str, int]:
    return {
        "image_token_id": IMAGE_ID, "video_token_id": VIDEO_ID, "vision_start_token_id": START_ID,
        "vision_end_token_id": END_ID,
    }  # fmt: skip


def _rope(**more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], **more}


def qwen2_vl(folder: Path) -> Path:
    """Images of any size, positions of three axes."""
    processor = _qwen_processor(transformers.Qwen2VLProcessor, 14)
    config = transformers.Qwen2VLConfig(
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
        text_config=text_settings(len(processor.tokenizer), rope_parameters=_rope()), **_qwen_tokens(),
    )  # fmt: skip
    return _save(folder, transformers.Qwen2VLForConditionalGeneration, config, processor)


def qwen2_5_vl(folder: Path) -> Path:
    """A vision tower with windows, positions of three axes."""
    processor = _qwen_processor(transformers.Qwen2_5_VLProcessor, 14)
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
            "window_size": 56, "fullatt_block_indexes": [1],
        },
        text_config=text_settings(len(processor.tokenizer), rope_parameters=_rope()), **_qwen_tokens(),
    )  # fmt: skip
    return _save(folder, transformers.Qwen2_5_VLForConditionalGeneration, config, processor)


def qwen3_vl(folder: Path) -> Path:
    """Features of several vision layers enter several text layers; positions of three axes, interleaved."""
    processor = _qwen_processor(transformers.Qwen3VLProcessor, 16)
    config = transformers.Qwen3VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
        },
        text_config=text_settings(len(processor.tokenizer), rope_parameters=_rope(mrope_interleaved=True)),
        **_qwen_tokens(),
    )  # fmt: skip
    return _save(folder, transformers.Qwen3VLForConditionalGeneration, config, processor)


def internvl(folder: Path) -> Path:
    """InternViT, pixel shuffle, Qwen2."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    tokenizer = byte_level_tokenizer()
    config = transformers.InternVLConfig(
        vision_config=transformers.InternVLVisionConfig(**VISION, image_size=[56, 56], patch_size=[14, 14]),
        text_config=transformers.Qwen2Config(**text_settings(len(tokenizer))),
        image_token_id=IMAGE_ID, image_seq_length=4, tie_word_embeddings=False,
    )  # fmt: skip
    images = GotOcr2ImageProcessorPil(
        size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=3
    )
    processor = image_only(transformers.InternVLProcessor)(
        images, tokenizer, image_seq_length=4, chat_template=TEMPLATE
    )
    return _save(folder, transformers.InternVLForConditionalGeneration, config, processor)


def _pixtral_processor(merge: int) -> Any:
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    tokenizer = byte_level_tokenizer("<break>")
    return transformers.PixtralProcessor(
        PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size={"height": 14 * merge, "width": 14 * merge}),
        tokenizer, patch_size=14, spatial_merge_size=merge, image_token="<image>", image_break_token="<break>",
        image_end_token="<end_image>", chat_template=TEMPLATE,
    )  # fmt: skip


def pixtral(folder: Path) -> Path:
    """LLaVA around a Pixtral tower: images of any size, a row of patches after another."""
    processor = _pixtral_processor(1)
    config = transformers.LlavaConfig(
        vision_config=transformers.PixtralVisionConfig(**VISION, image_size=56, patch_size=14),
        text_config=transformers.MistralConfig(**text_settings(len(processor.tokenizer), sliding_window=None)),
        image_token_id=IMAGE_ID, vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    return _save(folder, transformers.LlavaForConditionalGeneration, config, processor)


def mistral3(folder: Path) -> Path:
    """A Pixtral tower with merged patches, Mistral."""
    processor = _pixtral_processor(2)
    config = transformers.Mistral3Config(
        vision_config=transformers.PixtralVisionConfig(**VISION, image_size=56, patch_size=14),
        text_config=transformers.MistralConfig(**text_settings(len(processor.tokenizer), sliding_window=None)),
        image_token_index=IMAGE_ID, spatial_merge_size=2, tie_word_embeddings=False,
    )  # fmt: skip
    return _save(folder, transformers.Mistral3ForConditionalGeneration, config, processor)


def _tiles() -> list[str]:
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    return ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *rows]


def idefics3(folder: Path) -> Path:
    """Images cut into tiles with tokens between them."""
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    tokenizer = byte_level_tokenizer(*_tiles())
    config = transformers.Idefics3Config(
        vision_config={**VISION, "image_size": 32, "patch_size": 8},
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer))),
        image_token_id=IMAGE_ID, scale_factor=2, pad_token_id=0,
    )  # fmt: skip
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = transformers.Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    return _save(folder, transformers.Idefics3ForConditionalGeneration, config, processor)


def smolvlm(folder: Path) -> Path:
    """Idefics3 as SmolVLM has it."""
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    tokenizer = byte_level_tokenizer(*_tiles())
    config = transformers.SmolVLMConfig(
        vision_config={**VISION, "image_size": 32, "patch_size": 8},
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer))),
        image_token_id=IMAGE_ID, scale_factor=2, pad_token_id=0,
    )  # fmt: skip
    images = SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = image_only(transformers.SmolVLMProcessor)(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    return _save(folder, transformers.SmolVLMForConditionalGeneration, config, processor)


def gemma3(folder: Path) -> Path:
    """Sliding windows, and image tokens that see each other both ways: no running batch."""
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    tokenizer = byte_level_tokenizer()
    text = text_settings(len(tokenizer), sliding_window=16, query_pre_attn_scalar=16)
    config = transformers.Gemma3Config(
        vision_config=transformers.SiglipVisionConfig(**VISION, image_size=28, patch_size=14, vision_use_head=False),
        text_config=transformers.Gemma3TextConfig(**text), mm_tokens_per_image=4,
        boi_token_index=START_ID, eoi_token_index=END_ID, image_token_index=IMAGE_ID,
    )  # fmt: skip
    processor = transformers.Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 28, "width": 28}), tokenizer, image_seq_length=4,
        chat_template=TEMPLATE.replace("<image>", "<start_image>"),
    )  # fmt: skip
    return _save(folder, transformers.Gemma3ForConditionalGeneration, config, processor)


def paligemma(folder: Path) -> Path:
    """The whole prompt is seen both ways: no running batch."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = byte_level_tokenizer()
    images: Any = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = transformers.PaliGemmaProcessor(images, tokenizer, chat_template=TEMPLATE)
    text = text_settings(len(processor.tokenizer), model_type="gemma")
    config = transformers.PaliGemmaConfig(
        vision_config=transformers.SiglipVisionConfig(**VISION, image_size=28, patch_size=14, vision_use_head=False),
        text_config=transformers.GemmaConfig(**{k: v for k, v in text.items() if k != "model_type"}),
        image_token_index=IMAGE_ID, projection_dim=32, hidden_size=32,
    )  # fmt: skip
    return _save(folder, transformers.PaliGemmaForConditionalGeneration, config, processor)


BATCHED: Final[dict[str, Callable[[Path], Path]]] = {
    "llava": llava, "llava_next": llava_next, "llava_onevision": llava_onevision, "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl, "internvl": internvl, "pixtral": pixtral, "mistral3": mistral3,
    "idefics3": idefics3, "smolvlm": smolvlm,
}  # fmt: skip
"""Families that run as one batch."""

NEED_TORCHVISION: Final = ("pixtral", "mistral3")
"""Families whose processors cannot be made without it."""

ONE_BY_ONE: Final[dict[str, Callable[[Path], Path]]] = {"gemma3": gemma3, "paligemma": paligemma}
"""Families that do not."""
