"""Loading: what is refused, in one line, and what never happens (downloads, foreign code, noise)."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cot.engine import Request
from cot.engine.local import LocalEngine
from cot.engine.local import source as source_module
from cot.engine.local.describe import describe
from cot.engine.local.source import find_settings, find_source
from cot.errors import ConfigError, EngineError

Ask = Callable[..., Request]


@pytest.fixture
def copied(llava_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llava_folder, tmp_path / "copy"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(model: str | Path, **settings: Any) -> str:
    with pytest.raises(EngineError) as caught:
        LocalEngine.load(model, **{"device": "cpu", **settings})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_not_a_model(tmp_path: Path) -> None:
    assert "no model folder at '/no/such/folder'" in refusal("/no/such/folder")
    assert "no model folder at '~no-such-user/model'" in refusal("~no-such-user/model")
    assert len(refusal("a" * 5000)) < 500
    assert "hub id owner/name" in refusal("just-a-name")
    assert "no model folder" in refusal(Path("owner/name"))
    for server in ("localhost:8000/v1", "localhost/v1", "gpu-box.lan:8000", "10.0.0.7:80/v1#some/model"):
        assert f"begins with http://, did you mean 'http://{server}'?" in refusal(server)
    assert "has no config.json" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert "no *.safetensors weights" in refusal(tmp_path)
    assert "the model's name is empty; expected a checkpoint folder" in refusal("")


def test_bad_settings(llava_folder: Path) -> None:
    assert "unknown dtype 'int3'; expected auto, float32" in refusal(llava_folder, dtype="int3")
    assert "unknown device 'gpu'" in refusal(llava_folder, device="gpu")
    assert "only a hub id has revisions" in refusal(llava_folder, revision="main")


def test_no_chat_template(copied: Path) -> None:
    (copied / "chat_template.jinja").unlink()
    assert "has no chat template" in refusal(copied)


def test_malformed_files(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"\x00" * 64)
    assert "cannot load the model of" in refusal(copied)
    (copied / "config.json").write_text("{")
    assert "cannot load the" in refusal(copied)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("text_config", "num_hidden_layers", 10**6),
        ("text_config", "vocab_size", 10**30),
        ("vision_config", "image_size", 2**20),
        ("text_config", "max_position_embeddings", 10**400),
    ],
)
def test_absurd_sizes_are_refused_before_they_are_built(copied: Path, part: str, name: str, value: int) -> None:
    settings = json.loads((copied / "config.json").read_text())
    edit_json(copied / "config.json", **{part: {**settings[part], name: value}})
    start = time.monotonic()
    assert f"config.json says {name}: '1" in refusal(copied)
    with pytest.raises(EngineError, match=f"config.json says {name}: .*; expected at most [0-9,]+: fetch or save it"):
        describe(copied)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("part", "name", "value", "told"),
    [
        ("text_config", "num_hidden_layers", -1, "-1"),
        ("text_config", "num_hidden_layers", 1.5, "1.5"),
        ("text_config", "num_attention_heads", 0, "0"),
        ("vision_config", "hidden_size", -64, "-64"),
        ("vision_config", "patch_size", float("nan"), "nan"),
    ],
)
def test_sizes_that_nothing_can_have_are_refused(copied: Path, part: str, name: str, value: float, told: str) -> None:
    settings = json.loads((copied / "config.json").read_text())
    edit_json(copied / "config.json", **{part: {**settings[part], name: value}})
    assert f"config.json says {name}: '{told}'; expected a whole number from 1 to " in refusal(copied)
    with pytest.raises(EngineError, match=f"says {name}: '{told}'; expected a whole number from 1 to [0-9,]+: fetch"):
        describe(copied)


def test_weights_of_another_shape_are_named(copied: Path) -> None:
    settings = json.loads((copied / "config.json").read_text())
    wider = {**settings["text_config"], "intermediate_size": 96}
    edit_json(copied / "config.json", text_config=wider)
    said = refusal(copied)
    assert "has 6 weights of another shape than its config says (first: " in said
    assert "mlp.down_proj.weight, got [32, 64], expected [32, 96]); fetch or save it again" in said


def test_missing_weights(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    dropped = next(name for name in weights if "mlp.up_proj" in name)
    save_file({name: weight for name, weight in weights.items() if name != dropped}, copied / "model.safetensors")
    assert "lacks 1 of its weights" in refusal(copied)


def test_text_model(copied: Path) -> None:
    transformers = pytest.importorskip("transformers")
    for name in ("processor_config.json", "config.json", "model.safetensors"):
        (copied / name).unlink()
    size = {"vocab_size": 321, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(num_attention_heads=1, **size)).save_pretrained(copied)
    edit_json(copied / "tokenizer_config.json", processor_class=None)
    assert str(copied) in refusal(copied)


def test_code_in_a_checkpoint_never_runs(copied: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (copied / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n")
    names = {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil", "AutoProcessor": "evil.Evil"}
    edit_json(copied / "config.json", model_type="evil", auto_map=names)
    edit_json(copied / "processor_config.json", auto_map=names, processor_class="Evil")
    refusal(copied)
    assert not proof.exists()


def test_revision_follows_the_files(copied: Path, llava_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = find_source(llava_folder).revision
    assert find_source(copied).revision == original
    settings = copied / "config.json"
    before = settings.read_text()
    settings.write_text(before + " ")
    assert find_source(copied).revision != original
    settings.write_text(before)
    assert find_source(copied).revision == original
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    assert find_source(copied).revision != original
    monkeypatch.setattr(source_module, "HASHED_WHOLE_BYTES", 0)
    assert find_source(copied).revision.startswith("sha256-sampled:")


async def test_other_dtype(llava_folder: Path, ask: Ask) -> None:
    engine = LocalEngine.load(llava_folder, device="cpu", dtype="bfloat16")
    assert engine.info.dtype == "bfloat16"
    assert (await engine.complete(ask(max_tokens=5))).usage.completion_tokens == 5
    await engine.close()


async def test_quiet_and_offline(
    llava_folder: Path, ask: Ask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[Any] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_: looked_up.append(args))
    engine = LocalEngine.load(llava_folder, device="cpu")
    await engine.complete(ask())
    await engine.close()
    assert capfd.readouterr() == ("", "")
    assert looked_up == []


def test_what_is_in_the_cache_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--some-model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    assert find_settings("someone/some-model", fetch=False) == snapshot
    # Whoever only looked at what a model is has none of its weights.
    with pytest.raises(ConfigError, match="'someone/some-model' is not whole in the local cache"):
        find_source("someone/some-model", fetch=False)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert find_source("someone/some-model", fetch=False).folder == snapshot
    with pytest.raises(ConfigError, match="'someone/other' is not whole in the local cache"):
        find_settings("someone/other", fetch=False)


def test_hub_out_of_reach(tmp_path: Path) -> None:
    code = (
        "from cot.engine.local import LocalEngine\nfrom cot.errors import EngineError\n"
        "try:\n    LocalEngine.load('someone/some-model')\nexcept EngineError as error:\n    print(error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert time.monotonic() - start < 20
    assert done.stdout.startswith("cannot get someone/some-model from http://127.0.0.1:9: not in the local cache")
    assert "local checkpoint folder" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
