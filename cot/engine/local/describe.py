"""What a model is, and what it would take to run it: from its config and processor alone, no weights are read.

In: a checkpoint folder or hub id. Out: `Description`; and the models that are on this machine.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cot.engine.local.anatomy import build, dissect, read_config
from cot.engine.local.load import context_tokens, image_token_id, import_quietly, load_processor
from cot.engine.local.quantize import stored_method
from cot.engine.local.source import find_settings
from cot.errors import EngineError, reason

PRECISIONS = ("float32", "bfloat16", "int8", "nf4")
IMAGE_SIZE = (640, 480)
"""A typical image: width and height in pixels."""


@dataclass(frozen=True)
class Description:
    """A model.

    family: transformers' model type. architecture: its class. stored: how it is quantised on disk.
    parameters: by part. memory: bytes of the weights by precision; quantised, only the decoder's linear layers shrink.
    context_tokens: 0 if unknown. image_tokens: what an image of `IMAGE_SIZE` takes, None if that cannot be told.
    """

    model: str
    family: str
    architecture: str
    stored: str
    parameters: dict[str, int]
    memory: dict[str, int]
    context_tokens: int
    image_tokens: int | None


@dataclass(frozen=True)
class Found:
    """A model on this machine. vision_language: whether it takes images; None if its config does not say."""

    model: str
    folder: Path
    bytes: int
    vision_language: bool | None
    has_weights: bool


def describe(model: str | Path) -> Description:
    """Describe a checkpoint folder, or a hub id, whose small files are fetched if they are not in its cache.

    Raises EngineError if it cannot be found, or is no vision-language model that transformers knows.
    """
    folder = find_settings(model)
    import_quietly()
    try:
        config = read_config(folder)
        skeleton = build(config)
        anatomy = dissect(skeleton)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"cannot make out {model}: {reason(error)}") from error
    return Description(
        model=str(model),
        family=config.model_type,
        architecture=type(skeleton).__name__,
        stored=stored_method(config),
        parameters=anatomy.parameters,
        memory={precision: anatomy.bytes(precision) for precision in PRECISIONS},
        context_tokens=context_tokens(config),
        image_tokens=_image_tokens(folder, str(model), config),
    )


def on_this_machine() -> list[Found]:
    """The models in the hub's local cache, by name. A cache that is not there has none."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except (CacheNotFound, ValueError):
        return []
    found = []
    for repository in cache.repos:
        if repository.repo_type == "model" and repository.revisions:
            newest = max(repository.revisions, key=lambda one: ("main" in one.refs, one.last_modified))
            found.append(found_in(newest.snapshot_path, repository.repo_id, repository.size_on_disk))
    return sorted(found, key=lambda one: one.model)


def found_in(folder: Path, name: str, size: int | None = None) -> Found:
    """What a checkpoint folder holds. size: bytes on disk, of its files if None."""
    if size is None:
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return Found(name, folder, size, _sees(folder), any(folder.glob("*.safetensors")))


def _sees(folder: Path) -> bool | None:
    import_quietly()
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    try:
        family = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
    return family in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES if isinstance(family, str) else None


def _image_tokens(folder: Path, name: str, config: Any) -> int | None:
    """Count them in a prompt of one image."""
    from PIL import Image

    turn = {"role": "user", "content": [{"type": "image", "image": Image.new("RGB", IMAGE_SIZE)}]}
    try:
        processor = load_processor(folder, name)
        inputs = processor.apply_chat_template([turn], tokenize=True, return_dict=True, return_tensors="pt")
        # Whatever is missing or unusual there: the rest is worth telling.
    except Exception:
        return None
    token = image_token_id(config, processor)
    return None if token is None else int((inputs["input_ids"] == token).sum())
