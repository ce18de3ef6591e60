"""Streams: cut anywhere, with comments and keep-alives, and cut off."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cot.engine import Choices, Request, Sampling, Usage
from cot.engine.remote import Limits, RemoteEngine
from cot.engine.remote.reply import Gathered
from cot.engine.remote.stream import EventDecoder
from cot.errors import EngineError

Ask = Callable[..., Request]
Serve = Callable[[Any], Any]
Quick = Callable[..., Limits]


def _chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def _streams(model: Any, *parts: bytes) -> Callable[[Any, Any], None]:
    """A handler that answers with these bytes, one after another."""

    def handler(asked: Any, wire: Any) -> None:
        if asked.body is None:
            model()(asked, wire)
            return
        wire.head(Content_Type="text/event-stream")
        for part in parts:
            wire.raw(part)
            threading.Event().wait(0.005)

    return handler


async def _texts(engine: RemoteEngine, request: Request) -> tuple[list[str], Any]:
    deltas = [delta async for delta in engine.stream(request)]
    return [delta.text for delta in deltas[:-1]], deltas[-1].completion


async def test_pieces_then_the_completion(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(owner="vllm"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    texts, completion = await _texts(engine, ask())
    await engine.close()
    assert texts == ["two", " ca", "ts"]
    assert completion.text == "two cats"
    assert len(completion.logprobs) == 3
    assert completion.usage == Usage(prompt_tokens=20, cached_tokens=16, completion_tokens=4, calls=1, batches=1)
    assert completion.timings.prefill_seconds > 0
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


async def test_several_samples_stream_the_first(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    for owner in ("vllm", "library"):
        engine = await RemoteEngine.connect(serve(model(owner=owner)).url, limits=quick())
        texts, completion = await _texts(engine, ask(n=2, sampling=Sampling(1.0)))
        await engine.close()
        assert "".join(texts) == "two cats"
        assert [candidate.text for candidate in completion.candidates] == ["two cats"] * 2


@pytest.mark.parametrize("thinks", [0, 1])
async def test_what_was_streamed_is_not_streamed_again_where_another_sample_stopped_in_thoughts(
    serve: Serve, model: Any, ask: Ask, quick: Quick, thinks: int
) -> None:
    def handler(asked: Any, wire: Any) -> None:
        if not asked.body or "stop" not in asked.body:
            model(text="second")(asked, wire)
            return
        texts = ("<think>3" if index == thinks else "first" for index in range(2))
        choices = [{"index": i, "delta": {"content": text}, "finish_reason": "stop"} for i, text in enumerate(texts)]
        wire.events({"choices": choices})

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    texts, completion = await _texts(engine, ask(n=2, sampling=Sampling(1.0), stop=("\n",)))
    await engine.close()
    assert "".join(texts) == completion.text
    assert [candidate.text for candidate in completion.candidates] == (
        ["second", "first"] if thinks == 0 else ["first", "second"]
    )


@pytest.mark.parametrize(
    ("pieces", "streamed"),
    [
        (("\n<thi", "nk>3, STOP or 4?</th", "ink>\n", "\n3 ca", "ts ", "or", "so \n"), ["3 ca", "ts", " or", "so"]),
        (("<think>", "3 or 4?"), []),
        (("<think></think>", "3 STOP 4"), ["3 "]),
        (("\n", " <", "b> 3 <think>", "4</think> "), ["\n <b> 3 <think>", "4</think> "]),
        (("\n", " <thin"), ["\n <thin"]),
    ],
)
async def test_thoughts_are_no_part_of_a_streamed_answer_either(
    serve: Serve, model: Any, ask: Ask, quick: Quick, pieces: tuple[str, ...], streamed: list[str]
) -> None:
    parts = (*(_chunk(piece) for piece in pieces), _chunk("", "stop"), b"data: [DONE]\n\n")
    engine = await RemoteEngine.connect(serve(_streams(model, *parts)).url, limits=quick())
    texts, completion = await _texts(engine, ask(stop=("STOP",)))
    await engine.close()
    assert texts == streamed
    assert completion.timings.prefill_seconds > 0, "thoughts are decoded, whether they are shown or not"
    if "</think>" not in "".join(texts):
        assert "".join(texts) == completion.text


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_thoughts_in_a_field_of_their_own_count_as_decoding(
    serve: Serve, model: Any, ask: Ask, quick: Quick, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, thought_at = threading.Event(), 0.0
    add_chunk = Gathered.add_chunk

    def told(reply: Gathered, data: str) -> str:
        text = add_chunk(reply, data)
        read.set()
        return text

    monkeypatch.setattr(Gathered, "add_chunk", told)

    def handler(asked: Any, wire: Any) -> None:
        nonlocal thought_at
        if asked.body is None:
            model()(asked, wire)
            return
        wire.head(Content_Type="text/event-stream")
        for thought in ("3", " or 4?"):
            wire.raw(f"data: {json.dumps({'choices': [{'index': 0, 'delta': {field: thought}}]})}\n\n".encode())
        read.wait(5)
        thought_at = time.perf_counter()
        time.sleep(0.2)
        wire.raw(_chunk("3 cats", "stop"))

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    asked_at = time.perf_counter()
    texts, completion = await _texts(engine, ask())
    await engine.close()
    assert (texts, completion.text) == (["3 cats"], "3 cats")
    assert completion.usage.completion_tokens == 3, "thoughts are generated, too"
    assert asked_at + completion.timings.prefill_seconds < thought_at, "what a model thinks is no part of reading"


async def test_a_constrained_answer_comes_whole_and_checked(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    engine = await RemoteEngine.connect(serve(model(text='{"answer": "yes"}')).url, limits=quick())
    texts, completion = await _texts(engine, ask(constraint=Choices(("yes", "no"))))
    assert (texts, completion.text) == (["yes"], "yes")
    with pytest.raises(EngineError, match="expected what fits"):
        await _texts(engine, ask(constraint=Choices(("left", "right"))))
    await engine.close()


async def test_without_usage_tokens_are_counted_as_they_come(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(refuses=("stream_options",)))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    _, completion = await _texts(engine, ask())
    await engine.close()
    assert completion.usage == Usage(completion_tokens=3, calls=1, batches=1)
    assert engine.info.versions["without"] == "stream_options"


async def test_odd_but_valid_streams(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    parts = (
        b"\xef\xbb\xbf: hello\r\n\r\nevent: x\r\nid: 1\r\nda",
        b"ta:" + _chunk("caf\u00e9 ")[5:-2] + b"\r",
        b"\n\r\n",
    )
    text = _chunk("\u4e2d")
    end = (text[:40], text[40:], b": keep-alive\n\n", b"data:\n\n", _chunk("", "stop")[:-1])
    engine = await RemoteEngine.connect(serve(_streams(model, *parts, *end)).url, limits=quick())
    texts, completion = await _texts(engine, ask())
    await engine.close()
    assert texts == ["caf\u00e9 ", "\u4e2d"]
    assert completion.text == "caf\u00e9 \u4e2d"


async def test_a_stop_string_never_shows(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    parts = (_chunk("one E"), _chunk("N two EN"), _chunk("D three"), _chunk("", "length"), b"data: [DONE]\n\n")
    engine = await RemoteEngine.connect(serve(_streams(model, *parts)).url, limits=quick())
    texts, completion = await _texts(engine, ask(stop=("END", "\n\n")))
    await engine.close()
    assert "".join(texts) == completion.text == "one EN two "
    assert completion.finish_reason == "stop"


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ((_chunk("two c"),), "broke off its answer"),
        ((_chunk("<think>3 or 4?"),), "broke off its answer.*tried 2 times"),
        ((_chunk("<think>3 or 4?</think>two c"),), "broke off its answer"),
        ((_chunk("two c"), b"data: {not json}\n\n"), "wrong shape"),
        ((_chunk("two c"), b'data: {"error": {"message": "out of\\u001b[31m memory"}}\n\n'), "failed: out of memory"),
        ((_chunk("two c"), b'data: {"object": "error", "message": "out of memory"}\n\n'), "failed: out of memory"),
        ((_chunk("two c"), b"data: [DONE]\n\n"), "ended with the reason ''"),
        ((b'data: {"choices": [{"index": 7, "delta": {}}]}\n\n',), "index 7"),
        ((_chunk("x", "content_filter"), b"data: [DONE]\n\n"), "'content_filter'"),
        ((b": sorry\n\n",), "broke off its answer.*tried 2 times"),
        ((b"<html>sorry</html>",), "wrong shape"),
    ],
)
async def test_broken_streams(
    serve: Serve, model: Any, ask: Ask, quick: Quick, parts: tuple[bytes, ...], problem: str
) -> None:
    server = serve(_streams(model, *parts))
    engine = await RemoteEngine.connect(server.url, limits=quick(retries=1))
    with pytest.raises(EngineError, match=problem) as caught:
        await _texts(engine, ask())
    await engine.close()
    assert server.url in str(caught.value)
    given = any(b"two c" in part for part in parts)
    assert len(server.bodies) == 1 or not given, "what was shown must not be shown again"


async def test_a_server_that_does_not_stream_answers_at_once(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    def handler(asked: Any, wire: Any) -> None:
        model()(dataclasses.replace(asked, body=asked.body and asked.body | {"stream": False}), wire)

    server = serve(handler)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    texts, completion = await _texts(engine, ask(stop=(" ca",)))
    await engine.close()
    assert texts == ["two"]
    assert (completion.text, completion.usage.prompt_tokens) == ("two", 20)
    assert len(server.bodies) == 1


async def test_leaving_early_hangs_up(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(_streams(model, *[_chunk("more ")] * 2000))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    stream = engine.stream(ask())
    assert (await anext(stream)).text == "more "
    await stream.aclose()  # type: ignore[attr-defined]
    assert server.gone.wait(5)
    await engine.close()


@given(cuts=st.lists(st.integers(0, 200)), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]))
@settings(max_examples=50)
def test_events_do_not_depend_on_where_the_bytes_are_cut(cuts: list[int], ends: bytes) -> None:
    whole = ": hi\n\ndata: caf\u00e9\n\nevent: x\ndata:a\ndata\ndata:  b\n\nid\n\ndata: {}\n".encode().replace(
        b"\n", ends
    )
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    decoder = EventDecoder()
    found = [data for start, end in pairwise(places) for data in decoder.feed(whole[start:end])]
    assert found + decoder.end() == ["caf\u00e9", "a\n\n b", "{}"]
