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
