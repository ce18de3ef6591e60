"""A follow-up is put into words that stand alone; what was said too long ago is summarised."""

import dataclasses

import pytest
from PIL import Image
from runs import completion

from cot.engine import ScriptedEngine
from cot.engine.scripted import SCRIPTED_INFO
from cot.errors import EngineError
from cot.image import from_pixels
from cot.planner.budget import Budget
from cot.planner.follow_up import MAX_SUMMARY_CHARACTERS, room_characters
from cot.planner.run import run
from cot.planner.wording import Wording
from cot.question import Earlier, Exchange, Question
from cot.replay import replay
from cot.trace.read import read_trace
from cot.trace.record import Recorder

RED = from_pixels(Image.new("RGB", (4, 3), "red"), source="red.png")
CARS = Exchange("How many cars are there?", "3")


def follow_up(*exchanges, text="And the red ones?", summary=""):
    return Question(text, (RED,), earlier=Earlier(exchanges or (CARS,), summary))


def engine(understood="How many red cars are there?", summary="three cars", context=0):
    def reply(request):
        prompt = str(request.messages[-1].content[-1])
        found = understood if "Follow-up:" in prompt else summary if "Summarise" in prompt else "1"
        return found if isinstance(found, Exception) else completion(found)

    return ScriptedEngine(reply, info=dataclasses.replace(SCRIPTED_INFO, context_tokens=context))


def prompts(scripted):
    return [str(request.messages[-1].content[-1]) for request in scripted.requests]


async def test_a_follow_up_is_asked_as_it_is_understood():
    scripted = engine()
    outcome = await run("direct", follow_up(), scripted)
    first, second = prompts(scripted)
    assert "Question: How many cars are there?\nAnswer: 3\nFollow-up: And the red ones?" in first
    assert second == "How many red cars are there?\nAnswer briefly."
    assert outcome.steps[0].text == "Understood as: How many red cars are there?"
    assert outcome.question == "How many red cars are there?"
    assert [request.messages[0].content[0] for request in scripted.requests] == [RED, RED]


async def test_a_question_that_stands_alone_is_no_step():
    outcome = await run("direct", follow_up(text="Is it day?"), engine("Is it day?"))
    assert [step.kind for step in outcome.steps] == ["final_answer"]


@pytest.mark.parametrize("bad", ["", "x" * 601, EngineError("the server is gone")])
async def test_what_cannot_be_understood_is_asked_as_typed(bad):
    scripted = engine(bad)
    outcome = await run("direct", follow_up(), scripted)
    assert prompts(scripted)[-1] == "And the red ones?\nAnswer briefly."
    assert "the question is asked as it was typed" in outcome.notes[0]
    assert (outcome.answer.value, outcome.stop_reason) == (1, "answered")


@pytest.mark.parametrize("strategy", ["direct", "decompose", "cot"])
async def test_a_budget_holds_for_understanding_too(strategy):
    outcome = await run(strategy, follow_up(), engine(), Budget(max_steps=1))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_steps")
    assert [step.kind for step in outcome.steps] == ["reasoning", "final_answer"], "nothing was asked directly"


async def test_what_does_not_fit_is_summarised_and_said():
    said = tuple(Exchange(f"Question number {n}?", "a long answer " * 15) for n in range(12))
    scripted = engine(context=1600)
    outcome = await run("direct", follow_up(*said, summary="It is a street."), scripted)
    first, second, third = prompts(scripted)
    assert "It is a street.\nQuestion: Question number 0?" in first
    assert "number 11" not in first
    assert "three cars\nQuestion: Question number 10?" in second
    assert len(second) < room_characters(1600) + 300
    assert third == "How many red cars are there?\nAnswer briefly."
    assert "10 earlier answers in short: three cars" in outcome.steps[0].text
    assert outcome.earlier.summary == "three cars"
    assert [one.question for one in outcome.earlier.exchanges] == ["Question number 10?", "Question number 11?"]


async def test_a_small_context_keeps_a_summary_only():
    said = tuple(Exchange("?" * 5000, "!" * 5000) for _ in range(3))
    outcome = await run("direct", follow_up(*said), engine(summary="s" * 5000, context=512))
    assert outcome.earlier.exchanges == ()
    assert len(outcome.earlier.summary) == MAX_SUMMARY_CHARACTERS


@pytest.mark.parametrize("context", [4096, 131_072])
async def test_a_long_conversation_is_understood_whatever_the_context(context):
    said = tuple(Exchange(f"{n} " + "q" * 300, "a" * 300) for n in range(300))
    outcome = await run("direct", follow_up(*said), engine(context=context))
    assert outcome.stop_reason == "answered"
    assert outcome.question == "How many red cars are there?"
    assert outcome.earlier.summary == "three cars"


async def test_a_trace_holds_what_was_said_and_replays(tmp_path):
    with Recorder(tmp_path) as recorder:
        await run(
            "direct", follow_up(), engine(), recorder=recorder, wording=Wording(system="Be brief."),
            settings={"system": "Be brief."},
        )  # fmt: skip
    trace = read_trace(recorder.path)
    assert [call.step for call in trace.calls] == ["follow-up", "answer"]
    assert (await replay(trace)).differences == ()
    hidden = trace.redacted(frozenset({"prompts"})).started
    assert (hidden.settings["system"], hidden.settings["earlier"]) == ("[redacted]", "[redacted]")
