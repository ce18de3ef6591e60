"""Servers that fail, lie, or mean harm: every one ends in one clear line, in bounded time and memory."""

import gzip
import json
import math
import threading
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest

from cot.engine import Request, Sampling
from cot.engine.remote import Limits, RemoteEngine
from cot.engine.remote.address import ApiKey, parse_address
from cot.engine.remote.connections import Connections
from cot.engine.remote.status import retry_after
from cot.errors import EngineError, RequestError

Ask = Callable[..., Request]
Serve = Callable[[Any], Any]
Quick = Callable[..., Limits]
Answer = Callable[[Any], None]

KEY = "sk-very-secret-0123456789"


def _chat(model: Any, *answers: Answer) -> Callable[[Any, Any], None]:
    """A handler that gives these answers to chat completions, the last one for ever, and lists its models."""
    left = list(answers)

    def handler(asked: Any, wire: Any) -> None:
        if asked.body is None:
            model()(asked, wire)
        else:
            (left.pop(0) if len(left) > 1 else left[0])(wire)

    return handler


async def test_tokens_that_are_hardly_possible_have_a_sum(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    tokens = [{"token": letter, "logprob": -1e308} for letter in "hi!"]
    reply = _reply(choice={"message": {"content": "hi!"}, "logprobs": {"content": tokens}})
    server = serve(_chat(model, lambda wire: wire.send(reply)))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask())
    await engine.close()
    assert math.exp(math.fsum(token.logprob for token in answer.logprobs)) == 0


async def test_a_server_on_this_machine_is_asked_over_no_proxy(
    serve: Serve, model: Any, ask: Ask, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(model()), serve(model())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    await engine.complete(ask())
    await engine.close()
    assert (len(server.bodies), proxy.asked) == (1, [])


async def _fails(server: Any, request: Request, limits: Limits) -> str:
    """The one line with which a request fails."""
    engine = await RemoteEngine.connect(server.url, limits=limits)
    try:
        with pytest.raises(EngineError) as caught:
            await engine.complete(request)
    finally:
        await engine.close()
    line = str(caught.value)
    assert line.isprintable(), "one line, without control characters"
    assert "expected" in line
    assert server.url in line
    return line


def _reply(**changed: Any) -> str:
    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"} | changed.pop("choice", {})
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}} | changed)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "wrong shape"),
        ("<html><title>Sorry</title></html>", "wrong shape"),
        ("[1, 2]", "wrong shape"),
        ("{" * 10_000, "wrong shape"),
        ('{"object": "chat.completion"}', "usage"),
        (_reply(choices=[]), "has 0 samples; expected 1"),
        (_reply(choices=[{"message": {"content": "a"}, "finish_reason": "stop"}] * 2), "two samples with the index 0"),
        (_reply(choice={"index": 1}), "index 1"),
        (_reply(choice={"message": None}), "choices.0.message"),
        (_reply(choice={"message": {"content": None}}), "has no text"),
        (_reply(choice={"message": {"content": None, "reasoning": "3?"}}), "has thoughts and no answer"),
        (_reply(choice={"message": {"content": 5}}), "choices.0.message.content"),
        (_reply(choice={"message": {"content": [{"type": "text", "text": 5}]}}), "choices.0.message.content"),
        (_reply(choice={"message": {"content": None, "refusal": "No\x1b[0m!"}}), "refused to answer: No!"),
        (_reply(choice={"finish_reason": None}), "the reason ''"),
        (_reply(choice={"finish_reason": "tool_calls"}), "'tool_calls'"),
        (_reply(choice={"logprobs": {"content": [{"token": "hi", "logprob": float("nan")}]}}), "logprob"),
        (_reply(choice={"logprobs": {"content": [{"token": "hi", "logprob": 3.5}]}}), "logprob"),
        (_reply(usage={"prompt_tokens": -1, "completion_tokens": 1}), "usage.prompt_tokens"),
        (_reply(usage=None), "usage"),
        ('{"error": {"message": "out of memory"}}', "failed: out of memory"),
        ('{"object": "error", "message": "out of\\nmemory", "code": 500, "param": null}', "failed: out of memory; exp"),
        ('{"object": "error"}', "the server failed"),
        ('{"error": "out of memory", "choices": null, "usage": null}', "failed: out of memory"),
        (_reply(choices=None), "has 0 samples; expected 1"),
    ],
)
async def test_wrong_replies(serve: Serve, model: Any, ask: Ask, quick: Quick, body: str, problem: str) -> None:
    server = serve(_chat(model, lambda wire: wire.send(body)))
    assert problem in await _fails(server, ask(), quick())


@pytest.mark.parametrize(
    ("choice", "withheld"),
    [
        ({"message": {"content": None, "refusal": "No!"}}, True),
        ({"finish_reason": "content_filter"}, True),
        ({"finish_reason": "tool_calls"}, False),
    ],
)
async def test_what_is_withheld_for_what_was_asked_is_no_failure_of_the_server(
    serve: Serve, model: Any, ask: Ask, quick: Quick, choice: dict[str, Any], withheld: bool
) -> None:
    server = serve(_chat(model, lambda wire: wire.send(_reply(choice=choice))))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError) as caught:
        await engine.complete(ask())
    await engine.close()
    assert isinstance(caught.value, RequestError) == withheld


def _send(body: str, wire: Any) -> None:
    wire.send(body)


async def test_a_reply_of_very_many_faults_is_refused_at_the_first(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    many = ",".join("0" * 200_000)
    tracemalloc.start()
    try:
        for body in (f'{{"choices": [{many}]}}', _reply(choice={"logprobs": {"content": [0] * 200_000}})):
            server = serve(_chat(model, partial(_send, body)))
            assert "wrong shape" in await _fails(server, ask(), quick())
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/no/such/file.pem")
    with pytest.raises(EngineError, match="certificates to trust cannot be read: .*SSL_CERT_FILE"):
        Connections(parse_address("http://localhost:1/v1"), ApiKey("COT_API_KEY"), Limits())


async def test_no_sample_at_all(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(_chat(model, lambda wire: wire.send(_reply(choices=[]))))
    assert "has 0 samples; expected 3" in await _fails(server, ask(n=3, sampling=Sampling(1.0)), quick())


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (400, {"error": {"message": "This model's maximum context length is 512 tokens."}}, "longer context"),
        (400, {"object": "error", "message": "images are not supported"}, "HTTP 400: images are not supported"),
        (401, {"error": {"message": "no key"}}, "a request without a key (HTTP 401: no key); expected a valid key"),
        (402, {"error": {"message": "no credits"}}, "HTTP 402: no credits); expected an answer; pay"),
        (403, "<html><title>Forbidden</title>", "HTTP 403: Forbidden"),
        (404, {"error": "model 'x' not found"}, "HTTP 404: model 'x' not found); expected a model it serves"),
        (413, "<html><title>413 Request Entity Too Large</title>", "use smaller images"),
        (418, "short and\r\n\x1b]0;title\x07 st\u202eout", "HTTP 418: short and stout"),
        (422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}, "Field required"),
        (500, {"error": {"message": "image input is not supported - hint: provide the mmproj"}}, "server takes images"),
        (501, "", "refused the request (HTTP 501)"),
        (400, "x" * 10**6, "xxx\u2026"),
    ],
)
async def test_refusals_are_final(
    serve: Serve, model: Any, ask: Ask, quick: Quick, status: int, body: Any, problem: str
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    server = serve(_chat(model, lambda wire: wire.send(text, status)))
    line = await _fails(server, ask(), quick())
    assert problem in line
    assert len(line) < 700
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "of_the_request"), [(400, True), (413, True), (422, True), (401, False), (404, False)]
)
async def test_refusals_of_what_is_asked_are_told_from_those_of_everything(
    serve: Serve, model: Any, ask: Ask, quick: Quick, status: int, of_the_request: bool
) -> None:
    server = serve(_chat(model, lambda wire: wire.send("no", status)))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError) as caught:
        await engine.complete(ask())
    await engine.close()
    assert isinstance(caught.value, RequestError) == of_the_request


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_passing_trouble_passes(serve: Serve, model: Any, ask: Ask, quick: Quick, status: int) -> None:
    answers = [lambda wire: wire.send("later", status)] * 2
    server = serve(_chat(model, *answers, lambda wire: wire.send(_reply())))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert (await engine.complete(ask())).text == "hi"
    await engine.close()
    assert len(server.bodies) == 3
    assert server.bodies[0] == server.bodies[2]


async def test_trouble_that_stays_is_told(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(_chat(model, lambda wire: wire.send('{"error": "loading"}', 503)))
    assert "(HTTP 503: loading); expected an answer; try again later (tried 3 times)" in await _fails(
        server, ask(), quick(retries=2)
    )
    assert len(server.bodies) == 3


async def test_a_server_says_how_long_to_wait(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    def times(value: object, **limits: float) -> tuple[Any, Limits]:
        busy = serve(_chat(model, lambda w: w.send("", 429, Retry_After=value), lambda w: w.send(_reply())))
        return busy, quick(**limits)

    for value, limits, least, most in (
        (0.2, {"longest_wait_seconds": 10.0}, 0.2, 3.0),
        (3600, {"longest_wait_seconds": 0.05}, 0.05, 3.0),
        (0, {"first_wait_seconds": 0.4, "longest_wait_seconds": 10.0}, 0.2, 3.0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1)), {"longest_wait_seconds": 0.05}, 0.05, 3.0),
    ):
        server, bounds = times(value, **limits)
        engine = await RemoteEngine.connect(server.url, limits=bounds)
        begun = time.perf_counter()
        await engine.complete(ask())
        assert least <= time.perf_counter() - begun < most
        await engine.close()


def test_reading_retry_after() -> None:
    assert retry_after("12") == 12
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1))) == 0
    assert 3500 < (retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)) or 0) <= 3600
    for odd in (None, "", "soon", "-5", "nan", "1e9", "9" * 400, "Mon, 99 Foo 2026 00:00:00 GMT"):
        assert retry_after(odd) is None


async def test_a_cut_off_reply_is_asked_for_again(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    def cut(wire: Any) -> None:
        wire.head(Content_Length=5000)
        wire.raw(b'{"choices": [')

    server = serve(_chat(model, cut, lambda wire: None, lambda wire: wire.send(_reply())))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert (await engine.complete(ask())).text == "hi"
    await engine.close()
    assert len(server.bodies) == 3


def _drip(wire: Any) -> None:
    wire.head()
    for _ in range(1000):
        wire.raw(b" ")
        threading.Event().wait(0.02)


def _silent(wire: Any) -> None:
    threading.Event().wait(1.0)


@pytest.mark.parametrize(
    ("answer", "limits", "problem"),
    [
        (_drip, {"timeout_seconds": 0.3}, "did not answer within 0.3 seconds"),
        (_silent, {"timeout_seconds": 0.3}, "did not answer within 0.3 seconds"),
        (_silent, {"silence_timeout_seconds": 0.1, "retries": 1}, "ReadTimeout.*tried 2 times"),
    ],
)
async def test_slow_servers(
    serve: Serve, model: Any, ask: Ask, quick: Quick, answer: Answer, limits: dict[str, float], problem: str
) -> None:
    import re

    begun = time.perf_counter()
    assert re.search(problem, await _fails(serve(_chat(model, answer)), ask(), quick(**limits)))
    assert time.perf_counter() - begun < 4


def _endless(wire: Any) -> None:
    wire.head()
    while True:
        wire.raw(b" " * 2**16)


def _endless_stream(wire: Any) -> None:
    wire.head(Content_Type="text/event-stream")
    while True:
        wire.raw(b"data: " + b"x" * 2**16)


def _endless_header(wire: Any) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        wire.raw(b"X-More: " + b"x" * 2**14 + b"\r\n")


def _says_huge(wire: Any) -> None:
    wire.head(Content_Length=10**15)


def _bomb(wire: Any) -> None:
    wire.send(gzip.compress(b" " * 10**7), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (_endless, "more than 100000 bytes"),
        (_endless_stream, "more than 100000 bytes"),
        (_says_huge, "more than 100000 bytes"),
        (_endless_header, "cannot be reached, or broke off"),
        (_bomb, "compressed reply (gzip)"),
    ],
)
async def test_floods(serve: Serve, model: Any, ask: Ask, quick: Quick, answer: Answer, problem: str) -> None:
    server = serve(_chat(model, answer))
    limits = quick(max_reply_bytes=100_000, retries=0)
    assert problem in await _fails(server, ask(), limits)
    engine = await RemoteEngine.connect(server.url, limits=limits)
    with pytest.raises(EngineError) as caught:
        async for _ in engine.stream(ask()):
            pass
    assert problem in str(caught.value)
    await engine.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    serve: Serve, model: Any, ask: Ask, quick: Quick, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COT_API_KEY", KEY)
    thief = serve(model())
    server = serve(_chat(model, lambda wire: wire.send("", status, Location=f"{thief.url}/chat/completions")))
    line = await _fails(server, ask(), quick())
    assert f"points elsewhere (HTTP {status} to {thief.url}" in line
    assert thief.asked == []


async def test_the_key_goes_along_and_shows_nowhere(
    serve: Serve, model: Any, ask: Ask, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COT_API_KEY", KEY)
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
    server = serve(_chat(model, lambda w: w.send(said, 401), lambda w: w.send(said)))
    for problem in ("refused the key in COT_API_KEY (HTTP 401: Incorrect API key provided: ***)", "provided: ***"):
        assert problem in await _fails(server, ask(), quick(retries=0))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    shown = f"{engine!r} {vars(engine)} {vars(engine._connections)} {vars(engine._connections.open())} {engine.info}"
    await engine.close()
    assert KEY not in shown


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_that_a_server_repeats_is_in_no_answer(
    serve: Serve, model: Any, ask: Ask, quick: Quick, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    monkeypatch.setenv("COT_API_KEY", KEY)
    engine = await RemoteEngine.connect(serve(model(text=f"it is {KEY}.")).url, limits=quick())
    if stream:
        completion = [delta async for delta in engine.stream(ask())][-1].completion
    else:
        completion = await engine.complete(ask())
    await engine.close()
    assert completion is not None
    assert (completion.text, completion.logprobs) == ("it is ***.", ())


@pytest.mark.parametrize("field", ["error", "refusal", "reason"])
async def test_no_part_of_a_key_is_in_an_error(
    serve: Serve, model: Any, ask: Ask, quick: Quick, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setenv("COT_API_KEY", KEY)
    said = "x" * (50 if field == "reason" else 290) + KEY
    reply = {
        "error": _reply(error={"message": said}),
        "refusal": _reply(choice={"message": {"content": "", "refusal": said}}),
        "reason": _reply(choice={"finish_reason": said}),
    }[field]
    line = await _fails(serve(_chat(model, lambda wire: wire.send(reply))), ask(), quick())
    assert "xxx" in line
    assert KEY[:8] not in line


async def test_nobody_there(ask: Ask, quick: Quick) -> None:
    with pytest.raises(EngineError, match=r"http://127.0.0.1:9/v1 cannot be reached.*tried 2 times"):
        await RemoteEngine.connect("http://127.0.0.1:9/v1", limits=quick(retries=1))


@pytest.mark.parametrize("changed", [{"timeout_seconds": 0}, {"retries": -1}, {"max_concurrency": 0}])
def test_limits_are_checked(changed: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="expected a number above 0"):
        Limits(**changed)
