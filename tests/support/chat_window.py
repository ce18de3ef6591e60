"""`cot chat` over a scripted model in a real terminal: a tmux server of its own with one window."""

import os
import re
import shlex
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "chat_script.py"
PATIENCE_SECONDS = 120.0


class ChatWindow:
    """What is typed, and what the screen shows."""

    def __init__(self, folder: Path, columns: int, rows: int, **environment: str) -> None:
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

    def start(self, *arguments: str) -> "ChatWindow":
        named = [f"{name}={value}" for name, value in self._environment.items()]
        command = shlex.join(
            ["env", "-u", "COLUMNS", "-u", "LINES", *named, sys.executable, str(SCRIPT), "chat", *arguments]
        )
        # The shell behind it shows the exit code, and keeps the screen.
        inside = f"{command}; echo code=$?; exec sleep 600"
        self._tmux("-f", os.devnull, "new-session", "-d", *self._size, "-c", str(self._folder), inside)
        return self

    def type(self, text: str, *keys: str) -> None:
        if text:
            self._tmux("send-keys", "-l", text)
        for key in keys or ("Enter",):
            self._tmux("send-keys", key)

    def screen(self, *, history: bool = True) -> str:
        # -J joins what the terminal wrapped.
        return self._tmux("capture-pane", "-p", "-J", *(["-S", "-500"] if history else []))

    def wait(self, *texts: str, times: int = 1, ready: bool = False) -> str:
        """The screen, once all texts are on it so often. ready: and nothing is being answered."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            found = self.screen()
            if all(found.count(text) >= times for text in texts) and (not ready or self._has_prompt()):
                return found
            time.sleep(0.1)
        pytest.fail(f"waited for {texts}, got:\n{self.screen()}")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def wait_until_gone(self, text: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while text in self.screen(history=False):
            assert time.monotonic() < end, self.screen()
            time.sleep(0.1)

    def _has_prompt(self) -> bool:
        """Whether the line below the prompt is drawn, and says nothing of an answer that is still to come."""
        lines = self.screen(history=False).rstrip().splitlines()
        return bool(lines) and " | " in lines[-1] and not {"answering", "waiting"} & set(re.findall(r"\w+", lines[-1]))

    def wait_for_saved(self, text: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if any(text in path.read_text() for path in self._folder.glob("state/cot/chats/*/session.jsonl")):
                return
            time.sleep(0.1)
        pytest.fail(f"{text!r} was not saved")

    def kill_chat(self) -> None:
        pane = self._tmux("list-panes", "-F", "#{pane_pid}").strip()
        children = subprocess.run(["pgrep", "-P", pane], capture_output=True, text=True, check=True).stdout.split()
        for child in children:
            os.kill(int(child), 9)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
