"""What `--redact` leaves out never reaches the store of traces, whatever command keeps one."""

import json
import sys

import pytest
from PIL import Image
from runs import script

import cot.cli
from cot.cli import ask as ask_module
from cot.cli import eval_run
from cot.engine import ScriptedEngine
from cot.trace.read import find_trace, read_trace

SECRET = "xyzzy"
QUESTION = f"Is the {SECRET} on the table?"
TASK = """name: mine
version: 1
description: d
data: {loader: jsonl, path: data.jsonl}
question: question
answers: answer
images: image
metric: exact
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs `cot` with a scripted model that repeats the secret; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((8, 6)).convert("RGB").save("plugh.png")
    monkeypatch.setenv("COT_TRACE_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv("COT_STRATEGY", "decompose")

    def ran(*arguments, lines=""):
        def load(settings):
            return ScriptedEngine(script(f"1. [text] Is {SECRET} there?\nanswer: decide", {}, f"yes, {SECRET}"))

        for module in (ask_module, eval_run):
            monkeypatch.setattr(module, "load_engine", load)
        (tmp_path / "stdin").write_text(lines)
        with (tmp_path / "stdin").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = cot.cli.main(list(arguments))
        return code, *capfd.readouterr()

    return ran


def left(folder, *words):
    """Which words are in the names or the bytes of a store."""
    paths = list(folder.rglob("*"))
    assert any(path.name == "trace.jsonl" for path in paths)
    found = b"\n".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in paths)
    return [word for word in words if word.encode() in found]


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ((), [SECRET, "plugh", ".png"]),
        (("--redact", "prompts"), ["plugh", ".png"]),
        (("--redact", "images"), [SECRET]),
        (("--redact", "prompts,images"), []),
        (("--redact", "prompts", "--redact", "images"), []),
        (("--redact", "all"), []),
    ],
)
def test_a_question(run, tmp_path, options, stays):
    code, _, err = run("ask", "plugh.png", QUESTION, *options)
    assert code == 0, err
    # The user is told everything still.
    assert SECRET in err
    assert left(tmp_path / "traces", SECRET, "plugh", ".png") == stays


@pytest.mark.parametrize("way", ["flag", "variable", "file", "command"])
def test_a_conversation(run, tmp_path, monkeypatch, way):
    if way == "variable":
        monkeypatch.setenv("COT_REDACT", "all")
    elif way == "file":
        (tmp_path / "cot.toml").write_text('redact = "prompts,images"\n')
    options = ("--redact", "all") if way == "flag" else ()
    first = "/set redact all\n" if way == "command" else ""
    code, _, err = run("chat", "plugh.png", *options, lines=f"{first}{QUESTION}\nAnd {SECRET} now?\n")
    assert code == 0, err
    assert left(tmp_path / "traces", SECRET, "plugh", ".png") == []
    assert run("trace", "list", "--json", "--text", SECRET)[1].strip() == "[]"
    assert len(json.loads(run("trace", "list", "--json")[1])) == 2


def test_an_evaluation(run, tmp_path):
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "data.jsonl").write_text(json.dumps({"question": QUESTION, "image": "plugh.png", "answer": "yes"}))
    code, _, err = run("eval", "task.yaml", "--out", "runs", "--trace", "--redact", "all")
    assert code in (0, 1), err
    assert left(tmp_path / "runs" / "traces", SECRET, "plugh", ".png") == []
    (path,) = (tmp_path / "runs" / "traces").glob("*/trace.jsonl")
    assert read_trace(path).started.settings["task"] == "mine"
    code, _, err = run("eval", "task.yaml", "--redact", "all")
    assert (code, err.count("\n")) == (2, 1)
    assert "got --redact without --trace" in err


def test_the_command_line_wins_over_the_setting(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COT_REDACT", "all")
    assert run("ask", "plugh.png", QUESTION, "--redact", "none")[0] == 0
    assert left(tmp_path / "traces", SECRET, ".png") == [SECRET, ".png"]


def test_what_is_no_redaction_is_said_before_anything_is_asked(run, tmp_path):
    code, _, err = run("ask", "plugh.png", QUESTION, "--redact", "none", "--redact", "prompts")
    assert (code, err) == (2, "error: --redact: got 'none,prompts'; expected text like 'none', 'prompts', 'images', "
                              "'prompts,images', 'all'\n")  # fmt: skip
    assert not (tmp_path / "traces").exists()


def test_every_verb_takes_what_was_left_out(run, tmp_path):
    for options in ((), ("--redact", "all")):
        assert run("ask", "plugh.png", QUESTION, *options)[0] == 0
    last = find_trace("last", tmp_path / "traces")
    other = next(path for path in (tmp_path / "traces").glob("*/trace.jsonl") if path != last)
    without, whole = sorted((last, other), key=lambda path: SECRET in path.read_text())
    assert "recorded without prompts, images and answers" in run("trace", "show", str(without), "--full")[1]
    for verb in (("html",), ("export", "--otel", "-", "--content"), ("export", "--json", "-")):
        code, out, _ = run("trace", verb[0], str(without), *verb[1:])
        assert (code, SECRET in out, "plugh" in out) == (0, False, False)
    assert "not compared" in run("trace", "diff", str(whole), str(without))[1]
    for options in ((), ("--live",)):
        code, _, err = run("trace", "replay", str(without), *options)
        assert (code, err.count("\n")) == (1, 1)
        assert "was recorded without prompts, images and answers, so it cannot be asked again" in err
    assert run("trace", "prune", "--max-size", "1B")[0] == 0
