"""`cot models`: real checkpoints, a real cache of the hub's layout, real quantised folders."""

import asyncio
import json
import shutil

import pytest
import tiny_models
from PIL import Image

import cot.cli
from cot.cli.models import size
from cot.engine import Message, Request
from cot.engine.local import LocalEngine
from cot.image import LoadedImage
from cot.shipped import weights_folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    return tiny_models.llava(folder, text=tiny_models.WIDE, eos_token_id=[2, 4])


@pytest.fixture
def models(capfd):
    """Runs `cot models`; gives the exit code, stdout and stderr."""

    def run(*arguments):
        code = cot.cli.main(["models", *map(str, arguments)])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch, wide):
    """A cache of the hub with one vision-language model, one text model, and one without weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, family, weights in (("seeing", None, True), ("reading", "llama", True), ("bare", None, False)):
        snapshot = tmp_path / "hub" / f"models--someone--{name}" / "snapshots" / ("0" * 40)
        shutil.copytree(wide, snapshot)
        refs = snapshot.parent.parent / "refs"
        refs.mkdir()
        (refs / "main").write_text("0" * 40)
        if family:
            (snapshot / "config.json").write_text(json.dumps({"model_type": family}))
        if not weights:
            (snapshot / "model.safetensors").unlink()
    return tmp_path / "hub"


def answer(folder):
    engine = LocalEngine.load(folder, device="cpu")
    image = LoadedImage(Image.new("RGB", (40, 30), "red"), sha256="red", source="red")
    text = asyncio.run(engine.complete(Request((Message("user", (image, "how many cats")),), 12))).text
    asyncio.run(engine.close())
    return text, engine.info


def test_list(models, cache):
    code, out, err = models("list", "--json")
    assert (code, err) == (0, "")
    found = [(one["model"], one["vision_language"], one["has_weights"]) for one in json.loads(out)]
    expected = [("bare", True, False), ("reading", False, True), ("seeing", True, True)]
    assert found == [("embedded", True, True), *((f"someone/{name}", *rest) for name, *rest in expected)]
    code, out, _ = models("list")
    assert (code, len(out.splitlines())) == (0, 5)
    assert "someone/reading" in out


def test_list_without_a_cache(models, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    code, out, _ = models("list", "--json")
    assert code == 0
    assert [one["model"] for one in json.loads(out)] == ["embedded"]


def test_info_reads_no_weights(models, wide, tmp_path):
    folder = shutil.copytree(wide, tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    code, out, err = models("info", folder, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["family"], found["architecture"]) == ("llava", "LlavaForConditionalGeneration")
    assert (found["context_tokens"], found["image_tokens"], found["stored"]) == (256, 4, "none")
    memory = found["memory"]
    assert memory["float32"] == 4 * sum(found["parameters"].values()) == 2 * memory["bfloat16"]
    assert memory["nf4"] < memory["int8"] < memory["bfloat16"]
    text = models("info", folder)[1]
    assert "projector" in text
    assert "LlavaForConditionalGeneration" in text


def test_info_of_the_embedded_model(models):
    code, out, _ = models("info", "embedded", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["image_tokens"] == 196
    # The file holds the same weights, and a header.
    assert 0 <= (weights_folder() / "model.safetensors").stat().st_size - found["memory"]["bfloat16"] < 100_000


def test_info_of_what_is_none(models, tmp_path):
    for verb in (["info"], ["quantize", tmp_path / "small"]):
        code, _, err = models(verb[0], "http://localhost/v1", *verb[1:])
        assert code == 2
        assert "got the server 'http://localhost/v1', whose weights are not here" in err
        assert "name the checkpoint that it serves" in err
    assert not (tmp_path / "small").exists()
    assert "no model folder" in models("info", tmp_path / "none")[2]
    assert models("info", "")[2].startswith("error: the model's name is empty; expected ")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    code, _, err = models("info", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: cannot make out {tmp_path}: ")


@pytest.mark.parametrize("method", ["nf4", "int8"])
def test_quantize_then_load_again(models, wide, tmp_path, method):
    out = tmp_path / "deep" / "small"
    code, printed, err = models("quantize", wide, out, "--quantize", method, "--device", "cpu")
    assert (code, printed) == (0, "")
    assert err.startswith(f"wrote {out}: {method} (")
    assert sorted(path.name for path in out.parent.iterdir()) == ["small"]
    for name in ("chat_template.jinja", "tokenizer.json", "generation_config.json"):
        assert (out / name).read_bytes() == (wide / name).read_bytes()
    # Others may read the weights where they may read the rest.
    assert len({(path.stat().st_mode & 0o777) for path in out.iterdir()}) == 1
    assert (out / "model.safetensors").stat().st_size < (wide / "model.safetensors").stat().st_size
    again, info = answer(out)
    assert info.quantization.startswith(method)
    fresh = LocalEngine.load(wide, device="cpu", quantize=method)
    assert fresh._runner._loaded.eos_ids == LocalEngine.load(out, device="cpu")._runner._loaded.eos_ids == (2, 4)
    assert again
    assert f'"stored": "{method}"' in models("info", out, "--json")[1]
    assert "is already quantised" in models("quantize", out, tmp_path / "again", "--device", "cpu")[2]
    other = "fp4" if method == "nf4" else "nf4"
    with pytest.raises(cot.errors.EngineError, match=rf"already quantised \({method}\), got --quantize {other}"):
        LocalEngine.load(out, device="cpu", quantize=other)
    assert LocalEngine.load(out, device="cpu", quantize=method).info.quantization == info.quantization


def test_quantize_refuses(models, wide, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert f"error: {tmp_path} is not empty" in models("quantize", wide, tmp_path)[2]
    assert "is not empty" in models("quantize", wide, tmp_path / "file")[2]
    assert "expected nf4, fp4, int8" in models("quantize", wide, tmp_path / "new", "--quantize", "none")[2]
    assert not (tmp_path / "new").exists()
    for place in (".", tmp_path / ".."):
        assert "expected the name of a new folder" in models("quantize", wide, place)[2]
    assert (tmp_path / "file").read_text() == "mine"


def test_quantize_makes_its_folder_before_it_loads(models, wide, tmp_path):
    folder = shutil.copytree(wide, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"")
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "out", tmp_path / ("long" * 100)):
        code, printed, err = models("quantize", folder, out, "--device", "cpu")
        assert (code, printed, err.count("\n")) == (1, "", 1)
        assert err.startswith(f"error: cannot write to {out}: ")
        assert err.endswith("; expected a place for a new folder: name another\n")
    assert "cannot load the model" in models("quantize", folder, tmp_path / "new", "--device", "cpu")[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "file"]


def test_sizes():
    assert [size(count) for count in (0, 1023, 1024, 18_800_000, 3 * 2**30)] == [
        "0 B", "1023 B", "1.0 KiB", "17.9 MiB", "3.0 GiB",
    ]  # fmt: skip
