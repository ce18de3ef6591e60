"""`cot chat` in a real terminal, over a scripted model: what is typed, and what the screen shows."""

import os
import pty
import select
import shutil
import sys
import time
from pathlib import Path

import pytest
from chat_window import ChatWindow
from PIL import Image

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

CURSOR_ASKED = b"\x1b[6n"
APPLES = "Are there more apples than cars?"


@pytest.fixture
def terminal(tmp_path):
    made = []
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "blue one.png")

    def open_(columns=80, rows=24, **environment):
        made.append(ChatWindow(tmp_path, columns, rows, **environment))
        return made[-1]

    yield open_
    for one in made:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 15)])
def test_attach_ask_follow_up_undo_and_switch(terminal, columns, rows):
    chat = terminal(columns, rows).start("red.png")
    chat.wait("[1] red.png 8 x 6", "embedded | decompose | 1 image", ready=True)
    chat.type(APPLES)
    shown = chat.wait("└─ answer: yes  81%", "30 cached", ready=True)
    assert shown.count("├─ #1 How many apples are there?") == 1
    chat.type("/steps off")
    chat.wait("steps: off", ready=True)
    chat.type("and the red ones? blue\\ one.png")
    chat.wait("[2] blue one.png 8 x 6", "scripted, decompose, 2 images", ready=True)
    chat.type("/undo")
    chat.wait("took back: and the red ones?", "[2] blue one.png, which came with it,", ready=True)
    chat.type("/strategy direct")
    chat.wait("strategy: direct", "| direct |", ready=True)
    chat.type("/retry")
    chat.wait("answer: yes from embedded", "scripted, direct, 1 image", ready=True)
    chat.type("", "C-d")
    chat.wait("saved; go on with: cot chat --resume", "code=0")


@pytest.mark.slow
def test_interrupt_and_leave(terminal):
    chat = terminal(40, 15).start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("a slow one")
    chat.wait("> a slow one")
    chat.wait_for_saved("a slow one")
    chat.type("", "C-c")
    chat.wait("└─ interrupted", ready=True)
    # What comes after a second stop within two seconds would be the end, so an answer stands between them.
    chat.type("what?")
    chat.wait("answer: yes from embedded", ready=True)
    chat.type("", "C-c")
    assert "Traceback" not in chat.wait("saved; go on with:", "code=0")


@pytest.mark.slow
def test_two_stops_leave(terminal):
    chat = terminal().start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("a slow one")
    chat.wait_for_saved("a slow one")
    chat.type("", "C-c", "C-c")
    shown = chat.wait("saved; go on with:", "code=0")
    assert "Traceback" not in shown


@pytest.mark.slow
def test_what_is_typed_while_it_answers_waits_for_its_turn(terminal):
    chat = terminal(40, 15).start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("a slow one")
    chat.wait("embedded: answering")
    chat.type("half a line", "")
    chat.wait("embedded: answering", "\n> half a line")
    chat.type(" and the rest")
    chat.wait("1 waiting")
    chat.resize(80, 24)
    chat.type("not sent", "C-c")
    shown = chat.wait("└─ interrupted", "not asked: half a line and the rest", "\n> not sent", ready=True)
    assert "answer: yes" not in shown
    time.sleep(2)
    chat.type("", "C-c")
    chat.wait_until_gone("> not sent")
    chat.type("slow down for seconds")
    chat.wait("embedded: answering")
    chat.type("/strategy cot")
    chat.type("what?")
    shown = chat.wait("answer: yes from embedded", times=2, ready=True)
    in_order = ("> slow down", "scripted, direct, 1 image", "strategy: cot", "> what?", "scripted, cot, 1 image")
    assert [shown.index(text) for text in in_order] == sorted(shown.index(text) for text in in_order)
    chat.type("", "C-d")
    assert "Traceback" not in chat.wait("saved; go on with:", "code=0")


@pytest.mark.slow
def test_an_editor_takes_the_place_of_the_prompt(terminal, tmp_path):
    (tmp_path / "editor").write_text("#!/bin/sh\necho the editor runs\nread line\necho $line > $1\n")
    (tmp_path / "editor").chmod(0o755)
    chat = terminal(VISUAL=f"{tmp_path}/editor").start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("first words")
    chat.wait("answer: yes from embedded", ready=True)
    chat.type("/edit")
    chat.wait("the editor runs")
    chat.type("second words")
    chat.wait("> /edit", "answer: yes from embedded", times=1, ready=True)
    chat.wait_for_saved("second words")
    chat.type("/quit")
    assert "Traceback" not in chat.wait("code=0")


@pytest.mark.slow
def test_an_earlier_line_is_searched_and_not_sent(terminal):
    chat = terminal().start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("what colour?")
    chat.wait("answer: yes from embedded", ready=True)
    chat.type("", "C-r")
    chat.type("col")
    chat.wait("\n> what colour?", times=1)
    chat.type(" is it")
    chat.wait("answer: yes from embedded", ready=True)
    chat.type("", "C-d")
    chat.wait("code=0")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processor time from /proc")
def test_there_is_soon_a_prompt(tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
        os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        os.execv(sys.executable, [sys.executable, "-m", "cot", "chat", str(tmp_path / "red.png")])
    shown = b""
    while b"embedded: " not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += (said := os.read(terminal, 65536))
        if CURSOR_ASKED in said:
            os.write(terminal, b"\x1b[1;1R")
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    os.kill(process, 9)
    os.waitpid(process, 0)
    assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < 1.5


@pytest.mark.slow
def test_several_lines_and_earlier_ones(terminal):
    chat = terminal().start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("first line", "M-Enter")
    chat.type("second line")
    chat.wait("answer: yes from embedded", ready=True)
    chat.wait_for_saved("first line\\nsecond line")
    chat.type("", "Up")
    chat.wait("> first line", "second line", times=2, ready=True)
    chat.type(" and a third")
    chat.wait("answer: yes from embedded", times=2, ready=True)
    chat.wait_for_saved("first line\\nsecond line and a third")
    chat.type("", "C-d")
    chat.wait("code=0")


@pytest.mark.slow
def test_resume_after_kill_in_the_middle_of_an_answer(terminal):
    chat = terminal().start("red.png", "--strategy", "direct")
    chat.wait("1 image", ready=True)
    chat.type("what?")
    chat.wait("answer: yes from embedded", ready=True)
    chat.type("a slow one")
    chat.wait_for_saved("a slow one")
    chat.kill_chat()
    chat.wait("code=137")
    again = terminal().start("--resume", "--strategy", "direct")
    again.wait("> what?", "answer: yes from embedded", "> a slow one", "└─ interrupted", "[1] red.png 8 x 6")
    again.wait("embedded | direct | 1 image", ready=True)
    again.type("and now?")
    again.wait("> and now?\n└─ answer: yes from embedded", ready=True)


@pytest.mark.slow
def test_a_dumb_terminal_without_colour_while_the_model_loads(terminal):
    chat = terminal(40, 15, TERM="dumb", NO_COLOR="1", LOAD_SECONDS="3").start("red.png", "--strategy", "direct")
    chat.wait("/help lists the commands.", "\n>")
    chat.type("hostile")
    chat.wait("answer: redxxx", "scripted, direct")
    chat.type("/quit")
    chat.wait("code=0")


@pytest.mark.slow
def test_words_only_for_screen_readers(terminal):
    chat = terminal().start("red.png", "--plain")
    chat.wait("/help lists the commands.", "\n>")
    chat.type(APPLES)
    shown = chat.wait("step: #1 How many apples are there?", "\nanswer: yes  81%", "scripted, decompose, 1 image")
    assert not set("├└│▀|") & set(shown)
    chat.type("/quit")
    chat.wait("code=0")


@pytest.mark.slow
@pytest.mark.parametrize(("options", "blocks"), [((), 65), (("--no-preview",), 0)])
def test_an_image_is_shown(terminal, options, blocks):
    chat = terminal(40, 15, COLORTERM="truecolor").start("red.png", *options)
    shown = chat.wait("[1] red.png 8 x 6", ready=True)
    assert shown.count("▀") == blocks


@pytest.mark.slow
def test_completion_and_loading_are_shown(terminal):
    chat = terminal(LOAD_SECONDS="5").start("red.png")
    chat.wait("embedded: loading | decompose | 1 image")
    chat.type("/strat", "Tab")
    chat.wait("/strategy")
    chat.type(" ver", "Tab")
    chat.wait("/strategy verify")
    chat.wait("embedded | decompose | 1 image", ready=True)
    chat.type("")
    chat.wait("strategy: verify")
