"""What a reasoning model thinks before it answers is no part of the text that the local engine gives."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cot.engine import Completion, Regex, Request
from cot.engine.local import LocalEngine

Ask = Callable[..., Request]


@pytest.fixture(scope="module")
def thinking_engine(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    """One whose chat template opens the thoughts."""
    folder = tmp_path_factory.mktemp("thinking") / "llava"
    shutil.copytree(llava_folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant:", "assistant:<think>\n"))
    engine = LocalEngine.load(folder, device="cpu")
    yield engine
    asyncio.run(engine.close())


async def streamed(engine: LocalEngine, request: Request) -> tuple[list[str], Completion]:
    deltas = [delta async for delta in engine.stream(request)]
    assert deltas[-1].completion
    return [delta.text for delta in deltas if delta.text], deltas[-1].completion


@pytest.mark.parametrize(
    ("said", "stop", "text"),
    [
        ("<think>\none or two?</think>\n\nthree cats", (), "three cats"),
        ("one or two?</think> three cats\n", (), "three cats"),
        ("<think></think>three\n", ("\n",), "three"),
        ("<think>one\ntwo</think>\n\nthree\ncats", ("\n",), "three"),
        ("<think>the image", (), ""),
        ("<b> three <think>", (), "<b> three <think>"),
    ],
)
async def test_thoughts_are_no_part_of_the_text(
    engine: LocalEngine, ask: Ask, said: str, stop: tuple[str, ...], text: str
) -> None:
    pattern = "".join(f"[{letter}]" for letter in said)
    request = ask(max_tokens=60, constraint=Regex(pattern), stop=stop)
    whole = await engine.complete(request)
    assert (whole.text, whole.finish_reason) == (text, "stop")
    told = "".join(token.token for token in whole.logprobs)
    assert told.strip().startswith(text), "probabilities are those of the answer"
    assert "</think>" not in told
    pieces, completion = await streamed(engine, request)
    assert completion.text == text
    if said.startswith("<"):
        assert "".join(pieces) == text


async def test_thoughts_that_the_template_opens_and_the_budget_ends_are_no_answer(
    thinking_engine: LocalEngine, ask: Ask
) -> None:
    request = ask(max_tokens=6)
    pieces, completion = await streamed(thinking_engine, request)
    assert (pieces, completion.text, completion.finish_reason, completion.logprobs) == ([], "", "length", ())
    assert completion.usage.completion_tokens == 6
    held = await thinking_engine.complete(ask(max_tokens=20, constraint=Regex("three cats")))
    assert held.text == "three cats", "held to a constraint, the model cannot think"
