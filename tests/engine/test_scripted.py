"""The scripted engine, and what importing the engines costs."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from cot.engine import Candidate, Completion, Request, ScriptedEngine, Usage
from cot.errors import EngineError

Ask = Callable[..., Request]


async def test_replies_in_order_and_records_requests(ask: Ask) -> None:
    engine = ScriptedEngine(["one", Completion((Candidate("two", "length"),))])
    first, second = ask("a"), ask("b")
    answers = await asyncio.gather(engine.complete(first), engine.complete(second))
    assert [answer.text for answer in answers] == ["one", "two"]
    assert engine.requests == [first, second]


async def test_function_and_samples_and_usage(ask: Ask) -> None:
    engine = ScriptedEngine(lambda request: f"max {request.max_tokens}")
    answer = await engine.complete(ask(max_tokens=7, n=3))
    assert [candidate.text for candidate in answer.candidates] == ["max 7"] * 3
    assert answer.usage == Usage(prompt_tokens=4, image_tokens=1, completion_tokens=6, calls=1, batches=1)


async def test_script_errors(ask: Ask) -> None:
    engine = ScriptedEngine([EngineError("model fell over")])
    with pytest.raises(EngineError, match="fell over"):
        await engine.complete(ask())
    with pytest.raises(EngineError, match=r"has 1 replies, but request 2 arrived"):
        await engine.complete(ask())
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await engine.complete(ask())
    with pytest.raises(EngineError, match="expected a list"):
        ScriptedEngine("one")


@pytest.mark.parametrize("text", ["", "one", " two  words\n", "\n"])
async def test_stream_adds_up(text: str, ask: Ask) -> None:
    deltas = [delta async for delta in ScriptedEngine([text]).stream(ask())]
    assert "".join(delta.text for delta in deltas) == text
    assert deltas[-1].completion is not None
    assert deltas[-1].completion.text == text


def test_importing_engines_loads_no_model_library() -> None:
    code = (
        "import cot.engine, cot.engine.local, sys; "
        "print([m for m in ('torch', 'transformers', 'llguidance', 'huggingface_hub', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
