"""`cot chat` in a real terminal, over a scripted model: what is typed, and what the screen shows."""

import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

SCRIPT = Path(__file__).resolve().parent.parent / "support" / "chat_script.py"
APPLES = "Are there more apples than cars?"
PATIENCE_SECONDS = 120.0


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, folder, columns, rows, **environment):
        self._name = f"cot-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._size = ("-x", str(columns), "-y", str(rows))
        self._environment = {
            "PYTHONPATH": f"{SCRIPT.parent}:{SCRIPT.parent.parent.parent}",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "COT_STRATEGY": "decompose",
            **environment,
        }

    def start(self, *arguments):
        named = [f"{name}={value}" for name, value in self._environment.items()]
        command = shlex.join(["env", *named, sys.executable, str(SCRIPT), "chat", *arguments])
        # The shell behind it shows the exit code, and keeps the screen.
        inside = f"{command}; echo code=$?; exec sleep 600"
        self._tmux("-f", os.devnull, "new-session", "-d", *self._size, "-c", str(self._folder), inside)
        return self

    def type(self, text, *keys):
        if text:
            self._tmux("send-keys", "-l", text)
        for key in keys or ("Enter",):
            self._tmux("send-keys", key)

    def screen(self, *, history=True):
        # -J joins what the terminal wrapped.
        return self._tmux("capture-pane", "-p", "-J", *(["-S", "-500"] if history else []))

    def wait(self, *texts, without=()):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            found = self.screen()
            if all(text in found for text in texts) and not any(text in found for text in without):
                return found
            time.sleep(0.1)
        pytest.fail(f"waited for {texts}, got:\n{self.screen()}")

    def wait_for_saved(self, text):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if any(text in path.read_text() for path in self._folder.glob("state/cot/chats/*/session.jsonl")):
                return
            time.sleep(0.1)
        pytest.fail(f"{text!r} was not saved")

    def kill_chat(self):
        pane = self._tmux("list-panes", "-F", "#{pane_pid}").strip()
        children = subprocess.run(["pgrep", "-P", pane], capture_output=True, text=True, check=True).stdout.split()
        for child in children:
            os.kill(int(child), 9)

    def close(self):
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)

    def _tmux(self, *arguments):
        done = subprocess.run(["tmux", "-L", self._name, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def terminal(tmp_path):
    made = []
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "blue one.png")

    def open_(columns=80, rows=24, **environment):
        made.append(Terminal(tmp_path, columns, rows, **environment))
        return made[-1]

    yield open_
    for one in made:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 15)])
def test_attach_ask_follow_up_undo_and_switch(terminal, columns, rows):
    chat = terminal(columns, rows).start("red.png")
    chat.wait("[1] red.png 8 x 6", "embedded | decompose | 1 image")
    chat.type(APPLES)
    shown = chat.wait("└─ answer: yes  81%", "150 prompt tokens, 30 cached")
    assert shown.count("├─ #1 How many apples are there?") == 1
    chat.type("/steps off")
    chat.type("and the red ones? blue\\ one.png")
    chat.wait("[2] blue one.png 8 x 6", "scripted, decompose, 2 images")
    chat.type("/undo")
    chat.wait("took back: and the red ones?")
    chat.type("/strategy direct")
    chat.wait("strategy: direct", "| direct |")
    chat.type("/retry")
    chat.wait("answer: yes from embedded", "scripted, direct, 2 images")
    chat.type("", "C-d")
    chat.wait("saved; go on with: cot chat --resume", "code=0")


@pytest.mark.slow
def test_interrupt_and_leave(terminal):
    chat = terminal(40, 15).start("red.png", "--strategy", "direct")
    chat.wait("1 image")
    chat.type("a slow one")
    chat.wait("> a slow one")
    chat.wait_for_saved("a slow one")
    chat.type("", "C-c")
    chat.wait("└─ interrupted")
    # What comes after a second stop within two seconds would be the end, so an answer stands between them.
    chat.type("what?")
    chat.wait("answer: yes from embedded")
    chat.type("", "C-c")
    assert "Traceback" not in chat.wait("saved; go on with:", "code=0")


@pytest.mark.slow
def test_resume_after_kill_in_the_middle_of_an_answer(terminal):
    chat = terminal().start("red.png", "--strategy", "direct")
    chat.wait("1 image")
    chat.type("what?")
    chat.wait("answer: yes from embedded")
    chat.type("a slow one")
    chat.wait("> a slow one", without=("| direct |",))
    chat.wait_for_saved("a slow one")
    chat.kill_chat()
    chat.wait("code=137")
    again = terminal().start("--resume", "--strategy", "direct")
    again.wait("> what?", "answer: yes from embedded", "> a slow one", "└─ interrupted", "[1] red.png 8 x 6")
    again.type("and now?")
    again.wait("> and now?", "scripted, direct, 1 image")
    assert again.wait("answer: yes").count("answer: yes from embedded") == 2


@pytest.mark.slow
def test_a_dumb_terminal_without_colour_while_the_model_loads(terminal):
    chat = terminal(40, 15, TERM="dumb", NO_COLOR="1", LOAD_SECONDS="3").start("red.png", "--strategy", "direct")
    chat.wait(">")
    chat.type("hostile")
    chat.wait("answer: redxxx")
    chat.type("/quit")
    chat.wait("code=0")


@pytest.mark.slow
def test_completion_and_loading_are_shown(terminal):
    chat = terminal(LOAD_SECONDS="5").start("red.png")
    chat.wait("embedded: loading | decompose | 1 image")
    chat.type("/strat", "Tab")
    chat.wait("/strategy")
    chat.type(" ver", "Tab")
    chat.wait("/strategy verify")
    chat.wait("embedded | decompose | 1 image")
    chat.type("")
    chat.wait("strategy: verify")
