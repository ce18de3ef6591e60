import dataclasses

import pytest

from cot.engine import ScriptedEngine
from cot.engine.scripted import SCRIPTED_INFO
from cot.errors import EngineError
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.step import SubAnswer, ToolUse
from cot.trace.read import read_trace
from cot.trace.record import Recorder

COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
COUNTS = {"How many apples": "3", "How many cars": "1"}
LOCATED = "1. [phrase] Where is the sign?\n2. [number] What does the sign at #1 say?\nanswer: #2"
SIGN = "[0, 0.5, 0.5, 1]"


@pytest.fixture
def located(completion):
    """An engine that reads 40 directly, and one number after the other where it is asked of the sign."""

    def make(*read, model="scripted"):
        left = [*read]

        def reply(request):
            text = request.messages[-1].content[-1]
            if text.startswith("Split"):
                return completion(LOCATED)
            if text.startswith("Where"):
                return completion(SIGN)
            said = left.pop(0) if text.startswith("What does the sign at") else "40"
            return completion(said) if isinstance(said, str) else said

        return ScriptedEngine(reply, info=dataclasses.replace(SCRIPTED_INFO, model=model))

    return make


def reasons(outcome):
    return " ".join(step.text for step in outcome.steps if step.kind == "reasoning")


async def test_facts_that_agree_leave_the_answer(question, engine):
    outcome = await run("verify", question(), engine(COMPARE, COUNTS, direct="yes"))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (True, "answered", 4)
    assert "The direct answer stands: the facts say the same." in reasons(outcome)
    assert outcome.notes == ()


async def test_a_contradiction_without_a_region_leaves_the_direct_answer(question, engine):
    outcome = await run("verify", question(), engine(COMPARE, COUNTS, direct="no"))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "answered", 4)
    assert "The facts say yes, the direct answer is no." in reasons(outcome)
    assert "no region is known" in reasons(outcome)


async def test_a_fact_that_holds_at_a_closer_look_prevails(question, located, tmp_path):
    engine, asked = located("60", "60"), question("How fast?")
    with Recorder(tmp_path) as recorder:
        outcome = await run("verify", asked, engine, recorder=recorder)
    assert (outcome.answer.value, outcome.answer.supports) == (60, (2,))
    (used,) = [step for step in outcome.steps if isinstance(step, ToolUse)]
    assert used.name == "zoom"
    whole, crop = [part for part in engine.requests[-1].messages[-1].content if not isinstance(part, str)]
    assert whole == asked.images[0]
    assert (crop.sha256, crop.width, crop.height) == (used.result, 8, 6)
    assert (recorder.folder / "images" / f"{crop.sha256}.png").is_file()
    assert [step.to for step in outcome.steps if isinstance(step, SubAnswer)] == [1, 2, 2]
    assert read_trace(recorder.path).calls[-1].step == "sub_question 2 again"


async def test_a_model_of_one_image_sees_the_region_alone(question, located):
    engine = located("60", "60", model="embedded")
    outcome = await run("verify", question("How fast?"), engine)
    assert outcome.answer.value == 60
    (crop,) = [part for part in engine.requests[-1].messages[-1].content if not isinstance(part, str)]
    assert (crop.width, crop.height) == (8, 6)


async def test_a_closer_look_that_fails_leaves_the_direct_answer(question, located):
    outcome = await run("verify", question("How fast?"), located("60", EngineError("one image only")))
    assert (outcome.answer.value, outcome.stop_reason) == (40, "answered")
    assert "it could not be looked at again" in reasons(outcome)
    assert "one image only" in outcome.notes[-1]


@pytest.mark.parametrize("again", ["40", "80", "unknown", "much"])
async def test_a_fact_that_does_not_hold_leaves_the_direct_answer(question, located, again):
    outcome = await run("verify", question("How fast?"), located("60", again))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (40, "answered", 5)


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("no plan", "the plan is not valid (got the last line 'no plan'"),
        ("1. [yes_no] Are there more?\nanswer: #1", "no facts of their own"),
    ]
    + [
        (COMPARE.replace("#1 > #2", "decide"), "leaves the answer to the model"),
        (EngineError("no plans here"), "no plans"),
    ]
    + [(COMPARE.replace("[count]", "[phrase]"), "the plan is not valid"), (COMPARE, "#1 is unknown")],
)
async def test_what_cannot_be_checked_stands_and_is_said(question, engine, plan, why):
    outcome = await run("verify", question(), engine(plan, COUNTS | {"How many apples": "many"}, direct="no"))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "answered")
    assert any(note.startswith("nothing could be checked: ") and why in note for note in outcome.notes)


async def test_why_there_is_no_answer_is_said_last(question, engine):
    outcome = await run("verify", question(), engine("no plan", direct="\u200b"))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")
    assert [note.partition(":")[0] for note in outcome.notes] == ["nothing could be checked", "answer"]


async def test_facts_answer_where_the_direct_answer_is_unknown(question, engine):
    outcome = await run("verify", question(), engine(COMPARE, COUNTS, direct="unknown"))
    assert (outcome.answer.value, outcome.answer.supports) == (True, (1, 2))


@pytest.mark.parametrize("said", ["Two", "1,250", "12%", "Yes."])
async def test_a_fact_in_the_words_of_the_direct_answer_says_the_same(question, engine, said):
    plan = "1. [phrase] Which sign is red?\n2. [phrase] What does #1 say?\nanswer: #2"
    outcome = await run("verify", question(), engine(plan, {"Which": "the left one", "What": said}, direct=said))
    assert "the facts say the same" in reasons(outcome)


async def test_yes_is_not_one(question, engine):
    answers = {"How many apples": "3", "How many cars": "1"}
    outcome = await run("verify", question(), engine(COMPARE, answers, direct="1"))
    assert "the facts say the same" not in reasons(outcome)


async def test_choices_are_compared_as_choices(question, engine):
    scripted = engine(COMPARE.replace(">", "+"), COUNTS, direct="four")
    outcome = await run("verify", question("How many?", ["three", "four"]), scripted)
    assert outcome.answer.value == "four"
    assert "the facts say the same" in reasons(outcome)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_steps_that_run_out_leave_the_direct_answer(question, engine, steps):
    outcome = await run("verify", question(), engine(COMPARE, COUNTS, direct="no"), Budget(max_steps=steps))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "budget_steps", min(steps, 2))


async def test_an_engine_that_fails_in_the_check_leaves_the_direct_answer(question, engine):
    answers = {"How many apples": "3", "How many cars": EngineError("out of memory")}
    outcome = await run("verify", question(), engine(COMPARE, answers, direct="no"))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "error")
    assert "out of memory" in outcome.notes[-1]
