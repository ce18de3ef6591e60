"""Errors that name a setting say where it was set, if not on the command line."""

import pytest
from PIL import Image

import cot.cli
from cot.cli.set_by import set_by_told
from cot.config import load_settings, with_setting
from cot.engine.remote.address import parse_address
from cot.errors import CotError
from cot.settings import NAMES

TRACES = ["--trace-dir", "traces"]


@pytest.fixture
def said(tmp_path, monkeypatch, capfd):
    """Runs a command in a folder with a picture; gives the exit code, and the one line on stderr."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")

    def run(line, toml="", **environment):
        (tmp_path / "cot.toml").write_text(toml)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = cot.cli.main(line.split(" "))
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        return code, err.rstrip("\n")

    return run


@pytest.mark.parametrize("line", ["ask red.png x", "eval shapes", "chat red.png"])
def test_an_unknown_strategy(said, line):
    code, err = said(line, COT_STRATEGY="guess")
    assert code == 2
    assert err.startswith("error: unknown strategy 'guess'")
    assert err.endswith("; strategy is set by COT_STRATEGY")


def test_a_file_is_named_too(said):
    assert said("ask red.png x", 'strategy = "guess"\n')[1].endswith("; strategy is set by cot.toml")


@pytest.mark.parametrize("line", ["ask red.png x --strategy dance", "eval shapes --strategy dance"])
def test_what_the_command_line_says_is_not_blamed_on_others(said, line):
    code, err = said(line, COT_STRATEGY="direct", COT_DEVICE="cpu")
    assert code == 2
    assert err.startswith("error: unknown strategy 'dance'")
    assert "set by" not in err


def test_a_model_and_a_folder(said, tmp_path):
    assert said(" ".join(["ask red.png x", *TRACES]), COT_MODEL="guess")[1].endswith("; model is set by COT_MODEL")
    code, err = said("ask red.png x", COT_TRACE_DIR=str(tmp_path / "red.png"))
    assert (code, err.endswith("; trace_dir is set by COT_TRACE_DIR")) == (1, True)


@pytest.mark.parametrize("verb", ["list", "show last", "prune --older-than 1d"])
def test_a_folder_that_is_none_where_traces_are_looked_at(said, tmp_path, verb):
    code, err = said(f"trace {verb}", 'trace_dir = "red.png"\n')
    assert (code, err.endswith("; trace_dir is set by cot.toml")) == (1, True)


def test_a_strategy_in_which_templates_are_compared(said):
    line = "prompts compare chat/summary chat/follow_up --task shapes --step direct/answer"
    code, err = said(line, COT_STRATEGY="guess")
    assert err.startswith("error: unknown strategy 'guess'")
    assert (code, err.endswith("; strategy is set by COT_STRATEGY")) == (2, True)


def test_only_the_setting_that_is_wrong_is_named(said):
    line = " ".join(["ask red.png x --model http://127.0.0.1:9/v1", *TRACES])
    code, err = said(line, COT_KV_MEMORY="1GiB", COT_DEVICE="cpu")
    assert code == 2
    assert err.startswith("error: got --kv-memory 1GiB for the server")
    assert err.endswith("; kv_memory is set by COT_KV_MEMORY")


@pytest.mark.parametrize(
    ("environment", "wrong", "told"),
    [
        ({"COT_MODEL": "/m/a=b"}, "no step b", ""),
        ({"COT_MODEL": "/m/a=b"}, "no model in '/m/a=b'", "model"),
        ({"COT_TRACE_DIR": "/t/a,b"}, "no step b", ""),
        ({"COT_MODEL": "http://host/v1#tiny"}, "the server has no model 'tiny'", "model"),
        ({"COT_TEMPLATES": "direct/answer=terse/answer"}, "no template 'terse/answer'", "templates"),
        ({"COT_KV_MEMORY": "auto"}, "got 'auto' for a model", ""),
        ({"COT_QUANTIZE": "none"}, "there are none of that name", ""),
        ({"COT_QUANTIZE": "none"}, "got --quantize none", "quantize"),
        ({"COT_COMPILE": "true"}, "got True", ""),
    ],
)
def test_a_setting_is_named_by_its_whole_value_or_its_option(tmp_path, environment, wrong, told):
    settings, _ = load_settings({}, environment=environment, folder=tmp_path)
    with pytest.raises(CotError) as caught, set_by_told(settings, *NAMES):
        raise CotError(wrong)
    assert str(caught.value) == wrong + (f"; {told} is set by COT_{told.upper()}" if told else "")


def test_a_value_that_was_changed_comes_from_nowhere_else(tmp_path):
    settings, _ = load_settings({"seed": 3}, environment={"COT_MODEL": "a/b", "COT_SEED": "4"}, folder=tmp_path)
    assert (settings.set_by("model"), settings.set_by("seed"), settings.set_by("device")) == ("COT_MODEL", "", "")
    assert settings.model_copy(update={"model": "c/d"}).set_by("model") == ""
    typed = with_setting(settings, "model", "a/b")
    assert (typed.set_by("model"), settings.set_by("model")) == ("", "COT_MODEL")


@pytest.mark.parametrize("line", ["ask red.png x", "chat red.png", "eval shapes --limit 1", "calibrate"])
def test_a_folder_cannot_send_images_to_another_machine(said, line):
    code, err = said(line, 'model = "https://models.example/v1#eyes"\n')
    assert code == 2
    assert "is on another machine and would get your images and COT_API_KEY; if you trust it" in err
    assert err.endswith("; model is set by cot.toml")


@pytest.mark.parametrize("host", ["localhost", "127.8.0.1", "[::1]"])
def test_a_folder_may_name_a_server_on_this_machine(host):
    assert parse_address(f"http://{host}:9/v1").here
    assert not parse_address(f"http://{host.strip('[]').replace(':', '')}.example:9/v1").here
    assert not parse_address("http://a.localhost:9/v1").here


def test_a_server_that_the_user_names_too_is_asked(said):
    code, err = said(
        " ".join(["ask red.png x", *TRACES]), 'model = "http://name.invalid/v1"\n', COT_MODEL="http://name.invalid/v1"
    )
    assert code == 1
    assert "another machine" not in err


def test_a_folder_has_no_model_fetched(said, monkeypatch):
    looked_up = []

    def no_network(*arguments, **_):
        looked_up.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    for line in ("ask red.png x", "eval shapes --limit 1"):
        code, err = said(line, 'model = "someone/some-model"\n')
        assert (code, looked_up) == (2, [])
        assert "name it yourself, with --model or COT_MODEL" in err
        assert err.endswith("; model is set by cot.toml")
    code, err = said("ask red.png x", COT_MODEL="someone/some-model")
    assert (code, bool(looked_up)) == (1, True)
