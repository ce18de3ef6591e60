"""Unsure counts are looked at again: when, at what, and what is made of it."""

import dataclasses

import pytest

from cot.engine import ScriptedEngine
from cot.errors import EngineError
from cot.planner.budget import Budget
from cot.planner.looks import LOOKS, most_likely
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.replay import replay
from cot.step import Reasoning, SubAnswer
from cot.trace.event import Call
from cot.trace.read import read_trace
from cot.trace.record import Recorder

LOOKING = Tuning(look_again=0.9)
NEVER = Tuning(look_again=0)
TWO = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 + #2"
CHAINED = "1. [count] How many apples are there?\n2. [phrase] Where are the #1 apples?\nanswer: #2"


@pytest.fixture
def looking(completion):
    """An engine that plans, and gives each sub-question's replies one after another: (text, probability)."""

    def make(plan, **replies):
        left = {begin.replace("_", " "): [*said] for begin, said in replies.items()}

        def reply(request):
            text = request.messages[-1].content[-1]
            for begin, said in left.items():
                if text.startswith(begin):
                    one = said.pop(0)
                    return one if isinstance(one, Exception) else completion(one[0], probability=one[1])
            return completion(plan if text.startswith("Split") else "direct")

        return ScriptedEngine(reply)

    return make


def _calls_last_first(events):
    looks = [event for event in events if isinstance(event, Call) and "look" in event.step]
    left = [*looks]
    return tuple(left.pop() if event in looks else event for event in events)


async def test_an_unsure_count_is_what_most_looks_say(question, looking):
    engine = looking(TWO, How_many_apples=[("3", 0.5), ("4", 0.8), ("4", 0.6), ("3", 0.6)], How_many_cars=[("1", 0.95)])
    outcome = await run("decompose", question("How many in all?"), engine, tuning=LOOKING)
    assert (outcome.answer.value, outcome.usage.calls) == (5, 6)
    # 4 has a mean probability of (0.8 + 0.6) / 4, 3 has (0.5 + 0.6) / 4.
    assert outcome.answer.confidence == pytest.approx(0.35 * 0.95)
    assert [(s.to, s.value) for s in outcome.steps if isinstance(s, SubAnswer)] == [(1, 3), (2, 1), (1, 4)]
    said = [s.text for s in outcome.steps if isinstance(s, Reasoning)]
    assert "#1 is unsure, so it is looked at again: 4 80%, 4 60%, 3 60%." in said


async def test_each_look_shows_another_part_of_the_image(question, looking):
    engine = looking(TWO, How_many_apples=[("3", 0.5)] * 4, How_many_cars=[("1", 0.95)])
    asked = question("How many in all?")
    await run("decompose", asked, engine, tuning=LOOKING)
    images = [request.messages[-1].content[0] for request in engine.requests]
    assert [image == asked.images[0] for image in images] == [True, True, True, False, False, False]
    assert len(images[3:]) == len(LOOKS)


async def test_sure_counts_and_other_kinds_are_not_looked_at_again(question, looking):
    engine = looking(CHAINED, How_many_apples=[("3", 0.9)], Where=[("on the left", 0.2)])
    outcome = await run("decompose", question("Where?"), engine, tuning=LOOKING)
    assert (outcome.answer.value, outcome.usage.calls) == ("on the left", 3)


async def test_unknown_counts_are_not_looked_at_again(question, looking):
    engine = looking(TWO, How_many_apples=[("unknown", 0.4)] * 2, How_many_cars=[("1", 0.95)])
    outcome = await run("decompose", question(), engine, tuning=Tuning(look_again=0.9, rounds=1))
    assert not any("looked at again" in s.text for s in outcome.steps if isinstance(s, Reasoning))


async def test_what_depends_on_a_count_is_asked_with_what_the_looks_say(question, looking):
    engine = looking(CHAINED, How_many_apples=[("3", 0.5), ("4", 0.9), ("4", 0.9), ("4", 0.9)], Where=[("left", 0.9)])
    await run("decompose", question("Where?"), engine, tuning=LOOKING)
    assert engine.requests[-1].messages[-1].content[-1].startswith("Where are the 4 apples?")


async def test_without_looking_again_nothing_is_different(question, looking):
    engine = looking(TWO, How_many_apples=[("3", 0.5)], How_many_cars=[("1", 0.5)])
    outcome = await run("decompose", question(), engine, tuning=NEVER)
    assert outcome.usage.calls == 3


@pytest.mark.parametrize(("steps", "calls"), [(9, 3), (10, 9)])
async def test_looks_leave_a_step_for_what_follows(question, looking, steps, calls):
    """A plan, two facts, three looks at each, and one step to spare."""
    engine = looking(TWO, How_many_apples=[("3", 0.5)] * 4, How_many_cars=[("1", 0.5)] * 4)
    outcome = await run("decompose", question(), engine, Budget(max_steps=steps), tuning=LOOKING)
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (4, "answered", calls)


async def test_a_look_that_fails_loses_nothing(question, looking):
    failing = [("3", 0.5), EngineError("the server is gone"), ("3", 0.5), ("3", 0.5)]
    engine = looking(TWO, How_many_apples=failing, How_many_cars=[("1", 0.95)])
    outcome = await run("decompose", question(), engine, tuning=LOOKING)
    assert (outcome.answer.value, outcome.stop_reason) == (4, "error")
    assert any("the server is gone" in note for note in outcome.notes)


async def test_looks_are_replayed_in_their_order(question, looking, tmp_path):
    engine = looking(TWO, How_many_apples=[("3", 0.5), ("4", 0.8), ("5", 0.6), ("3", 0.6)], How_many_cars=[("1", 0.95)])
    with Recorder(tmp_path) as recorder:
        await run("decompose", question(), engine, tuning=LOOKING, recorder=recorder)
    trace = read_trace(recorder.path)
    assert [call.step for call in trace.calls][-3:] == [f"sub_question 1 look {number}" for number in (2, 3, 4)]
    # As they may have been finished.
    shuffled = dataclasses.replace(trace, events=_calls_last_first(trace.events))
    assert shuffled.events != trace.events
    assert (await replay(shuffled)).differences == ()


def test_a_trace_that_does_not_speak_of_looking_again_was_made_without():
    assert Tuning.recorded({"tuning: keep": 0.4}) == Tuning(keep=0.4, look_again=0)
    assert Tuning.recorded(LOOKING.recordable) == LOOKING


def test_ties_go_to_the_first_look_and_looks_without_an_answer_count_against_it():
    looks = [
        SubAnswer(to=1, asked="How many?", value=value, raw=str(value), confidence=confidence)
        for value, confidence in [(3, 0.5), (4, 0.5), (None, 0.0), (None, 0.0)]
    ]
    together = most_likely(looks)
    assert (together.value, together.raw, together.confidence) == (3, "3", 0.125)
