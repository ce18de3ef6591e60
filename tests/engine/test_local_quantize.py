"""Quantisation: which layers shrink and which do not, what is refused, and that it answers without a sound."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
import transformers

from cot.engine import Request
from cot.engine.local import LocalEngine
from cot.engine.local.anatomy import build, dissect, read_config
from cot.engine.local.convert import save_quantized
from cot.engine.local.load import Loaded, load
from cot.engine.local.quantize import METHODS, compute_dtype, settings, verify
from cot.errors import EngineError
from cot.shipped import weights_folder

bitsandbytes = pytest.importorskip("bitsandbytes")

Ask = Callable[..., Request]
Checkpoint = Callable[[str], Path]

FAMILIES = [*tiny_models.BATCHED, *tiny_models.ONE_BY_ONE]
TYPES = {"nf4": bitsandbytes.nn.Linear4bit, "fp4": bitsandbytes.nn.Linear4bit, "int8": bitsandbytes.nn.Linear8bitLt}


@pytest.fixture(scope="session")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA checkpoint that can be run in 4 bits on a CPU."""
    return tiny_models.llava(tmp_path_factory.mktemp("wide"), text=tiny_models.WIDE)


def refusal(model: str | Path, **wanted: Any) -> str:
    with pytest.raises(EngineError) as caught:
        LocalEngine.load(model, **{"device": "cpu", **wanted})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_types(loaded: Loaded, method: str) -> None:
    """The decoder's linear layers are quantised, and nothing else is."""
    model = loaded.model
    decoder = {id(module) for module in model.get_decoder().modules()}
    counted = 0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert (type(module) is TYPES[method]) == (id(module) in decoder), name
            counted += id(module) in decoder
    assert counted >= 2 * 7
    assert type(model.get_output_embeddings()) is torch.nn.Linear


def decoder_bytes(loaded: Loaded) -> int:
    return sum(parameter.nbytes for parameter in loaded.model.get_decoder().layers.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_embedded_model_shrinks(method: str) -> None:
    folder = weights_folder()
    plain = load(folder, device="cpu", dtype="bfloat16")
    small = load(folder, device="cpu", dtype="bfloat16", quantize=method)
    check_types(small, method)
    assert small.info.quantization.startswith(method)
    assert plain.info.quantization == "none"
    assert decoder_bytes(small) / decoder_bytes(plain) < (0.51 if method == "int8" else 0.27)
    anatomy = dissect(build(read_config(folder)))
    assert anatomy.bytes("bfloat16") == sum(parameter.nbytes for parameter in plain.model.parameters())
    # The scales are no parameters, so the estimate is a little more than the sum of those.
    kept = sum(parameter.nbytes for parameter in small.model.parameters())
    assert kept < anatomy.bytes(method) < 1.02 * kept


@pytest.mark.parametrize("method", METHODS)
async def test_it_answers_and_makes_no_sound(
    wide_folder: Path, ask: Ask, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = LocalEngine.load(wide_folder, device="cpu", quantize=method)
    first = await engine.complete(ask())
    assert first.usage.completion_tokens > 0
    assert (await engine.complete(ask())).text == first.text
    await engine.close()
    assert capfd.readouterr() == ("", "")


async def test_names_of_what_was_done(wide_folder: Path) -> None:
    compute = "bfloat16" if bitsandbytes.functional.has_avx512bf16() else "float32"
    expected = {
        "nf4": f"nf4 (double, {compute} compute)",
        "fp4": f"fp4 (double, {compute} compute)",
        "int8": "int8 (outliers above 6 in float32)",
        "none": "none",
    }
    for method, text in expected.items():
        info = load(wide_folder, device="cpu", quantize=method).info
        assert (info.quantization, info.dtype, info.note) == (text, "float32", "")


def test_16_bits_are_multiplied_only_where_that_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported, expected in ((1, torch.bfloat16), (0, torch.float32)):
        monkeypatch.setattr(bitsandbytes.functional, "has_avx512bf16", lambda supported=supported: supported)
        assert compute_dtype("cpu") == compute_dtype("cpu:0") == expected
    for supported, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, found=supported: found)
        assert compute_dtype("cuda:1") == expected
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert compute_dtype("cpu") == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_family(family: str, checkpoint: Checkpoint, ask: Ask) -> None:
    loaded = load(checkpoint(family), device="cpu", quantize="int8")
    check_types(loaded, "int8")
    engine = LocalEngine(loaded)
    assert (await engine.complete(ask(max_tokens=4))).usage.image_tokens > 0
    await engine.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_add_up(family: str, checkpoint: Checkpoint) -> None:
    anatomy = dissect(build(read_config(checkpoint(family))))
    model = load(checkpoint(family), device="cpu").model
    assert anatomy.total == sum(parameter.numel() for parameter in model.parameters())
    assert all(anatomy.parameters.values()), anatomy.parameters


@pytest.mark.parametrize(("method", "most"), [("nf4", 0.13), ("fp4", 0.2), ("int8", 0.02)])
def test_every_layer_multiplies_right(wide_folder: Path, method: str, most: float) -> None:
    """On a CPU bitsandbytes gets weights of some widths wrong without a word, so what we allow is measured."""
    for folder in (wide_folder, weights_folder()):
        plain = load(folder, device="cpu").model
        small = load(folder, device="cpu", quantize=method).model
        for layer in dissect(plain).linear:
            inputs = torch.randn(3, 5, layer.inputs, generator=torch.Generator().manual_seed(0))
            with torch.inference_mode():
                expected = plain.get_submodule(layer.name)(inputs)
                error = small.get_submodule(layer.name)(inputs) - expected
            assert error.norm() / expected.norm() < most, layer


def test_refused(llava_folder: Path, wide_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(llava_folder, quantize="nf5") == "unknown quantisation 'nf5'; expected none, nf4, fp4, int8"
    assert "q_proj has 32 inputs, expected a multiple of 64; use int8" in refusal(llava_folder, quantize="nf4")
    monkeypatch.setattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    assert "bitsandbytes runs on cuda" in refusal(wide_folder, quantize="nf4")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert "pip install 'bitsandbytes>=0.50'" in refusal(wide_folder, quantize="nf4")


def test_layers_that_were_missed_or_should_have_been_kept(wide_folder: Path) -> None:
    anatomy = dissect(build(read_config(wide_folder)))
    plain = load(wide_folder, device="cpu").model
    with pytest.raises(EngineError, match="q_proj is Linear, expected Linear4bit"):
        verify(plain, "nf4", anatomy, "it")
    everywhere = settings("nf4", anatomy, "cpu")
    everywhere.llm_int8_skip_modules = []
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        wide_folder, quantization_config=everywhere, device_map={"": "cpu"}
    )
    with pytest.raises(EngineError, match="quantised too far: model.vision_tower"):
        verify(model, "nf4", anatomy, "it")


def test_importing_it_fetches_no_compiled_code() -> None:
    """Given a package `kernels`, bitsandbytes would download from the hub what it runs."""
    import subprocess

    code = (
        "import sys, types\nkernels = types.ModuleType('kernels')\n"
        "def get_kernel(*_, **__):\n    raise SystemExit('fetched')\n"
        "kernels.get_kernel = get_kernel\nsys.modules['kernels'] = kernels\n"
        "from cot.engine.local.quantize import import_bitsandbytes\nimport_bitsandbytes('cpu')\n"
        "assert sys.modules['kernels'] is kernels"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("family", ["qwen2_5_vl", "gemma3", "smolvlm"])
async def test_saved_checkpoints_of_other_families(
    family: str, checkpoint: Checkpoint, ask: Ask, tmp_path: Path
) -> None:
    save_quantized(checkpoint(family), tmp_path / "small", method="int8", device="cpu")
    texts = []
    for engine in (
        LocalEngine.load(tmp_path / "small", device="cpu"),
        LocalEngine.load(checkpoint(family), device="cpu", quantize="int8"),
    ):
        check_types(engine._runner._loaded, "int8")
        texts.append((await engine.complete(ask(max_tokens=6))).text)
        await engine.close()
    assert texts[0] == texts[1]
