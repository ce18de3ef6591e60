"""What people read: in words, without colours that vanish, on narrow terminals, and for screen readers."""

import dataclasses
import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from cot.chat.event import Said, WentOn
from cot.chat.screen import Screen
from cot.chat.status import toolbar
from cot.engine import ScriptedEngine
from cot.engine.scripted import SCRIPTED_INFO

APPLES = "Are there more apples than cars?"


def shown(chat, *, words_only=False, **how):
    console = Console(file=io.StringIO(), width=40, legacy_windows=False, **how)
    screen = Screen(console, words_only=words_only)
    for event in (*chat.events, Said("w", "warning"), Said("e", "error")):
        screen.show(event, "full")
    return console.file.getvalue()


def test_colours_can_be_read_on_light_and_dark_backgrounds(talk):
    chat = talk().say("red.png", APPLES, "/trace", "/nope")
    chat.say("/set max_steps 1", "/retry")
    text = shown(chat, force_terminal=True, color_system="truecolor")
    colours = {int(code) for codes in re.findall(r"\x1b\[([0-9;]*)m", text) for code in codes.split(";") if code}
    normal, bold, dim, italic, red, magenta = 0, 1, 2, 3, 31, 35
    assert {red, magenta} < colours <= {normal, bold, dim, italic, red, magenta}


def test_words_only_draws_nothing(talk):
    text = shown(talk().say("red.png", APPLES), words_only=True, color_system=None)
    assert "step: #1 How many apples are there?  count\n" in text
    assert "\nanswer: yes" in text
    assert text.isascii()


def test_what_was_said_before_is_shown_with_its_images(talk):
    chat = talk(strategy="direct").say("red.png", "first?", "/drop 1", "blue.png", "second?", "red.png")
    console = Console(file=io.StringIO(), width=200)
    Screen(console).show(WentOn(chat.session.conversation, "one"), "full")
    lines = console.file.getvalue().splitlines()
    here, red, blue = "images from here on:", "[{}] red.png 8 x 6", "[{}] blue.png 8 x 6"
    assert [line for line in lines if line.startswith(("[", "image", "> "))] == [
        *(here, red.format(1), "> first?", here, blue.format(1), "> second?", here, blue.format(1), red.format(2)),
    ]


@pytest.mark.parametrize("columns", [20, 40, 60, 90, 100])
def test_a_terminal_breaks_lines_between_words(talk, columns):
    chat = talk().say("red.png", APPLES, "/stats", "/sessions", "/nope", "/help")
    path = f"/{'folder/' * 20}file.png"
    chat.session.say(f"wrote {path} 図が二つ " + "and so on " * 20)
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None, legacy_windows=False)
    screen = Screen(console)
    for event in chat.events:
        screen.show(event, "full")
    screen.typed("one\n\ntwo " + "three " * 20)
    text = console.file.getvalue()
    assert all(cell_len(line) <= columns for line in text.splitlines() if path not in line)
    assert path in text
    on_a_pipe = shown(chat)
    assert text.split()[: len(on_a_pipe.split()) - 3] == on_a_pipe.split()[:-3]
    assert "> one\n\n  two" in text.replace("  \n", "\n")
    assert len(on_a_pipe.splitlines()) < len(text.splitlines())


def test_a_note_of_the_engine_is_said_once(talk):
    info = dataclasses.replace(SCRIPTED_INFO, note="spread over two devices", context_tokens=2048)
    chat = talk(strategy="direct", load=lambda settings: ScriptedEngine(["red", "red"], info=info))
    chat.say("red.png", "what?", "and?")
    assert chat.words.count("note: spread over two devices") == 1
    assert chat.turns[0].context_tokens == 2048
    assert re.search(r"context \d+ of 2,048", shown(chat))


@pytest.mark.parametrize("columns", [1, 10, 39, 40, 60, 80, 200])
def test_the_line_below_the_prompt_fits(talk, columns):
    chat = talk(model="org/a-model-with-a-very-long-name-indeed-7B").say("red.png", "blue.png")
    assert len(toolbar(chat.session, columns)) <= columns - 1
    chat.say(APPLES)
    found = toolbar(chat.session, columns)
    assert len(found) <= columns - 1
    if columns == 200:
        assert found.startswith("org/a-model-with-a-very-long-name-indeed-7B | decompose | 2 images | context 68 | ")
        assert re.search(r" \| 30 cached \| \d+ tokens/s \| \d+\.\d\d s$", found)
    if columns == 40:
        assert found.endswith("-indeed-7B | decompose")


def test_the_line_tells_where_the_model_stands(talk):
    chat = talk()
    assert toolbar(chat.session, 80) == "embedded: not loaded | decompose | no image"
    chat.say("red.png")
    assert toolbar(chat.session, 80) == "embedded: not loaded | decompose | 1 image"
