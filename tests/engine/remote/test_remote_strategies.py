"""Every strategy asks a server as it asks a model of one's own."""

from collections.abc import Callable
from typing import Any

import pytest

from cot.engine.remote import Limits, RemoteEngine
from cot.image import LoadedImage
from cot.planner.run import STRATEGIES, run
from cot.question import Question

PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 + #2"


def _reply(body: Any) -> str:
    text = body["messages"][-1]["content"][-1]["text"]
    if "answer: #1 > #2" in text:
        return PLAN
    return {"How many apples are there?": "3", "How many cars are there?": "1"}.get(text.splitlines()[0], "4")


async def test_a_server_that_gives_one_sample_whatever_is_asked_is_asked_for_each(
    serve: Callable[[Any], Any], model: Any, quick: Callable[..., Limits], picture: LoadedImage
) -> None:
    plays = model(models=("one",), text="4")
    whole = plays.reply
    plays.reply = lambda body: whole({**body, "n": 1})
    server = serve(plays)
    engine = await RemoteEngine.connect(f"{server.url}#one", limits=quick())
    try:
        outcome = await run("vote", Question("How many cars are there?", (picture,)), engine)
    finally:
        await engine.close()
    assert (outcome.stop_reason, outcome.answer.value, outcome.answer.confidence) == ("answered", 4, 1.0)
    assert engine.info.versions["without"].endswith("n")


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_strategy_on_a_server(
    serve: Callable[[Any], Any],
    model: Any,
    quick: Callable[..., Limits],
    picture: LoadedImage,
    strategy: str,
    owner: str,
) -> None:
    server = serve(model(owner=owner, models=("one",), text=_reply))
    engine = await RemoteEngine.connect(f"{server.url}#one", limits=quick())
    try:
        outcome = await run(strategy, Question("How many apples and cars are there?", (picture,)), engine)
    finally:
        await engine.close()
    assert (outcome.stop_reason, outcome.answer.value) == ("answered", 4)
    assert outcome.usage.prompt_tokens > 0
