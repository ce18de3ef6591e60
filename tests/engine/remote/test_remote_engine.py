"""Asking a server that behaves: what is sent, what comes back, and many requests at one time."""

import asyncio
import base64
import gc
import http.server
import io
import json
import threading
import weakref
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from cot.engine import Candidate, Message, Request, Sampling, TokenLogprob, Usage
from cot.engine.remote import Limits, RemoteEngine
from cot.engine.remote.request import ImageUrls
from cot.engine.remote.text import cut_at_stop, spelling, without_thoughts
from cot.errors import EngineError
from cot.image import LoadedImage

Ask = Callable[..., Request]
Serve = Callable[[Any], Any]
Quick = Callable[..., Limits]


async def test_an_answer_and_what_it_cost(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(owner="vllm", pages={"/version": {"version": "0.12.0"}}))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask())
    await engine.close()
    assert answer.text == "two cats"
    assert answer.finish_reason == "stop"
    assert [token.token for token in answer.logprobs] == ["two", " ca", "ts"]
    assert answer.usage == Usage(prompt_tokens=20, cached_tokens=16, completion_tokens=4, calls=1, batches=1)
    assert answer.timings.decode_seconds > 0
    info = engine.info
    assert (info.model, info.device, info.versions) == ("tiny", server.url, {"server": "vllm 0.12.0"})


async def test_images_go_as_png_in_their_place_and_always_the_same(
    serve: Serve, model: Any, picture: LoadedImage, quick: Quick
) -> None:
    server = serve(model())
    engine = await RemoteEngine.connect(server.url, limits=quick())
    messages = (Message("system", ("be brief",)), Message("user", ("look", picture, "how many")))
    await engine.complete(Request(messages, 5))
    await engine.complete(Request((Message("user", (picture, "which colour")),), 5))
    await engine.close()
    first, second = server.bodies
    assert first["messages"][0] == {"role": "system", "content": "be brief"}
    assert [part["type"] for part in first["messages"][1]["content"]] == ["text", "image_url", "text"]
    url = first["messages"][1]["content"][1]["image_url"]["url"]
    assert second["messages"][0]["content"][0]["image_url"]["url"] == url
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    sent = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (sent.size, sent.tobytes()) == (picture.pixels.size, picture.pixels.tobytes())


def test_an_image_is_encoded_once_and_forgotten_in_time(picture: LoadedImage) -> None:
    made: list[str] = []

    class Counting(LoadedImage):
        def to_png(self) -> bytes:
            made.append(self.sha256)
            return b"x" * 300

    one, two, three = (Counting(picture.pixels, sha256=name, source="") for name in ("one", "two", "three"))
    urls = ImageUrls(max_bytes=1000)
    assert len({urls.url(image) for image in (one, two, one)}) == 1
    urls.url(three)
    urls.url(one)
    urls.url(two)
    assert made == ["one", "two", "three", "two"]


@pytest.mark.parametrize(
    ("owner", "greedy", "random"),
    [
        ("vllm", {"repetition_penalty": 1.0}, {"repetition_penalty": 1.2, "top_k": 5, "min_p": 0.1}),
        ("sglang", {"repetition_penalty": 1.0}, {"repetition_penalty": 1.2, "top_k": 5, "min_p": 0.1}),
        ("llamacpp", {"repeat_penalty": 1.0}, {"repeat_penalty": 1.2, "top_k": 5, "min_p": 0.1}),
        ("someone", {}, {"repetition_penalty": 1.2, "top_k": 5, "min_p": 0.1}),
    ],
)
async def test_sampling_is_said_in_the_servers_words(
    serve: Serve, model: Any, ask: Ask, quick: Quick, owner: str, greedy: dict[str, Any], random: dict[str, Any]
) -> None:
    server = serve(model(owner=owner))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    await engine.complete(ask("hi", stop=("\n",)))
    sampling = Sampling(0.7, top_p=0.9, top_k=5, min_p=0.1, repetition_penalty=1.2, seed=3)
    await engine.complete(ask("hi", sampling=sampling))
    await engine.close()
    unset = {"model", "messages", "logprobs", "top_logprobs"}
    first, second = ({name: value for name, value in body.items() if name not in unset} for body in server.bodies)
    assert first == {"max_tokens": 12, "temperature": 0.0, "stop": ["\n"], **greedy}
    assert second == {"max_tokens": 12, "temperature": 0.7, "top_p": 0.9, "seed": 3, **random}


async def test_ollama_refuses_what_it_would_pass_over(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(owner="library", pages={"/api/version": {"version": "0.13.0"}}))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError, match="top_k=5 for an Ollama server"):
        await engine.complete(ask(sampling=Sampling(1.0, top_k=5)))
    assert (await engine.complete(ask(sampling=Sampling(0.0, top_k=5)))).text == "two cats"
    await engine.close()
    assert engine.info.versions["server"] == "ollama 0.13.0"


@pytest.mark.parametrize(("owner", "seeds"), [("vllm", [7]), ("llamacpp", [7, 8, 9]), ("library", [7, 8, 9])])
async def test_samples(serve: Serve, model: Any, ask: Ask, quick: Quick, owner: str, seeds: list[int]) -> None:
    server = serve(model(owner=owner))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask(n=3, sampling=Sampling(1.0, seed=7)))
    await engine.close()
    assert [candidate.text for candidate in answer.candidates] == ["two cats"] * 3
    assert sorted(body["seed"] for body in server.bodies) == seeds
    assert answer.usage.calls == len(seeds)


@pytest.mark.parametrize("refuses", [(), ("n",)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_gives_one_sample_is_asked_for_the_others(
    serve: Serve, model: Any, ask: Ask, quick: Quick, refuses: tuple[str, ...], *, stream: bool
) -> None:
    class Single(model):  # type: ignore[misc]
        def reply(self, body: Any) -> Any:
            return super().reply(body | {"n": 1})

    server = serve(Single(text=lambda body: f"seed {body['seed']}", refuses=refuses))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    request = ask(n=3, sampling=Sampling(1.0, seed=7))
    for _ in range(2):
        if stream:
            deltas = [delta async for delta in engine.stream(request)]
            assert "".join(delta.text for delta in deltas) == "seed 7"
            answer = deltas[-1].completion
        else:
            answer = await engine.complete(request)
        assert answer is not None
        assert [candidate.text for candidate in answer.candidates] == ["seed 7", "seed 8", "seed 9"]
    await engine.close()
    assert ["n" in body for body in server.bodies].count(True) == 1
    assert engine.info.versions["without"] == "n"


async def test_greedy_samples_are_asked_for_once(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(owner="vllm"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert len((await engine.complete(ask(n=3))).candidates) == 3
    await engine.close()
    assert "n" not in server.bodies[0]


async def test_what_a_server_refuses_is_left_out_from_then_on(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(refuses=("logprobs", "seed")))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    for _ in range(2):
        answer = await engine.complete(ask(sampling=Sampling(1.0)))
        assert (answer.text, answer.logprobs) == ("two cats", ())
    await engine.close()
    assert len(server.bodies) == 4
    assert not {"logprobs", "seed"} & set(server.bodies[-1])
    assert engine.info.versions["without"] == "logprobs, seed"


UNSUPPORTED = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
    "supported.",
    "top_p": "Unsupported parameter: 'top_p' is not supported with this model.",
    "stop": "Unsupported parameter: 'stop' is not supported with this model.",
    "logprobs": "You are not allowed to request logprobs from this model",
}
"""What OpenAI says where a model that reasons is sent these."""


@pytest.mark.parametrize("temperature", [0.0, 0.7])
async def test_a_model_that_takes_no_sampling_settings_is_asked_without(
    serve: Serve, model: Any, ask: Ask, quick: Quick, temperature: float
) -> None:
    plays = model(text="two cats. And a dog.")

    def answers(asked: Any, wire: Any) -> None:
        refused = [name for name in UNSUPPORTED if asked.body and name in asked.body]
        if refused:
            error = {"message": UNSUPPORTED[refused[0]], "type": "invalid_request_error", "param": refused[0]}
            wire.json({"error": error}, 403 if refused[0] == "logprobs" else 400)
        else:
            plays(asked, wire)

    server = serve(answers)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    for _ in range(2):
        request = ask(sampling=Sampling(temperature), stop=(".",), max_tokens=9)
        assert (await engine.complete(request)).text == "two cats"
    await engine.close()
    body = server.bodies[-1]
    assert not {*UNSUPPORTED} & set(body)
    assert body["max_completion_tokens"] == 9
    left_out = sorted(set(UNSUPPORTED) - ({"top_p"} if temperature == 0 else set()))
    assert engine.info.versions["without"] == ", ".join(left_out)
    assert len(server.bodies) == len(left_out) + 2, "what is refused is remembered"


@pytest.mark.parametrize(("part", "high", "low"), [("temperature", 1.2, 0.7), ("top_p", 0.99, 0.9)])
async def test_a_refused_value_leaves_others_to_be_sent(
    serve: Serve, model: Any, ask: Ask, quick: Quick, part: str, high: float, low: float
) -> None:
    good = model()

    def handler(asked: Any, wire: Any) -> None:
        if asked.body and asked.body.get(part, 0) > (high + low) / 2:
            wire.json({"error": {"message": f"{part}: the range is too small, got {asked.body[part]}"}}, 400)
        else:
            good(asked, wire)

    server = serve(handler)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    for value in (high, low, high):
        settings: dict[str, Any] = {"temperature": 0.5, part: value}
        await engine.complete(ask(sampling=Sampling(**settings)))
    await engine.close()
    assert [body.get(part) for body in server.bodies] == [high, None, low, None]
    assert engine.info.versions["without"] == part


async def test_a_refusal_that_stays_takes_nothing_away(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    plays = model()

    def answers(asked: Any, wire: Any) -> None:
        if asked.path == "/v1/chat/completions" and "broken" in str(asked.body):
            wire.json({"error": {"message": f"bad image in the request {asked.body}"}}, 400)
        else:
            plays(asked, wire)

    server = serve(answers)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError, match="bad image"):
        await engine.complete(ask("broken", sampling=Sampling(0.5)))
    assert "without" not in engine.info.versions
    await engine.complete(ask(sampling=Sampling(0.5)))
    await engine.close()
    assert {"temperature", "top_p", "seed", "logprobs"} <= set(server.bodies[-1])


async def test_a_prompt_that_is_too_long_is_no_refusal_of_samples(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    plays = model()
    said = {"message": "This model's maximum context length is 4096 (max_model_len=4096), got 5000"}

    def answers(asked: Any, wire: Any) -> None:
        if asked.path == "/v1/chat/completions" and len(server.bodies) == 1:
            wire.json({"error": said}, 400)
        else:
            plays(asked, wire)

    server = serve(answers)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError, match="maximum context length"):
        await engine.complete(ask(n=4, sampling=Sampling(1.0)))
    await engine.complete(ask(n=4, sampling=Sampling(1.0)))
    await engine.close()
    assert [body.get("n") for body in server.bodies] == [4, 4]


@pytest.mark.parametrize("ending", ["", "\n", "<|im_end|>"])
def test_of_a_reasoning_model_only_the_answers_tokens_count(ending: str) -> None:
    tokens = (
        TokenLogprob("I see 3", -9.0),
        TokenLogprob(" so", -5.0),
        TokenLogprob("\n\n", -2.0),
        TokenLogprob("3", -0.1),
    )
    last = (TokenLogprob(ending, -0.2),) if ending else ()
    assert spelling(Candidate("3", "stop", tokens + last)).logprobs == tokens[-1:]
    whole = Candidate("I see 3 so", "stop", tokens[:2])
    assert spelling(whole) is whole
    other = Candidate("4", "stop", tokens)
    assert spelling(other) is other
    again = (
        TokenLogprob("3", -3.0),
        TokenLogprob(", I think", -2.0),
        TokenLogprob("</think>", -1.0),
        TokenLogprob("3", -0.1),
    )
    assert spelling(Candidate("3", "stop", again + last)).logprobs == again[-1:]


@pytest.mark.parametrize("opened", ["<think>", "\n<think>\n", ""])
def test_thoughts_that_a_server_leaves_in_the_text_are_no_answer(opened: str) -> None:
    pieces = (opened, "3 or 4?", "</think>", "\n\n", "3", "<|im_end|>")
    tokens = tuple(TokenLogprob(piece, -1.0) for piece in pieces)
    thought = Candidate(f"{opened}3 or 4?</think>\n\n3", "stop", tokens)
    told = spelling(without_thoughts(thought))
    assert (told.text, told.finish_reason) == ("3", "stop")
    assert [token.token for token in told.logprobs] == ["3"]


def test_thoughts_without_an_end_leave_no_answer() -> None:
    cut = without_thoughts(Candidate("<think>I see 3", "length", (TokenLogprob("<think>I see 3", -1.0),)))
    assert (cut.text, cut.finish_reason, cut.logprobs) == ("", "length", ())
    plain = Candidate("What one may <think>", "stop")
    assert without_thoughts(plain) is plain


async def test_stop_strings_among_thoughts_end_no_answer(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    thought = "<think>\n3 or 4?</think>\n\nThree\nor so"

    def stopped(body: Any) -> str:
        ends = [thought.find(stop) for stop in body.get("stop", ())]
        return thought[: min(ends)] if ends else thought

    server = serve(model(text=stopped))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    first, second = [await engine.complete(ask(stop=("\n",))) for _ in range(2)]
    await engine.close()
    assert (first.text, second.text) == ("Three", "Three")
    assert (first.usage.calls, second.usage.calls) == (2, 1), "both calls count, and the server is known from then on"


async def test_stop_strings_among_the_thoughts_of_many_at_one_time_end_no_answer(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    thought, together = "<think>\n3 or 4?</think>\n\nThree\nor so", threading.Barrier(4)

    def stopped(body: Any) -> str:
        if "stop" not in body:
            return thought
        together.wait(5)
        return thought[: thought.find("\n")]

    engine = await RemoteEngine.connect(serve(model(text=stopped)).url, limits=quick())
    answers = await asyncio.gather(*(engine.complete(ask(f"{number}?", stop=("\n",))) for number in range(4)))
    await engine.close()
    assert [answer.text for answer in answers] == ["Three"] * 4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": "3"},
        {"content": "", "reasoning": "3"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "3"}]}]},
    ],
)
async def test_stop_strings_among_thoughts_in_a_field_of_their_own_end_no_answer(
    serve: Serve, model: Any, ask: Ask, quick: Quick, message: dict[str, Any], *, stream: bool
) -> None:
    def handler(asked: Any, wire: Any) -> None:
        if not asked.body or "stop" not in asked.body:
            model(text="Three\nor so")(asked, wire)
            return
        choices = [{"finish_reason": "stop", "delta" if stream else "message": message}]
        if stream:
            wire.events({"choices": choices})
        else:
            wire.json({"choices": choices, "usage": {"prompt_tokens": 20, "completion_tokens": 4}})

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    request = ask(stop=("\n",))
    deltas = [delta async for delta in engine.stream(request)] if stream else []
    completion = deltas[-1].completion if deltas else await engine.complete(request)
    await engine.close()
    assert completion
    assert (completion.text, completion.usage.calls) == ("Three", 2)
    assert not stream or "".join(delta.text for delta in deltas) == "Three"


async def test_stop_strings_are_told_until_an_answer_has_come_without(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    good = model(text=lambda body: "<think>3" if "stop" in body else "Three")

    def handler(asked: Any, wire: Any) -> None:
        if asked.body and "stop" not in asked.body and asked.body["max_tokens"] == 5:
            wire.json({"detail": "too hot"}, 422)
        else:
            good(asked, wire)

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    with pytest.raises(EngineError, match="too hot"):
        await engine.complete(ask(stop=("\n",), max_tokens=5))
    assert "stop" not in engine.info.versions.get("without", "")
    assert (await engine.complete(ask(stop=("\n",)))).text == "Three"
    assert "stop" in engine.info.versions["without"]
    await engine.close()


@pytest.mark.parametrize("texts", [("3", " cats"), ()])
async def test_thoughts_that_come_as_parts_are_no_answer(
    serve: Serve, model: Any, ask: Ask, quick: Quick, texts: tuple[str, ...]
) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "3 or 4?"}]}
    parts = [thought, *({"type": "text", "text": text} for text in texts)]
    engine = await RemoteEngine.connect(serve(model(text=lambda _: parts, logprobs=False)).url, limits=quick())
    assert (await engine.complete(ask())).text == "".join(texts)
    await engine.close()


def test_blanks_before_an_answer_take_no_token_away() -> None:
    tokens = tuple(TokenLogprob(text, -1.0) for text in ("\n\n", "4", " STOP", " foo"))
    told = spelling(Candidate("\n\n4 STOP foo", "stop", tokens))
    assert cut_at_stop(told, ("STOP",)).logprobs == tokens[:3]


async def test_a_server_without_logprobs_is_asked_for_them_once(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    server = serve(model(logprobs=False))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    await engine.complete(ask())
    await engine.complete(ask())
    await engine.close()
    assert ["logprobs" in body for body in server.bodies] == [True, False]
    assert engine.info.versions["without"] == "logprobs"


@pytest.mark.parametrize(("owner", "few"), [("vllm", None), ("llamacpp", 1)])
async def test_alternatives(serve: Serve, model: Any, ask: Ask, quick: Quick, owner: str, few: int | None) -> None:
    server = serve(model(owner=owner))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    first = (await engine.complete(ask(alternatives=3))).logprobs[0]
    assert (await engine.complete(ask())).logprobs[0].others == ()
    assert (await engine.complete(ask(alternatives=99))).logprobs[0].others[:3] == first.others
    await engine.close()
    assert first.others == (("a", -1.0), ("b", -2.0), ("c", -3.0))
    assert [body.get("top_logprobs") for body in server.bodies] == [4, few, 20]


async def test_a_server_that_refuses_alternatives_is_asked_without(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    server = serve(model(refuses=("top_logprobs",)))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    for _ in range(2):
        answer = await engine.complete(ask(alternatives=3))
        assert [(token.logprob, token.others) for token in answer.logprobs] == [(-0.5, ())] * 3
    await engine.close()
    assert ["top_logprobs" in body for body in server.bodies] == [True, False, False]
    assert engine.info.versions["without"] == "top_logprobs"


@pytest.mark.parametrize(
    "odd", [3, "x", {"a": -1.0}, [3, None, "x", ["a", -1.0]], [{"token": 3, "logprob": "x"}, {}, {"token": "a"}],
            [{"token": "a", "logprob": float("-inf")}, {"token": "b", "logprob": float("nan")}]],
)  # fmt: skip
async def test_odd_alternatives_do_no_harm(serve: Serve, model: Any, ask: Ask, quick: Quick, odd: Any) -> None:
    server = serve(model(top=odd))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask(alternatives=3))
    await engine.close()
    assert (answer.text, {token.others for token in answer.logprobs}) == ("two cats", {()})


async def test_the_newer_name_of_the_token_limit(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    def handler(asked: Any, wire: Any) -> None:
        if asked.body and "max_tokens" in asked.body:
            wire.json({"error": {"message": "Unsupported parameter, use 'max_completion_tokens' instead."}}, 400)
        else:
            model()(asked, wire)

    server = serve(handler)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert (await engine.complete(ask())).text == "two cats"
    await engine.close()
    assert server.bodies[-1]["max_completion_tokens"] == 12


async def test_no_more_requests_at_a_time_than_allowed(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def handler(asked: Any, wire: Any) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.03)
        with lock:
            running[0] -= 1
        model()(asked, wire)

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick(max_concurrency=3))
    answers = await asyncio.gather(*(engine.complete(ask()) for _ in range(9)))
    await engine.close()
    assert most == [3]
    assert max(answer.timings.queue_seconds for answer in answers) > 0.03


async def test_one_failure_disturbs_no_other(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    def handler(asked: Any, wire: Any) -> None:
        if asked.body and asked.body["messages"][0]["content"] == "bad":
            wire.json({"error": {"message": "no"}}, 400)
        else:
            model()(asked, wire)

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    results = await asyncio.gather(
        *(engine.complete(ask(text)) for text in ("good", "bad", "good")), return_exceptions=True
    )
    await engine.close()
    assert [isinstance(result, EngineError) for result in results] == [False, True, False]


async def test_closing_ends_what_runs_and_refuses_the_rest(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    arrived = threading.Event()

    def handler(asked: Any, wire: Any) -> None:
        if asked.body is None:
            model()(asked, wire)
        else:
            arrived.set()
            threading.Event().wait(0.3)

    engine = await RemoteEngine.connect(serve(handler).url, limits=quick())
    running = asyncio.ensure_future(engine.complete(ask()))
    await asyncio.to_thread(arrived.wait, 5)
    await engine.close()
    with pytest.raises(EngineError, match="is closed"):
        await running
    with pytest.raises(EngineError, match="is closed"):
        await engine.complete(ask())


async def test_cancelling_hangs_up(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    arrived = threading.Event()

    def handler(asked: Any, wire: Any) -> None:
        if asked.body is None:
            model()(asked, wire)
            return
        arrived.set()
        wire.head()
        while True:
            wire.raw(b" ")
            threading.Event().wait(0.01)

    server = serve(handler)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    running = asyncio.ensure_future(engine.complete(ask()))
    await asyncio.to_thread(arrived.wait, 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(server.gone.wait, 5)
    await engine.close()


def test_one_engine_serves_several_event_loops(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    engine = asyncio.run(RemoteEngine.connect(serve(model()).url, limits=quick()))

    async def once(*, last: bool) -> str:
        try:
            return (await engine.complete(ask())).text
        finally:
            if last:
                await engine.close()

    assert [asyncio.run(once(last=last)) for last in (False, True)] == ["two cats"] * 2


def test_connections_end_with_their_event_loop(model: Any, ask: Ask, quick: Quick) -> None:
    ended = threading.Semaphore(0)

    class KeptAlive(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(model().reply({}))

        def do_GET(self) -> None:
            self._send({"data": [{"id": "tiny"}]})

        def finish(self) -> None:
            super().finish()
            ended.release()

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

        def _send(self, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), KeptAlive) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        engine = asyncio.run(RemoteEngine.connect(url, limits=quick()))
        assert ended.acquire(timeout=10)
        for _ in range(2):
            assert asyncio.run(engine.complete(ask())).text == "two cats"
            assert ended.acquire(timeout=10)
        asyncio.run(engine.close())
        server.shutdown()
        thread.join()


def test_a_loop_that_was_closed_without_its_generators_is_let_go(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    engine = asyncio.run(RemoteEngine.connect(serve(model()).url, limits=quick()))
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(engine.complete(ask())).text == "two cats"
    loop.close()
    closed = weakref.ref(loop)
    del loop
    assert asyncio.run(engine.complete(ask())).text == "two cats"
    gc.collect()
    assert closed() is None


async def test_a_transport_of_ones_own(model: Any, ask: Ask) -> None:
    class Counting(httpx.AsyncHTTPTransport):
        closed = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/models"):
                return httpx.Response(200, json={"data": [{"id": "tiny"}]})
            return httpx.Response(200, json=model().reply({}))

        async def aclose(self) -> None:
            self.closed += 1

    transport = Counting()
    engine = await RemoteEngine.connect("http://nowhere.invalid", transport=transport)
    assert (await engine.complete(ask())).text == "two cats"
    assert transport.closed == 0
    await engine.close()
    assert transport.closed == 1
