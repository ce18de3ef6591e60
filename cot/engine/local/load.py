"""Load a checkpoint: processor, model, and what is known about both.

In: a folder or hub id, a device and a dtype. Out: `Loaded`. Weights are read from safetensors only, and
code that a checkpoint brings along is never run.
"""

import gc
import importlib.util
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cot.engine.base import EngineInfo
from cot.engine.local import quantize as quantization
from cot.engine.local.anatomy import build, dissect, read_config
from cot.engine.local.source import Source, find_source
from cot.errors import DeviceNameError, EngineError, reason

DTYPES = ("float32", "bfloat16", "float16")
FLOAT32_MAX_BYTES = 2 * 2**30
"""Checkpoints up to this size on disk are widened to float32 on a CPU; twice their size fits most machines."""

FITS = 1.1
"""A model is spread over devices if its weights, times this, are more than what the first GPU has free."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to generate.

    eos_ids: every token that ends an answer. pad_id: fills rows that have ended.
    image_token_id: the placeholder that stands for a piece of an image, if the family has one.
    """

    model: Any
    processor: Any
    tokenizer: Any
    info: EngineInfo
    eos_ids: tuple[int, ...]
    pad_id: int
    image_token_id: int | None


def load(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    revision: str | None = None,
    fetch: bool = True,
) -> Loaded:
    """Load any `AutoModelForImageTextToText` checkpoint.

    device: auto (CUDA if there is any, else CPU), cpu, cuda, cuda:N, mps.
    dtype: auto (float32 on CPU up to 2 GiB of weights, else bfloat16; 16 bits on a GPU), float32, bfloat16, float16.
    quantize: none (as the checkpoint is), nf4, fp4 or int8: the decoder's linear layers shrink.
    fetch: whether the hub may be asked for a hub id, which has to be in the cache if not.
    Raises EngineError if the checkpoint is missing, malformed, incomplete, or no vision-language model, or if it
    cannot be quantised as asked, and ConfigError as `find_source`.
    """
    quantization.check_method(quantize)
    if dtype != "auto" and dtype not in DTYPES:
        raise EngineError(f"unknown dtype {dtype!r}; expected auto, {', '.join(DTYPES)}")
    seconds: dict[str, float] = {}
    with _timed(seconds, "files"):
        source = find_source(model, revision=revision, fetch=fetch)
    with _timed(seconds, "import"):
        import_quietly()
    target = pick_device(device)
    weights_dtype = _pick_dtype(dtype, target, source.weight_bytes)
    with _timed(seconds, "config"), _clear_errors(source, "config"):
        config = read_config(source.folder)
    with _timed(seconds, "processor"), _clear_errors(source, "processor"):
        processor = load_processor(source.folder, source.name)
    with _timed(seconds, "model"), _clear_errors(source, "model"):
        network = _load_model(source, config, device, target, weights_dtype, quantize)
    return _describe(source, processor, network, seconds)


def _describe(source: Source, processor: Any, network: Any, seconds: dict[str, float]) -> Loaded:
    import torch
    import transformers

    eos_ids = _eos_ids(network, processor.tokenizer)
    # An empty configuration: what a checkpoint suggests (a temperature, a penalty, a minimal length)
    # must not change answers behind the back of a request.
    network.generation_config = transformers.GenerationConfig()
    config = network.config
    placed = devices(network)
    info = EngineInfo(
        model=source.name,
        revision=source.revision,
        dtype=str(network.dtype).removeprefix("torch."),
        quantization=quantization.describe(network),
        device=", ".join(placed) or str(network.device),
        context_tokens=context_tokens(config),
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
        load_seconds=seconds,
        note=_offloaded(placed),
    )
    pad = processor.tokenizer.pad_token_id
    pad_id = pad if pad is not None else next(iter(eos_ids), 0)
    return Loaded(network, processor, processor.tokenizer, info, eos_ids, pad_id, image_token_id(config, processor))


def load_processor(folder: Path, name: str) -> Any:
    """The processor of a checkpoint folder. Raises EngineError if it cannot see or has no chat template."""
    from transformers import AutoProcessor

    try:
        processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ImportError, OSError) as error:
        if importlib.util.find_spec("torchvision") or "ideo processor" not in str(error):
            raise
        from cot.engine.local.image_only import load_image_only

        processor = load_image_only(folder)
    if not hasattr(processor, "image_processor"):
        raise EngineError(
            f"{name} has no image processor, so it cannot see; expected a vision-language checkpoint "
            "(with processor_config.json or preprocessor_config.json)"
        )
    if processor.chat_template is None:
        processor.chat_template = getattr(processor.tokenizer, "chat_template", None)
    if not processor.chat_template:
        raise EngineError(
            f"{name} has no chat template, so questions cannot be put to it; "
            "add chat_template.jinja to its folder, or use its instruction-tuned variant"
        )
    return processor


def _load_model(source: Source, config: Any, device: str, target: str, dtype: str, quantize: str) -> Any:
    """device: as the user named it. target: the one that it comes to."""
    import torch
    from transformers import AutoModelForImageTextToText

    stored = quantization.stored_method(config)
    if quantize not in ("none", stored) and stored != "none":
        raise EngineError(
            f"{source.name} is already quantised ({stored}), got --quantize {quantize}; leave that out, "
            "or name the checkpoint that it was made from"
        )
    shrinks = stored == "none" != quantize
    anatomy = dissect(build(config)) if shrinks else None
    placement: dict[str, Any] = {"device_map": None if target == "cpu" else target}
    if shrinks or stored in quantization.METHODS:
        quantization.import_bitsandbytes(target)
        placement = {"device_map": {"": target}}
    if anatomy:
        quantization.check_shapes(anatomy.linear, quantize, target, source.name)
        placement["quantization_config"] = quantization.settings(quantize, anatomy, target)
    if device == "auto" and target == "cuda":
        weights = anatomy.bytes(quantize) if anatomy else source.weight_bytes
        if weights * FITS > torch.cuda.mem_get_info()[0]:
            placement["device_map"] = "auto"
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        source.folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        dtype=getattr(torch, dtype),
        output_loading_info=True,
        **placement,
    )
    network, report = loaded
    # transformers names them in a report of many lines only, and here each of them is an error.
    if mismatched := sorted(report["mismatched_keys"]):
        name, stored_shape, shape = mismatched[0]
        raise EngineError(
            f"{source.name} has {len(mismatched)} weights of another shape than its config says (first: {name}, "
            f"got {list(stored_shape)}, expected {list(shape)}); fetch or save it again"
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise EngineError(
            f"{source.name} lacks {len(missing)} of its weights (first: {missing[0]}), which would be random; "
            "expected a complete checkpoint: fetch or save it again"
        )
    if anatomy:
        quantization.verify(network, quantize, anatomy, source.name)
    elif stored in quantization.METHODS:
        quantization.check_shapes(quantization.four_bit_layers(network), stored, target, source.name)
        quantization.cast_kept(network, getattr(torch, dtype))
    quantization.avoid_packing(network)
    return network.eval()


def pick_device(device: str) -> str:
    """The device that a name comes to: auto is cuda or cpu.

    Raises DeviceNameError if it is that of none, and EngineError if it is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise DeviceNameError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in available:
        raise DeviceNameError(f"unknown device {device!r}; expected auto, cpu, cuda, cuda:N or mps")
    if not available[kind]:
        raise EngineError(f"device {device!r} is not available on this machine; use auto or cpu")
    index = torch.device(device).index
    if kind == "cuda" and index is not None and index >= torch.cuda.device_count():
        raise EngineError(
            f"device {device!r} does not exist; this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return device


def _pick_dtype(dtype: str, device: str, weight_bytes: int) -> str:
    import torch

    if dtype != "auto":
        return dtype
    if device == "cpu":
        return "float32" if weight_bytes <= FLOAT32_MAX_BYTES else "bfloat16"
    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16"


def _eos_ids(network: Any, tokenizer: Any) -> tuple[int, ...]:
    """All end tokens: the generation configuration may name several, and the tokenizer another."""
    named = getattr(network.generation_config, "eos_token_id", None)
    if named is None:
        named = getattr(network.config.get_text_config(), "eos_token_id", None)
    ids = list(named) if isinstance(named, list | tuple) else [named]
    return tuple(dict.fromkeys(int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None))


def context_tokens(config: Any) -> int:
    """The longest prompt plus answer, 0 if unknown."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 0)


def image_token_id(config: Any, processor: Any) -> int | None:
    """The placeholder that stands for a piece of an image, if the family has one."""
    for owner, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        if isinstance(getattr(owner, name, None), int):
            return int(getattr(owner, name))
    return None


def devices(network: Any) -> list[str]:
    """Where a model's layers lie, if that is more than one place."""
    places = {str(place) for place in (getattr(network, "hf_device_map", None) or {}).values()}
    named = sorted(f"cuda:{place}" if place.isdecimal() else place for place in places)
    return named if len(named) > 1 else []


def _offloaded(placed: list[str]) -> str:
    slow = [place for place in placed if place in ("cpu", "disk")]
    if not slow:
        return ""
    return f"the model does not fit the GPU: part of it lies on {' and '.join(slow)}, which is slow; try --quantize"


def import_quietly() -> None:
    """Import torch and transformers; keep their warnings and progress bars off the user's terminal."""
    absent = [name for name in ("torch", "transformers", "llguidance") if importlib.util.find_spec(name) is None]
    if absent:
        raise EngineError(f"the local engine needs {', '.join(absent)}: pip install {' '.join(absent)}")
    # The imports allocate millions of objects and free almost none: collecting meanwhile costs a tenth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: F401
        from transformers.utils import logging as transformers_logging
    finally:
        if collecting:
            gc.enable()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"(torch|transformers|huggingface_hub|accelerate|bitsandbytes)\b")


@contextmanager
def _clear_errors(source: Source, part: str) -> Iterator[None]:
    """Turn whatever transformers raises for a bad checkpoint into one line."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"cannot load the {part} of {source.name}: {reason(error)}") from error


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start
