"""Tiny vision-language checkpoints with random weights, made by code and saved the ordinary way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cot.engine import Message, Request
from cot.engine.local import LocalEngine
from cot.image import LoadedImage

SENTENCES = ["how many cats are there in the image", "yes no red green blue", "the answer is three 1 2 3"]
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
CONTEXT_TOKENS = 256


def byte_level_tokenizer(*special: str) -> Any:
    """A byte-level BPE of some 300 tokens. Ids: <pad> 0, <s> 1, </s> 2, <image> 3, <end> 4, then `special`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", "<image>", "<end>", *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    extra = {"image_token": "<image>", **{name.strip("<>"): name for name in names[4:]}}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=extra
    )


def text_settings(vocab_size: int) -> dict[str, Any]:
    """A two-layer Llama with a few logits that no token has, as padded checkpoints do."""
    return {
        "vocab_size": vocab_size + 12,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        # Spread enough for lively text: with the default, greedy decoding repeats one token.
        "initializer_range": 0.6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def save_llava(folder: Path, **generation: Any) -> Path:
    """A tiny LLaVA: CLIP of 28-pixel images (4 image tokens) and Llama; stored as bfloat16."""
    import torch
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level_tokenizer()
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer))),
        image_token_id=3,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = transformers.LlavaForConditionalGeneration(config).to(torch.bfloat16)
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    size = {"height": 28, "width": 28}
    transformers.LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def save_idefics3(folder: Path) -> Path:
    """A tiny Idefics3 (the family of SmolVLM), which cuts images into tiles and has a processor of its own kind."""
    import torch
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    transformers = pytest.importorskip("transformers")
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    tokenizer = byte_level_tokenizer("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles)
    config = transformers.Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config=transformers.LlamaConfig(**text_settings(len(tokenizer))),
        image_token_id=3,
        scale_factor=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = transformers.Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    transformers.Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def picture() -> Callable[..., LoadedImage]:
    """Makes plain images."""

    def make(color: str = "red", *, width: int = 40, height: int = 30) -> LoadedImage:
        return LoadedImage(Image.new("RGB", (width, height), color), sha256=f"{color}{width}x{height}", source=color)

    return make


@pytest.fixture(scope="session")
def ask(picture: Callable[..., LoadedImage]) -> Callable[..., Request]:
    """Makes requests of one user message; without content, one about a red image."""

    def make(*content: str | LoadedImage, max_tokens: int = 12, **settings: Any) -> Request:
        return Request((Message("user", content or (picture(), "how many cats")),), max_tokens, **settings)

    return make


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA checkpoint whose generation configuration names two end tokens and tries to change every answer."""
    return save_llava(
        tmp_path_factory.mktemp("llava"),
        eos_token_id=[2, 4],
        do_sample=True,
        temperature=3.0,
        top_k=7,
        repetition_penalty=5.0,
        min_length=50,
        suppress_tokens=[*range(60, 200)],
    )


@pytest.fixture(scope="session")
def idefics3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Idefics3 checkpoint."""
    return save_idefics3(tmp_path_factory.mktemp("idefics3"))


@pytest.fixture(scope="session")
def engine(llava_folder: Path) -> Iterator[LocalEngine]:
    """One engine for all tests that leave it open and unchanged."""
    shared = LocalEngine.load(llava_folder, device="cpu")
    yield shared
    asyncio.run(shared.close())


@pytest.fixture
async def own_engine(llava_folder: Path) -> AsyncIterator[LocalEngine]:
    """An engine that the test may break or close."""
    own = LocalEngine.load(llava_folder, device="cpu")
    yield own
    await own.close()
