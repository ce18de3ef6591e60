"""Recorded runs of a scripted model, for tests that look at traces."""

import asyncio
import math
from pathlib import Path
from typing import Any

from PIL import Image

from cot.engine import Candidate, Completion, Request, ScriptedEngine, Timings, TokenLogprob, Usage
from cot.image import from_pixels
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.question import Question
from cot.trace.record import Recorder

PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
QUESTION = "Are there more apples than cars?"
ANSWERS = {"How many apples": "3", "How many cars": "1"}


def completion(text: str, *, probability: float = 0.9, finish: Any = "stop") -> Completion:
    """A text of known probability, of one token a word."""
    logprobs = (TokenLogprob(text, math.log(probability)), TokenLogprob("", 0.0))
    usage = Usage(50, 10, 16, len(text.split()), 1, 1)
    return Completion((Candidate(text, finish, logprobs),), usage, Timings(0.0, 0.01, 0.02))


def script(plan: Any = PLAN, answers: dict[str, Any] | None = None, direct: Any = "yes") -> Any:
    """A reply to each request: the plan, or the answer whose key the prompt begins with; errors are raised."""

    def reply(request: Request) -> Any:
        text = str(request.messages[-1].content[-1])
        found = direct
        if "answer: #1 > #2" in text and "[count]" in text:
            found = plan
        else:
            found = next(
                (a for key, a in (ANSWERS if answers is None else answers).items() if text.startswith(key)), found
            )
        return completion(found) if isinstance(found, str) else found

    return reply


def recorded(
    trace_dir: Path,
    replies: Any = None,
    *,
    strategy: str = "decompose",
    text: str = QUESTION,
    choices: tuple[str, ...] = (),
    budget: Budget | None = None,
    source: str = "red.png",
    exchange_answers: bool = False,
) -> Path:
    """Run the planner over a scripted model, and give the trace's file."""
    image = from_pixels(Image.linear_gradient("L").resize((64, 48)).convert("RGB"), source=source)

    async def answer(recorder: Recorder) -> None:
        engine = ScriptedEngine(replies or script())
        settings = {"model": "embedded", "trace_dir": str(trace_dir)}
        settings |= {"ablation": "shuffle-steps"} if exchange_answers else {}
        question = Question(text, (image,), choices)
        await run(
            strategy, question, engine, budget, recorder=recorder, settings=settings, exchange_answers=exchange_answers
        )

    with Recorder(trace_dir) as recorder:
        asyncio.run(answer(recorder))
    return recorder.path
