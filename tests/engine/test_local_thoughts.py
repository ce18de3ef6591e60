"""What a reasoning model thinks before it answers is no part of the text that the local engine gives."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import byte_level_tokenizer

from cot.engine import Candidate, Completion, Regex, Request
from cot.engine.local import LocalEngine
from cot.engine.local.row import Row

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


def spoken(
    ask: Ask, said: str, *, tokenizer: Any = None, thinking: bool = False, **settings: Any
) -> tuple[list[str], Candidate]:
    """What a row streams, and gives, whose model says this."""
    tokenizer = tokenizer or byte_level_tokenizer()
    pieces: list[str] = []
    row = Row(
        ask(max_tokens=200, **settings),
        0,
        prompt_ids=(),
        tokenizer=tokenizer,
        eos_ids=(2,),
        thinking=thinking,
        on_text=pieces.append,
    )
    for token in [*(tokenizer.encode(said, add_special_tokens=False)), 2]:
        if not row.done:
            row.take(token, -1.0)
    return pieces, row.candidate()


@pytest.mark.parametrize(
    ("said", "stop", "text"),
    [
        ("<think>\none or two?</think>\n\nthree cats", (), "three cats"),
        ("<think></think>three\n", ("\n",), "three"),
        ("<think>one\ntwo</think>\n\nthree\ncats", ("\n",), "three"),
        ("<think>the image", (), ""),
        ("<b> three <think>", (), "<b> three <think>"),
        ("The tag </think> ends it.", (), "The tag </think> ends it."),
    ],
)
def test_thoughts_are_no_part_of_the_text(ask: Ask, said: str, stop: tuple[str, ...], text: str) -> None:
    pieces, whole = spoken(ask, said, stop=stop)
    assert (whole.text, whole.finish_reason) == (text, "stop")
    assert "".join(pieces) == text
    told = "".join(token.token for token in whole.logprobs)
    assert told.strip().startswith(text), "probabilities are those of the answer"


@pytest.mark.parametrize(
    ("said", "stop", "text"),
    [
        ("one or two?</think>\n\nthree cats", (), "three cats"),
        ("one\ntwo</think>\n\nthree\ncats", ("\n",), "three"),
        ("one</think>\n</think> ends it.", (), "</think> ends it."),
        ("the image", (), ""),
    ],
)
def test_thoughts_that_the_template_opened_end_before_the_answer(
    ask: Ask, said: str, stop: tuple[str, ...], text: str
) -> None:
    pieces, whole = spoken(ask, said, stop=stop, thinking=True)
    assert (whole.text, "".join(pieces)) == (text, text)
    told = "".join(token.token for token in whole.logprobs)
    assert told.strip().startswith(text)
    assert "two" not in told


@pytest.mark.parametrize("opened", ["", "<think>"])
def test_marks_of_thoughts_that_are_special_tokens_tell_where_the_answer_begins(ask: Ask, opened: str) -> None:
    tokenizer, said = byte_level_tokenizer("<think>", "</think>"), f"{opened}one\ntwo</think>\n\nthree<end>\ncats"
    assert tokenizer.decode(tokenizer.encode("<think></think>"), skip_special_tokens=True) == ""
    pieces, whole = spoken(ask, said, tokenizer=tokenizer, stop=("\n",), thinking=not opened)
    assert (whole.text, "".join(pieces)) == ("three", "three")
    assert "".join(token.token for token in whole.logprobs).strip().startswith("three")
    budget = spoken(ask, f"{opened}one", tokenizer=tokenizer, thinking=not opened)
    assert (budget[0], budget[1].text) == ([], "")


@pytest.mark.parametrize("said", ["The tag </think> ends it.", "<think>ends it."])
async def test_text_that_is_held_to_a_constraint_is_all_text(
    engine: LocalEngine, thinking_engine: LocalEngine, ask: Ask, said: str
) -> None:
    request = ask(max_tokens=60, constraint=Regex("".join(f"[{letter}]" for letter in said)))
    for one in (engine, thinking_engine):
        pieces, completion = await streamed(one, request)
        assert "".join(pieces) == completion.text == said
        assert "".join(token.token for token in completion.candidates[0].logprobs).startswith(said)


async def test_thoughts_that_the_template_opens_and_the_budget_ends_are_no_answer(
    thinking_engine: LocalEngine, ask: Ask
) -> None:
    request = ask(max_tokens=6)
    pieces, completion = await streamed(thinking_engine, request)
    assert (pieces, completion.text, completion.finish_reason, completion.logprobs) == ([], "", "length", ())
    assert completion.usage.completion_tokens == 6
    held = await thinking_engine.complete(ask(max_tokens=20, constraint=Regex("three cats")))
    assert held.text == "three cats", "held to a constraint, the model cannot think"
