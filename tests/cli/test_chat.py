"""`cot chat` on a pipe."""

import asyncio
import json
import os
import re
import signal
import sys

import pytest
from PIL import Image
from runs import script

import cot.cli
from cot.chat import engines
from cot.chat.commands import images
from cot.cli import ask as ask_module
from cot.engine import ScriptedEngine

APPLES = "Are there more apples than cars?"


@pytest.fixture
def cot_chat(tmp_path, monkeypatch, capfd):
    """Runs `cot chat` with a scripted model and given lines; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    Image.new("RGB", (8, 6), "blue").save("blue one.png")
    monkeypatch.setenv("COT_TRACE_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv("COT_STRATEGY", "decompose")

    def run(*arguments, lines="", replies=None):
        monkeypatch.setattr(ask_module, "load_engine", lambda settings: ScriptedEngine(replies or script()))
        path = tmp_path / "stdin"
        path.write_bytes(lines.encode("utf-8", "surrogateescape"))
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = cot.cli.main(["chat", *arguments])
        return code, *capfd.readouterr()

    return run


def test_a_line_in_gives_a_line_out(cot_chat):
    code, out, err = cot_chat("red.png", lines=f"{APPLES}\n\n/strategy direct\nIs it red?\r\n'blue one.png'\nAnd now?")
    assert (code, out) == (0, "yes\nyes\nyes\n")
    assert "├─ #1 How many apples are there?  count" in err
    assert "[2] blue one.png 8 x 6" in err


def test_the_mark_that_a_text_begins_with_is_no_part_of_a_line(cot_chat):
    code, out, _ = cot_chat("--json", "--strategy", "direct", lines="\ufeff/image red.png\n\ufeffIs it red?\n")
    assert (code, json.loads(out)["question"]) == (0, "Is it red?")


def test_templates_of_the_current_folder_are_named(cot_chat, root, tmp_path):
    own = tmp_path / "prompts" / "direct"
    own.mkdir(parents=True)
    (own / "answer.jinja").write_text((root / "prompts" / "direct" / "answer.jinja").read_text())
    err = cot_chat("red.png", lines="")[2]
    assert err.startswith(f"note: templates in {tmp_path / 'prompts'} come before the shipped ones\n[1] red.png")


def test_json_is_one_object_a_message(cot_chat):
    code, out, _ = cot_chat("red.png", "--json", lines=f"{APPLES}\nmissing/../\n/nowhere/x.png what?\n")
    first, second, third = map(json.loads, out.splitlines())
    assert (code, first["answer"], first["value"], first["stop_reason"]) == (1, "yes", True, "answered")
    assert (first["images"][0]["source"], first["model"]["name"]) == ("red.png", "scripted")
    assert second["question"] == "missing/../"
    assert (third["answer"], third["stop_reason"]) == (None, "error")
    assert "does not exist" in third["notes"][0]
    assert list(third) == list(first)


def test_retry_prints_the_new_answer(cot_chat):
    replies = iter(["yes", "no"])
    code, out, _ = cot_chat(
        "red.png", "--strategy", "direct", lines="red?\n/retry\n/stats\n", replies=lambda request: next(replies)
    )
    assert (code, out) == (0, "yes\nno\n")


@pytest.mark.parametrize("line", ["/image 'blue one.png'", "/model other"])
def test_an_interrupt_while_something_is_opened_or_loaded_ends_the_pipe(cot_chat, monkeypatch, line):
    waited = []

    async def finished(outcome):
        """Ctrl-C comes while the first work in the background is waited for."""
        if not waited:
            waited.append(outcome)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(20)
        return await wait(outcome)

    wait = engines.finished
    for module in (engines, images):
        monkeypatch.setattr(module, "finished", finished)
    code, out, err = cot_chat("red.png", lines=f"{line}\nred?\n")
    assert (code, out, len(waited)) == (130, "", 1)
    assert "interrupted" in err


def test_what_has_no_answer_is_unknown_and_counts(cot_chat):
    code, out, err = cot_chat(lines="What is this?\n")
    assert (code, out) == (1, "unknown\n")
    assert "error: there is no image to ask about" in err


def test_hostile_text_is_harmless(cot_chat):
    hostile = "\x1b[2J\x1b]0;owned\x07red\u202e\nnext" + "x" * 20_000
    code, out, err = cot_chat("red.png", "--strategy", "direct", lines="what?\n", replies=[hostile])
    assert (code, out) == (0, f"red next{'x' * 20_000}\n"), "whole, as cot ask prints it"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", out + err)


def test_a_line_that_is_too_long_is_one_line(cot_chat):
    lines = f"{'x' * 200_000}\nred?\n/system {'y' * 200_000}\n{'é' * 10_000}\n"
    code, out, err = cot_chat("red.png", "--strategy", "direct", lines=lines)
    assert (code, out) == (1, "unknown\nyes\nyes\n")
    assert err.count("the message has more than 10,000 characters") == 2


def test_resume_on_a_pipe(cot_chat):
    assert cot_chat("red.png", "--strategy", "direct", lines="what?\n/save one\n")[0] == 0
    code, out, _ = cot_chat("--resume", "one", "blue one.png", "--json", lines="and?\n")
    assert (code, len(json.loads(out)["images"])) == (0, 2)
    code, _, err = cot_chat("--resume", "two")
    assert (code, err) == (2, "error: there is no conversation 'two'; known: one\n")


def test_a_wrong_image_is_said_before_anything_is_asked(cot_chat):
    code, out, err = cot_chat("gone.png", lines="what?\n")
    assert (code, out) == (1, "")
    assert err.startswith("error: image 'gone.png' does not exist")


def test_an_unknown_preview_is_a_wrong_command_line_also_on_a_pipe(cot_chat):
    code, _, err = cot_chat("red.png", "--preview", "film")
    assert (code, "got --preview film; expected auto, kitty" in err) == (2, True)


def test_an_unknown_strategy_is_a_wrong_command_line(cot_chat):
    code, _, err = cot_chat("red.png", "--strategy", "guess")
    assert (code, "unknown strategy 'guess'" in err) == (2, True)


@pytest.mark.parametrize("model", ["embedded", "https://models.example/v1#eyes"])
def test_what_was_named_in_a_conversation_holds_where_a_folder_names_a_server(cot_chat, tmp_path, model):
    assert cot_chat("red.png", lines=f"/model {model}\n/save one\n")[0] == 0
    (tmp_path / "cot.toml").write_text('model = "https://models.example/v1#eyes"\n')
    code, out, err = cot_chat("--resume", "one", "--strategy", "direct", lines="Is it red?\n")
    assert (code, out) == (0, "yes\n"), err
