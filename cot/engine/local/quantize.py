"""Quantisation by bitsandbytes (Dettmers et al. 2022, LLM.int8(); 2023, QLoRA): what is asked, done, and checked.

The decoder's linear layers shrink. The vision tower, the projector, the embeddings and the head are kept as they
are. Loading itself is not done here.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from cot.engine.local.anatomy import Anatomy, Linear, is_kept
from cot.errors import EngineError

METHODS = ("nf4", "fp4", "int8")
CPU_INPUTS = 64
"""Inputs of a 4-bit layer must be a multiple of this on a CPU. bitsandbytes 0.50 reads other weights wrongly there
(measured: 32, 96 or 160 inputs give two to three times the error), and says nothing."""
PACKED_OUTPUTS = 32
"""Its fast kernel for CPUs wants outputs to be a multiple of this."""


def stored_method(config: Any) -> str:
    """How a checkpoint is quantised on disk: none, nf4, fp4, int8, or the name of another library's method."""
    stored = getattr(config, "quantization_config", None) or getattr(
        config.get_text_config(), "quantization_config", None
    )
    if stored is None:
        return "none"
    found = stored if isinstance(stored, dict) else stored.to_dict()
    if found.get("load_in_4bit"):
        return str(found.get("bnb_4bit_quant_type", "fp4"))
    return "int8" if found.get("load_in_8bit") else str(found.get("quant_method") or "unknown")


def check_method(method: str) -> None:
    """Raises EngineError for a method that is not known."""
    if method not in ("none", *METHODS):
        raise EngineError(f"unknown quantisation {method!r}; expected none, {', '.join(METHODS)}")


def import_bitsandbytes(device: str) -> Any:
    """The library, quiet, and without the compiled code that it would fetch from the hub when imported.

    Raises EngineError if it is missing or does nothing for the device.
    """
    # It says how it casts at every product of matrices.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    fetching = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        import bitsandbytes
    except ImportError as error:
        raise EngineError(
            "quantised models need bitsandbytes: pip install 'bitsandbytes>=0.50', or leave out --quantize"
        ) from error
    finally:
        del sys.modules["kernels"]
        if fetching is not None:
            sys.modules["kernels"] = fetching
    kind = device.split(":")[0]
    if kind not in bitsandbytes.supported_torch_devices:
        known = ", ".join(sorted(bitsandbytes.supported_torch_devices))
        raise EngineError(f"cannot quantise on {device}: bitsandbytes runs on {known}; choose another --device")
    return bitsandbytes


def settings(method: str, anatomy: Anatomy, device: str) -> Any:
    """What transformers is told: the method, how to compute, and which modules to leave alone."""
    from transformers import BitsAndBytesConfig

    kept = list(anatomy.kept)
    if method == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype(device),
        llm_int8_skip_modules=kept,
    )


def verify(model: Any, method: str, anatomy: Anatomy, name: str) -> None:
    """Hold a loaded model to what was asked, layer by layer. Raises EngineError."""
    quantized = dict(_quantized(model))
    wanted = "Linear8bitLt" if method == "int8" else "Linear4bit"
    for layer in anatomy.linear:
        got = type(quantized.pop(layer.name, model.get_submodule(layer.name))).__name__
        if got != wanted:
            raise EngineError(
                f"{name} was not quantised to {method}: {layer.name} is {got}, expected {wanted}; "
                "leave out --quantize, or try another method"
            )
    for extra in quantized:
        if is_kept(model, extra, anatomy.kept):
            raise EngineError(
                f"{name} was quantised too far: {extra} is {type(quantized[extra]).__name__}, but the vision tower, "
                "the projector and the head are to be kept; leave out --quantize"
            )


def check_shapes(layers: Iterable[Linear], method: str, device: str, name: str) -> None:
    """Raises EngineError if the device would get the sums of 4-bit layers wrong."""
    if device != "cpu" or method == "int8":
        return
    for layer in layers:
        if layer.inputs % CPU_INPUTS:
            raise EngineError(
                f"cannot run {name} in 4 bits on a CPU: {layer.name} has {layer.inputs} inputs, expected a multiple of "
                f"{CPU_INPUTS}; use int8, or a GPU"
            )


def four_bit_layers(model: Any) -> list[Linear]:
    """The 4-bit layers of a loaded model."""
    return [
        Linear(name, layer.out_features, layer.in_features)
        for name, layer in _quantized(model)
        if type(layer).__name__ == "Linear4bit"
    ]


def cast_kept(model: Any, dtype: Any) -> None:
    """Bring what is not quantised to one number format.

    transformers 5.23 leaves it as a quantised checkpoint has it, whatever is asked for, and then mixes formats.
    """
    for name, parameter in model.named_parameters():
        stored = type(parameter).__name__ in ("Params4bit", "Int8Params")
        if not stored and parameter.is_floating_point() and not is_kept(model, name, ()):
            parameter.data = parameter.data.to(dtype)


def avoid_packing(model: Any) -> None:
    """Let layers whose outputs the fast CPU kernel refuses take the plain one."""
    for _, layer in _quantized(model):
        if layer.out_features % PACKED_OUTPUTS and getattr(layer, "support_avx512bf16_for_cpu", False):
            layer.support_avx512bf16_for_cpu = False


def describe(model: Any) -> str:
    """How a loaded model is quantised, for people: `nf4 (double, bfloat16 compute)`."""
    _, layer = next(_quantized(model), ("", None))
    if layer is None:
        return stored_method(model.config)
    if type(layer).__name__ == "Linear8bitLt":
        threshold = float(layer.state.threshold)
        return f"int8 (outliers above {threshold:g} in {_plain(model.dtype)})" if threshold else "int8"
    double = "double, " if layer.weight.compress_statistics else ""
    return f"{layer.weight.quant_type} ({double}{_plain(layer.compute_dtype)} compute)"


def _quantized(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and modules of the layers that bitsandbytes runs."""
    library = sys.modules.get("bitsandbytes")
    kinds = (library.nn.Linear4bit, library.nn.Linear8bitLt) if library else ()
    return ((name, module) for name, module in model.named_modules() if isinstance(module, kinds))


def compute_dtype(device: str) -> Any:
    """What to multiply in on a device where 32 bits are not needed: 16 of them, if that is fast.

    On a CPU without AVX512-BF16, products of bfloat16 take a hundred times as long as those of float32.
    """
    import torch

    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.startswith("cpu"):
        try:
            library = import_bitsandbytes("cpu")
        except EngineError:  # there is none for every system
            return torch.float32
        return torch.bfloat16 if library.functional.has_avx512bf16() else torch.float32
    return torch.float16


def _plain(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
