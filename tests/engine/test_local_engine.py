"""Many requests in flight: order, streams, cancellation, failures, closing."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cot.engine import Choices, Completion, Regex, Request, Sampling
from cot.engine.local import LocalEngine
from cot.errors import EngineError

Ask = Callable[..., Request]
Alike = Callable[[Completion, Completion], bool]


def model_of(engine: LocalEngine) -> Any:
    return engine._runner._loaded.model


def count_forwards(engine: LocalEngine) -> list[int]:
    """A list that grows by one with each pass through the model."""
    passes: list[int] = []
    model_of(engine).register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


async def test_many_in_flight(engine: LocalEngine, ask: Ask, alike: Alike) -> None:
    requests = [ask(f"{index} cats", max_tokens=5) for index in range(20)]
    together = await asyncio.gather(*map(engine.complete, requests))
    for request, answer in zip(requests, together, strict=True):
        assert alike(await engine.complete(request), answer)


async def test_a_full_batch_starts_while_more_is_prepared(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = threading.Event()
    prepare = own_engine._preparer.prepare

    def slow_from_the_third_on(request: Request, *arguments: Any, **settings: Any) -> Any:
        if request == last:
            assert prepared.wait(60)
        return prepare(request, *arguments, **settings)

    monkeypatch.setattr(own_engine._preparer, "prepare", slow_from_the_third_on)
    monkeypatch.setattr(own_engine._runner, "_max_rows", 2)
    *first, last = [ask(f"{index} cats", max_tokens=5) for index in range(3)]
    waiting = [asyncio.ensure_future(own_engine.complete(request)) for request in (*first, last)]
    await asyncio.wait_for(asyncio.gather(*waiting[:2]), 60)
    assert not waiting[2].done()
    prepared.set()
    await waiting[2]


async def test_one_failure_fails_one_request(engine: LocalEngine, ask: Ask, alike: Alike) -> None:
    requests = [ask(), ask("x " * 600), ask(constraint=Regex("(")), ask()]
    first, long, invalid, last = await asyncio.gather(*map(engine.complete, requests), return_exceptions=True)
    assert isinstance(long, EngineError)
    assert isinstance(invalid, EngineError)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert alike(first, last)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n": 2, "sampling": Sampling(2.0, seed=4)},
        {"constraint": Regex("[é中]{6}")},
        {"constraint": Choices(("yes", "no"))},
        {"stop": ("are", "blare")},
        {"constraint": Regex("红色。答案"), "stop": ("。答",)},
        {"stop": ("never",), "sampling": Sampling(1.0, seed=8)},
    ],
)
async def test_stream_adds_up(engine: LocalEngine, ask: Ask, settings: dict[str, Any], alike: Alike) -> None:
    request = ask(max_tokens=40, **settings)
    deltas = [delta async for delta in engine.stream(request)]
    whole = await engine.complete(request)
    assert "".join(delta.text for delta in deltas) == whole.text
    assert all(delta.completion is None for delta in deltas[:-1])
    assert deltas[-1].completion is not None
    assert alike(deltas[-1].completion, whole)
    if whole.text.isprintable():
        assert not any("\ufffd" in delta.text for delta in deltas)


async def test_stream_comes_in_pieces_and_fails_clearly(engine: LocalEngine, ask: Ask) -> None:
    assert len([delta async for delta in engine.stream(ask(max_tokens=30))]) > 5
    with pytest.raises(EngineError, match="bad request"):
        async for _ in engine.stream(ask(max_tokens=0)):
            pass


async def test_leaving_a_stream_stops_it(own_engine: LocalEngine, ask: Ask) -> None:
    passes = count_forwards(own_engine)
    stream = own_engine.stream(ask(max_tokens=220))
    async for delta in stream:
        assert delta.text
        break
    await stream.aclose()  # type: ignore[attr-defined]
    await own_engine.complete(ask(max_tokens=1))
    assert len(passes) < 110


async def test_cancellation_stops_the_running_and_drops_the_waiting(own_engine: LocalEngine, ask: Ask) -> None:
    passes = count_forwards(own_engine)
    tasks = [asyncio.create_task(own_engine.complete(ask(max_tokens=220))) for _ in range(3)]
    while not passes:
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert (await own_engine.complete(ask(max_tokens=1))).usage.completion_tokens == 1
    assert len(passes) < 110


async def test_out_of_memory_and_other_failures(own_engine: LocalEngine, ask: Ask) -> None:
    import torch

    for error, message in (
        (
            torch.OutOfMemoryError("tried to allocate 9 GiB"),
            r"out of memory on cpu .* 1 images, 1 samples and 12 tokens",
        ),
        (ValueError("wrong\nshape"), "failed on this request: ValueError: wrong shape"),
    ):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        hook = model_of(own_engine).register_forward_pre_hook(fail)
        with pytest.raises(EngineError, match=message):
            await own_engine.complete(ask())
        hook.remove()
    await own_engine.complete(ask())


async def test_logits_that_are_not_numbers(own_engine: LocalEngine, ask: Ask) -> None:
    model_of(own_engine).lm_head.weight.data.fill_(float("nan"))
    for sampling in (Sampling(), Sampling(1.0, top_p=0.9)):
        with pytest.raises(EngineError, match="not numbers"):
            await own_engine.complete(ask(sampling=sampling))


async def test_close_ends_the_thread_and_what_runs(own_engine: LocalEngine, ask: Ask) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("cot-engine")}

    running = threads()
    passes = count_forwards(own_engine)
    tasks = [asyncio.create_task(own_engine.complete(ask(max_tokens=220))) for _ in range(2)]
    while not passes:
        await asyncio.sleep(0.001)
    assert threads() == running
    await own_engine.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EngineError)
        assert "is closed" in str(result)
    assert len(running - threads()) == 2
    with pytest.raises(EngineError, match="is closed; load it again"):
        await own_engine.complete(ask())
    await own_engine.close()


async def test_a_prompt_that_is_never_ready_holds_no_one_up_who_closes(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def prepare(*_: object, **__: object) -> None:
        begun.set()
        may_end.wait()
        raise EngineError("too late")

    monkeypatch.setattr("cot.engine.local.engine.CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(own_engine._preparer, "prepare", prepare)
    stuck, behind = (asyncio.create_task(own_engine.complete(ask())) for _ in range(2))
    await asyncio.to_thread(begun.wait)
    await own_engine.close()
    with pytest.raises(EngineError, match="is closed"):
        await behind
    may_end.set()
    with pytest.raises(EngineError, match="too late"):
        await stuck


def held_up(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, *, after: int
) -> tuple[threading.Event, threading.Event]:
    """Hold up all that is prepared `after` so many; what says that one was begun, and what lets them go on."""
    begun, may_end, calls = threading.Event(), threading.Event(), itertools.count()
    preparer: Any = engine._preparer
    prepare = preparer.prepare

    def late(*arguments: Any, **settings: Any) -> Any:
        number = next(calls)
        begun.set()
        if number >= after:
            may_end.wait()
        return prepare(*arguments, **settings)

    monkeypatch.setattr("cot.engine.local.engine.CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(preparer, "prepare", late)
    return begun, may_end


async def test_what_waits_for_others_to_be_ready_fails_when_it_is_closed(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = held_up(own_engine, monkeypatch, after=1)
    ready, stuck = (asyncio.create_task(own_engine.complete(ask())) for _ in range(2))
    await asyncio.to_thread(begun.wait)
    await own_engine.close()
    with pytest.raises(EngineError, match="is closed"):
        await asyncio.wait_for(ready, 30)
    may_end.set()
    with pytest.raises(EngineError, match="is closed"):
        await asyncio.wait_for(stuck, 30)


async def test_a_prompt_that_is_ready_too_late_is_refused(
    own_engine: LocalEngine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = held_up(own_engine, monkeypatch, after=0)
    asked = asyncio.create_task(own_engine.complete(ask()))
    await asyncio.to_thread(begun.wait)
    await own_engine.close()
    may_end.set()
    with pytest.raises(EngineError, match="is closed"):
        await asyncio.wait_for(asked, 5)
