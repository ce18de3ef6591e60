"""Against a server that is not ours: `transformers serve` with the embedded model.

That server takes neither constraints nor requests for
log-probabilities, in silence; so the engine must find out both by itself.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cot.engine import Choices, Message, Request
from cot.engine.remote import Limits, RemoteEngine
from cot.image import load_image
from cot.planner.run import STRATEGIES, run
from cot.question import Question
from cot.shipped import weights_folder

SERVE = "import sys; from transformers.cli.transformers import main; main()"
QUESTION = "What shape is in the image?\nAnswer briefly."


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server; its models are those of an empty cache, and any folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("hub")
    command = [sys.executable, "-c", SERVE, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (home / "log").open("w") as log:
        running = subprocess.Popen(command, env={**os.environ, "HF_HOME": str(home)}, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 180
        while not _healthy(port):
            assert running.poll() is None, (home / "log").read_text()
            assert time.monotonic() < until, (home / "log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1#{weights_folder()}"
    finally:
        running.terminate()
        running.wait(30)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(json.load(reply)["status"] == "ok")
    except (urllib.error.URLError, OSError, ValueError):
        return False


@pytest.mark.slow
async def test_the_embedded_model_behind_transformers_serve(url: str, root: Path) -> None:
    engine = await RemoteEngine.connect(url, limits=Limits(timeout_seconds=240.0))
    image = load_image(root / "examples" / "shape.png")
    request = Request((Message("user", (image, QUESTION)),), max_tokens=16)
    answer = await engine.complete(request)
    deltas = [delta async for delta in engine.stream(request)]
    held = await engine.complete(
        Request((Message("user", (image, QUESTION)),), max_tokens=16, constraint=Choices((answer.text.strip(), "none")))
    )
    await engine.close()
    assert answer.text
    assert answer.finish_reason == "stop"
    assert answer.usage.prompt_tokens > 100, "an image is many tokens"
    assert "".join(delta.text for delta in deltas) == answer.text
    assert deltas[-1].completion is not None
    assert deltas[-1].completion.usage.completion_tokens > 0
    assert held.text == answer.text.strip()
    assert engine.info.versions == {"server": "openai", "without": "logprobs"}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_behind_transformers_serve(url: str, root: Path, strategy: str) -> None:
    engine = await RemoteEngine.connect(url, limits=Limits(timeout_seconds=240.0))
    question = Question("Are there more circles than squares?", (load_image(root / "examples" / "shapes.png"),))
    try:
        outcome = await run(strategy, question, engine)
    finally:
        await engine.close()
    assert (outcome.stop_reason, outcome.answer.value is None) == ("answered", False), outcome.notes
    assert outcome.usage.calls >= 1
