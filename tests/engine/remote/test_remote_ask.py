"""`cot ask` with a server for a model, from the command line to the trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
KEY = "sk-very-secret-0123456789"
RUN = "import sys, cot.cli; code = cot.cli.main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"


def _reply(body: Any) -> str:
    text = body["messages"][-1]["content"][-1]["text"]
    return PLAN if "answer: #1 > #2" in text else "3" if text.startswith("How many apples") else "1"


def _ask(root: Path, folder: Path, model: str) -> "subprocess.CompletedProcess[str]":
    Image.new("RGB", (8, 6), "red").save(folder / "red.png")
    question = ["red.png", "Are there more apples than cars?"]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            "ask",
            "--json",
            "--trace-dir",
            str(folder / "traces"),
            "--model",
            model,
            "--strategy",
            "decompose",
            *question,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "COT_API_KEY": KEY},
        capture_output=True,
        text=True,
    )


def test_a_chain_on_a_server(serve: Callable[[Any], Any], model: Any, root: Path, tmp_path: Path) -> None:
    server = serve(model(owner="vllm", models=("one", "two"), text=_reply))
    done = _ask(root, tmp_path, f"{server.url}#two")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["answer"], found["stop_reason"], found["usage"]["calls"]) == ("yes", "answered", 3)
    assert (found["model"]["name"], found["model"]["device"]) == ("two", server.url)
    assert found["confidence"] > 0
    assert "COT_API_KEY" not in done.stderr, "a key is no unknown setting"
    (trace,) = (tmp_path / "traces").rglob("trace.jsonl")
    assert server.url in trace.read_text("utf-8")
    assert KEY not in trace.read_text("utf-8") + done.stdout + done.stderr


def test_a_server_that_is_not_there(root: Path, tmp_path: Path) -> None:
    done = _ask(root, tmp_path, "http://user:hunter2@127.0.0.1:9/v1")
    assert done.returncode == 2, "no server can have that name"
    said = "was given with a user name, a password or a query"
    assert said in done.stderr
    assert said in json.loads(done.stdout)["error"]
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stdout + done.stderr + "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
