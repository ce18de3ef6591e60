"""The running batch: whatever is shared, the tokens are those of one `generate` call a request."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from chats import reference, tokens

from cot.engine import Choices, Message, Regex, Request, Sampling
from cot.engine.local import LocalEngine
from cot.errors import EngineError, RequestError
from cot.image import LoadedImage

Ask = Callable[..., Request]
Picture = Callable[..., LoadedImage]
Save = Callable[[str], Path]


def questions(picture: Picture) -> list[Request]:
    """Several images in flight, several in one question, none; short and long; shared and not."""
    red, blue, wide = picture(), picture("blue"), picture("green", width=90, height=40)
    asked: list[tuple[Any, ...]] = [
        (red, "how many cats"), (red, "how many red cats are there"), (blue, "how many cats"), ("no image",),
        (red, blue, "yes or no"), (red, "and", wide, "yes"), (wide, "x " * 30), (red, "how many cats"),
        ("before", red, "how many"), (blue, red, "yes or no"),
    ]  # fmt: skip
    single = [Request((Message("user", content),), 4 + 5 * index) for index, content in enumerate(asked)]
    talk = (Message("user", (red, "one")), Message("assistant", ("two",)), Message("user", (blue, "three")))
    return [*single, Request(talk, 20), Request(talk[:2] + (Message("user", ("four",)),), 9)]


@pytest.mark.parametrize("family", tiny_models.BATCHED)
async def test_same_tokens_as_generate(family: str, checkpoint: Save, picture: Picture) -> None:
    engine = LocalEngine.load(checkpoint(family), device="cpu")
    assert engine.info.batching == "running batch, shared prefixes"
    requests = questions(picture)
    expected = [reference(engine, request) for request in requests]
    for _ in range(2):
        answers = await asyncio.gather(*map(engine.complete, requests))
        assert [tokens(answer) for answer in answers] == expected
    assert sum(answer.usage.cached_tokens for answer in answers) > 0.8 * sum(a.usage.prompt_tokens for a in answers)
    await engine.close()


@pytest.mark.parametrize("family", tiny_models.BATCHED)
async def test_same_tokens_when_requests_join_midway_and_memory_is_short(
    family: str, checkpoint: Save, picture: Picture
) -> None:
    engine = LocalEngine.load(checkpoint(family), device="cpu", kv_bytes=300_000)
    requests = questions(picture) * 2
    expected = [reference(engine, request) for request in requests]

    async def late(index: int, request: Request) -> Any:
        await asyncio.sleep(0.004 * index)
        return await engine.complete(request)

    answers = await asyncio.gather(*(late(index, request) for index, request in enumerate(requests)))
    assert [tokens(answer) for answer in answers] == expected
    assert 0 < engine.kv_bytes <= 300_000
    await engine.close()


async def test_an_image_is_encoded_once(own_engine: LocalEngine, picture: Picture) -> None:
    model = own_engine._runner._loaded.model
    seen: list[int] = []
    model.model.vision_tower.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    same = [Request((Message("user", (picture(), f"question {index}")),), 5) for index in range(6)]
    other = Request((Message("user", (picture("blue"), "question")),), 5)
    answers = await asyncio.gather(*map(own_engine.complete, [*same, other, *same]))
    assert sum(seen) == 2
    assert sum(answer.usage.batches for answer in answers) <= 4
    assert (await own_engine.complete(replace(same[0], max_tokens=3))).usage.cached_tokens > 4
    assert sum(seen) == 2


async def test_samples_share_their_prompt_and_do_not_depend_on_the_company(own_engine: LocalEngine, ask: Ask) -> None:
    several = ask(n=4, max_tokens=15, sampling=Sampling(1.5, min_p=0.01, repetition_penalty=1.3, seed=3))
    alone = await own_engine.complete(several)
    crowd = [ask(f"{index}", max_tokens=10 + index, sampling=Sampling(1.0, seed=index)) for index in range(9)]
    together, *_ = await asyncio.gather(*map(own_engine.complete, [several, *crowd]))
    assert [c.text for c in together.candidates] == [c.text for c in alone.candidates]
    assert len({c.text for c in alone.candidates}) == 4


async def test_repetition_penalty_is_that_of_generate(own_engine: LocalEngine, ask: Ask) -> None:
    request = ask(max_tokens=40, sampling=Sampling(repetition_penalty=1.7))
    loaded = own_engine._runner._loaded
    inputs = own_engine._preparer._prompter.prompt(request.messages).inputs
    ids = loaded.model.generate(
        **inputs, max_new_tokens=40, do_sample=False, repetition_penalty=1.7, eos_token_id=[2, 4], pad_token_id=0
    )[0, inputs["input_ids"].shape[1] :]
    assert tokens(await own_engine.complete(request)) == [loaded.tokenizer.decode([int(token)]) for token in ids]


async def test_forced_tokens_need_no_pass(own_engine: LocalEngine, ask: Ask) -> None:
    passes: list[int] = []
    own_engine._runner._loaded.model.register_forward_pre_hook(lambda *_: passes.append(1))
    answer = await own_engine.complete(ask(max_tokens=40, constraint=Choices(("zzzzzzzzqqqqqqqq", "xxxxxxxx"))))
    assert answer.text in ("zzzzzzzzqqqqqqqq", "xxxxxxxx")
    assert len(answer.logprobs) >= 8
    assert len(passes) <= 3


async def test_a_request_beyond_the_memory_says_so(checkpoint: Save, ask: Ask) -> None:
    engine = LocalEngine.load(checkpoint("llava"), device="cpu", kv_bytes=60_000)
    big, small = await asyncio.gather(
        engine.complete(ask(max_tokens=200)), engine.complete(ask(max_tokens=5)), return_exceptions=True
    )
    assert isinstance(big, EngineError)
    assert "the budget is 0.1 MiB: raise the setting kv_memory, or allow" in str(big)
    assert not isinstance(small, BaseException)
    await engine.close()


async def test_a_guilty_request_fails_alone(own_engine: LocalEngine, picture: Picture) -> None:
    red = picture()
    requests = [Request((Message("user", (red, text)),), 6) for text in ("one", "two", "guilty", "four")]
    first = await own_engine.complete(requests[0])
    loaded = own_engine._runner._loaded
    guilty = loaded.tokenizer.encode("guilty", add_special_tokens=False)[0]

    def refuse(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if (kwargs["input_ids"] == guilty).any() and kwargs["input_ids"].shape[1] > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    loaded.model.register_forward_pre_hook(refuse, with_kwargs=True)
    answers = await asyncio.gather(*map(own_engine.complete, requests), return_exceptions=True)
    assert [isinstance(answer, EngineError) for answer in answers] == [False, False, True, False]
    assert "out of memory" in str(answers[2])
    assert tokens(answers[0]) == tokens(first)


async def test_a_sample_that_ends_with_its_first_token_takes_no_other(own_engine: LocalEngine, ask: Ask) -> None:
    passes: list[int] = []

    def end_first(module: Any, inputs: Any, out: Any) -> None:
        passes.append(1)
        if len(passes) == 1:
            out.logits[:, :, 2] = 1000.0

    own_engine._runner._loaded.model.register_forward_hook(end_first)
    answer = await own_engine.complete(ask(n=3, sampling=Sampling(1.0)))
    first, *others = answer.candidates
    assert (first.text, [item.token for item in first.logprobs]) == ("", ["</s>"])
    assert all(len(one.logprobs) > 1 for one in others)


async def test_a_temperature_near_0_is_greedy(own_engine: LocalEngine, ask: Ask) -> None:
    greedy = await own_engine.complete(ask())
    for temperature in (1e-30, 1e-300):
        assert (await own_engine.complete(ask(sampling=Sampling(temperature)))).text == greedy.text


async def test_a_sample_whose_text_nobody_takes_fails_alone(own_engine: LocalEngine, ask: Ask) -> None:
    def gone(text: str) -> None:
        raise RuntimeError("Event loop is closed")

    lost, other = await asyncio.gather(
        own_engine._submit(ask("one"), gone), own_engine.complete(ask("two")), return_exceptions=True
    )
    assert isinstance(lost, EngineError)
    assert "Event loop is closed" in str(lost)
    assert not isinstance(other, BaseException)


async def test_a_sample_whose_constraint_breaks_fails_alone(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(state: Any, vocab_size: int) -> Any:
        raise ValueError("no mask")

    monkeypatch.setattr("cot.engine.local.constraint.ConstraintState.allowed", broken)
    held, other = await asyncio.gather(
        own_engine.complete(ask("one", constraint=Choices(("yes", "no")))),
        own_engine.complete(ask("two")),
        return_exceptions=True,
    )
    assert "the answer cannot go on: ValueError: no mask" in str(held)
    assert not isinstance(other, BaseException)


async def test_what_is_no_number_spoils_no_row_that_comes_after_it(own_engine: LocalEngine, ask: Ask) -> None:
    loaded = own_engine._runner._loaded
    # No answer of its own may hold the token that spoils it.
    long = ask("long " * 20, max_tokens=90, constraint=Regex("[a-z ]{2000}"))
    short = ask("short", max_tokens=20, constraint=Regex("[a-z ]{2000}"))
    expected = await own_engine.complete(short)
    (spoilt,) = loaded.tokenizer.encode("#", add_special_tokens=False)
    loaded.model.get_input_embeddings().weight.data[spoilt] = float("nan")
    stream = own_engine.stream(long)
    await anext(stream)
    with pytest.raises(EngineError, match="not numbers"):
        await own_engine.complete(ask("x " * 20 + "#"))
    assert tokens(await own_engine.complete(short)) == tokens(expected)
    assert (await anext(stream)).completion is None, "the long answer still runs"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_what_is_no_number_is_not_remembered(own_engine: LocalEngine, ask: Ask) -> None:
    loaded = own_engine._runner._loaded
    (spoilt,) = loaded.tokenizer.encode("#", add_special_tokens=False)
    loaded.model.get_input_embeddings().weight.data[spoilt] = float("nan")
    held = Regex("[a-z ]{2000}")
    with pytest.raises(EngineError, match="not numbers"):
        await own_engine.complete(ask("x " * 20 + "#", constraint=held))
    assert (await own_engine.complete(ask("x " * 20, max_tokens=5, constraint=held))).text


async def test_no_memory_for_another_row_fails_that_row_alone(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    grow = torch.Tensor.new_zeros

    def limited(like: Any, *shape: int) -> Any:
        if len(shape) == 4 and shape[0] * shape[1] > 130:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return grow(like, *shape)

    monkeypatch.setattr(torch.Tensor, "new_zeros", limited)
    stream = own_engine.stream(ask("one", max_tokens=100))
    await anext(stream)
    with pytest.raises(EngineError, match="out of memory"):
        await own_engine.complete(ask("x " * 60))
    assert [delta async for delta in stream][-1].completion


async def test_a_prompt_that_cannot_be_remembered_is_answered(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tokens(await own_engine.complete(ask("one")))

    def full(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(own_engine._runner._slots, "copy", full)
    answers = await asyncio.gather(*(own_engine.complete(ask(text)) for text in ("one", "two", "three")))
    assert tokens(answers[0]) == expected


async def test_a_pass_that_is_too_large_is_made_in_halves(own_engine: LocalEngine, ask: Ask) -> None:
    requests = [ask(f"{index} cats", max_tokens=8) for index in range(5)]
    expected = [tokens(await own_engine.complete(request)) for request in requests]
    held: list[weakref.ref[set[str]]] = []

    def refuse(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        assert not [one for one in held if one() is not None], "what a failed pass took is free before the next"
        if len(kwargs["input_ids"]) > 2:
            computed = {"much"}
            held.append(weakref.ref(computed))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    own_engine._runner._loaded.model.register_forward_pre_hook(refuse, with_kwargs=True)
    answers = await asyncio.gather(*map(own_engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    assert held


@pytest.mark.parametrize("family", tiny_models.ONE_BY_ONE)
async def test_other_families_answer_one_at_a_time_and_say_so(family: str, checkpoint: Save, picture: Picture) -> None:
    engine = LocalEngine.load(checkpoint(family), device="cpu")
    assert engine.info.batching.startswith("one at a time: ")
    requests = [one for one in questions(picture) if not isinstance(one.messages[0].content[0], str)][:5]
    expected = [reference(engine, request) for request in requests]
    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    await engine.close()


async def test_text_alone_is_answered_one_at_a_time_too(checkpoint: Save, picture: Picture) -> None:
    engine = LocalEngine.load(checkpoint("gemma3"), device="cpu")
    talk = (Message("user", ("how many",)), Message("assistant", ("two cats",)), Message("user", ("yes or no",)))
    shown = Request((Message("user", (picture(), "how many cats")),), 8)
    requests = [Request((Message("user", ("the answer is",)),), 12), shown, Request(talk, 12)]
    expected = [reference(engine, request) for request in requests]
    answers = await asyncio.gather(*map(engine.complete, requests))
    assert [tokens(answer) for answer in answers] == expected
    assert [answer.usage.image_tokens for answer in answers] == [0, 4, 0]
    assert len(expected[0]) > 1
    await engine.close()


async def test_a_family_that_must_see_an_image_says_so(checkpoint: Save, picture: Picture) -> None:
    engine = LocalEngine.load(checkpoint("paligemma"), device="cpu")
    with pytest.raises(RequestError, match=r"paligemma.* takes no question without an image; show it one \("):
        await engine.complete(Request((Message("user", ("how many",)),), 8))
    assert (await engine.complete(Request((Message("user", (picture(), "how many")),), 8))).logprobs
    await engine.close()
