"""Compiled decoding: the same tokens, few graphs, and a plain pass where it cannot be."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from chats import reference, tokens
from torch._dynamo.testing import CompileCounterWithBackend

from cot.engine import Choices, Completion, Message, Request
from cot.engine.local import LocalEngine
from cot.image import LoadedImage

Ask = Callable[..., Request]
Picture = Callable[..., LoadedImage]
Save = Callable[[str], Path]

COMPILED = "running batch, shared prefixes, compiled decoding"


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Counts the graphs that are made, instead of making code of them, which takes far longer."""
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr("cot.engine.local.compiled.BACKEND", counter)
    monkeypatch.setattr("cot.engine.local.compiled.LEAST_WIDTH", 128)
    yield counter
    torch._dynamo.reset()


def questions(picture: Picture) -> list[Request]:
    """Short and long answers, about one image, two or none."""
    red, blue = picture(), picture("blue")
    asked: list[tuple[Any, ...]] = [
        (red, "how many cats"), ("no image " * 12,), (red, blue, "yes or no"),
    ]  # fmt: skip
    return [Request((Message("user", content),), 9 + 24 * index) for index, content in enumerate(asked)]


# What changes its inputs comes out of "aot_eager" as it would out of a compiler.
@pytest.mark.parametrize(
    ("family", "backend"), [("llava", "aot_eager"), ("qwen2_5_vl", "eager"), ("idefics3", "eager")]
)
async def test_same_tokens_as_generate_with_few_graphs(
    family: str, backend: str, checkpoint: Save, picture: Picture, graphs: Any
) -> None:
    graphs.backend = backend
    engine = LocalEngine.load(checkpoint(family), device="cpu", compile=True)
    requests = questions(picture)
    expected = [reference(engine, request) for request in requests]

    async def late(index: int, request: Request) -> Completion:
        await asyncio.sleep(0.01 * index)
        return await engine.complete(request)

    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    answers = await asyncio.gather(*(late(index, request) for index, request in enumerate(requests)))
    assert [tokens(answer) for answer in answers] == expected
    assert 2 <= graphs.frame_count <= 3 * 2, "rows of 1, 2 and 4; widths of 128 and 256"
    assert (engine.info.batching, engine.info.note) == (COMPILED, "")
    await engine.close()


async def test_another_length_takes_no_other_graph(llava_folder: Path, ask: Ask, graphs: Any) -> None:
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    await engine.complete(ask("x", max_tokens=30))
    made = graphs.frame_count
    for length in (2, 5, 8):
        await engine.complete(ask("x " * length, max_tokens=30 - length))
    assert graphs.frame_count == made == 1
    await engine.close()


async def test_what_fills_up_a_batch_spoils_no_row_that_comes_after_it(
    llava_folder: Path, ask: Ask, graphs: Any
) -> None:
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    loaded = engine._runner._loaded
    requests = [ask(f"{index} cats", max_tokens=9) for index in range(4)]
    expected = [reference(engine, request) for request in requests]
    # Three rows are filled up to four, by a token that makes no numbers.
    loaded.model.get_input_embeddings().weight.data[loaded.pad_id] = float("nan")
    answers = await asyncio.gather(*map(engine.complete, requests[:3]))
    assert [tokens(answer) for answer in answers] == expected[:3]
    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    assert engine.info.batching == COMPILED
    await engine.close()


async def test_forced_tokens_and_single_ones_take_turns(llava_folder: Path, ask: Ask, graphs: Any) -> None:
    plain = LocalEngine.load(llava_folder, device="cpu")
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    requests = [ask("one", constraint=Choices(("zzzz", "xxxx and more")), max_tokens=30), ask("two", max_tokens=12)]
    expected = [tokens(await plain.complete(request)) for request in requests]
    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    await plain.close()
    await engine.close()


async def test_a_model_that_looks_at_its_numbers_is_run_without(
    llava_folder: Path, ask: Ask, graphs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    model = engine._runner._loaded.model
    expected = reference(engine, ask())
    decoder = model.get_decoder()
    forward = decoder.forward

    def looking(*arguments: Any, **settings: Any) -> Any:
        out = forward(*arguments, **settings)
        return out if out.last_hidden_state.sum() < 1e9 else None

    decoder.forward = looking
    assert tokens(await engine.complete(ask())) == expected
    assert engine.info.batching == "running batch, shared prefixes"
    assert engine.info.note.startswith("decoding is not compiled: ")
    assert "\n" not in engine.info.note
    assert [record.message for record in caplog.records if record.name.startswith("cot.")] == [engine.info.note]
    await engine.complete(ask("again"))
    assert graphs.frame_count == 0
    await engine.close()


async def test_what_cannot_be_compiled_later_on_costs_no_answer_and_no_memory(
    llava_folder: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[int] = []

    def second_fails(graph: Any, inputs: Any) -> Any:
        graphs.append(1)
        if len(graphs) == 2:
            raise RuntimeError("too much")
        return graph.forward

    monkeypatch.setattr("cot.engine.local.compiled.BACKEND", second_fails)
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True, kv_bytes=400_000)
    requests = [ask("one", max_tokens=30), *(ask(f"{index} " * 30, max_tokens=30) for index in range(3))]
    expected = [reference(engine, request) for request in requests]
    assert tokens(await engine.complete(requests[0])) == expected[0]
    assert engine.info.batching == COMPILED
    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    assert engine.info.note.endswith("RuntimeError: too much"), "and nothing of what torch's developers may want"
    await engine.complete(ask("small", max_tokens=1))
    while engine._runner.busy:
        await asyncio.sleep(0.01)
    assert engine._runner._slots.bytes < 0.25 * 400_000
    await engine.close()
    torch._dynamo.reset()


async def test_without_a_compiler_it_is_said_and_run_without(
    llava_folder: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    assert "the C++ compiler no-such-compiler is not there" in engine.info.note
    assert engine.info.batching == "running batch, shared prefixes"
    assert (await engine.complete(ask())).text
    await engine.close()


async def test_families_that_run_one_at_a_time_say_that_too(checkpoint: Save) -> None:
    engine = LocalEngine.load(checkpoint("gemma3"), device="cpu", compile=True)
    assert engine.info.note == "decoding is not compiled: requests are answered one at a time"
    await engine.close()


async def test_quantised_layers_are_not_compiled(tmp_path: Path, ask: Ask) -> None:
    pytest.importorskip("bitsandbytes")
    import tiny_models

    engine = LocalEngine.load(
        tiny_models.llava(tmp_path, text=tiny_models.WIDE), device="cpu", quantize="int8", compile=True
    )
    assert engine.info.note.startswith("decoding is not compiled: int8")
    assert (await engine.complete(ask())).text
    await engine.close()


@pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX") or "g++"), reason="inductor needs a C++ compiler, and there is none"
)
async def test_compiled_code_gives_the_same_tokens(llava_folder: Path, ask: Ask) -> None:
    engine = LocalEngine.load(llava_folder, device="cpu", compile=True)
    request = ask("x", max_tokens=12)
    expected = reference(engine, request)
    assert tokens(await engine.complete(request)) == expected
    assert engine.info.batching == COMPILED
    await engine.close()
    torch._dynamo.reset()
