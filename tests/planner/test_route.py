import pytest

from cot.engine import ScriptedEngine
from cot.errors import EngineError, UnfitReplyError
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.step import SubAnswer, SubQuestion

COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
COUNTS = {"How many apples": "3", "How many cars": "1"}


@pytest.fixture
def unsure(engine, completion):
    """An engine whose direct answer is a guess."""

    def make(plan, answers=None, direct="no", probability=0.3):
        said = completion(direct, probability=probability)
        return engine(plan, {**(answers or {}), "Are there more": said, "Which": said})

    return make


def reasons(outcome):
    return " ".join(step.text for step in outcome.steps if step.kind == "reasoning")


async def test_a_sure_answer_is_kept_for_the_cost_of_one_call(question, unsure):
    scripted = unsure(COMPARE, COUNTS, probability=0.8)
    outcome = await run("route", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "answered", 1)
    assert outcome.answer.confidence == pytest.approx(0.8)
    assert [step.kind for step in outcome.steps] == ["final_answer"]


async def test_the_threshold_is_the_models_own(question, unsure):
    scripted = unsure(COMPARE, COUNTS)
    outcome = await run("route", question(), scripted, tuning=Tuning(keep=0.3 - 1e-9))
    assert (outcome.answer.value, outcome.usage.calls) == (False, 1)


async def test_an_unsure_answer_gives_way_to_the_steps(question, unsure):
    outcome = await run("route", question(), unsure(COMPARE, COUNTS))
    assert (outcome.answer.value, outcome.answer.supports, outcome.stop_reason) == (True, (1, 2), "answered")
    assert outcome.answer.confidence == pytest.approx(0.81)
    assert outcome.usage.calls == 4
    assert "Asked directly, the model says no (30%)." in reasons(outcome)


async def test_a_direct_answer_without_probabilities_has_no_percentage(question):
    outcome = await run("route", question(), ScriptedEngine(lambda request: "no"))
    assert "Asked directly, the model says no." in reasons(outcome)


async def test_steps_that_are_less_likely_right_are_not_taken(question, unsure):
    scripted = unsure(COMPARE, COUNTS, probability=0.85)
    outcome = await run("route", question(), scripted, tuning=Tuning(keep=0.9))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "answered")
    assert "the steps came to yes, but only 81% sure" in reasons(outcome)


async def test_steps_that_say_the_same_as_the_direct_answer_are_not_told_as_others(question, unsure):
    scripted = unsure(COMPARE, COUNTS, direct="Yes.", probability=0.85)
    outcome = await run("route", question(), scripted, tuning=Tuning(keep=0.9))
    assert (outcome.answer.value, outcome.answer.confidence) == (True, pytest.approx(0.85))
    assert "The direct answer stands: the steps say the same." in reasons(outcome)


async def test_what_is_likelier_right_is_told_by_the_calibrated_confidences(question, unsure):
    modest = Tuning(steps_slope=0, steps_shift=-1.5)
    outcome = await run("route", question(), unsure(COMPARE, COUNTS), tuning=modest)
    assert outcome.answer.value is False
    assert "the steps came to yes, but only 18% sure" in reasons(outcome)
    outcome = await run("route", question(), unsure(COMPARE, COUNTS), tuning=Tuning(direct_shift=-4))
    assert (outcome.answer.value, outcome.answer.confidence) == (True, pytest.approx(0.81))
    assert "Asked directly, the model says no (1%)." in reasons(outcome)


@pytest.mark.parametrize(
    "plan", ["1. [yes_no] Are there more?\nanswer: #1", "1. [text] What is there?\nanswer: decide"]
)
async def test_a_plan_that_only_asks_again_is_not_followed(question, unsure, plan):
    outcome = await run("route", question(), unsure(plan))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "answered", 2)
    assert "the plan asks for one fact only" in reasons(outcome)
    assert not any(isinstance(step, (SubQuestion, SubAnswer)) for step in outcome.steps)


@pytest.mark.parametrize(
    ("plan", "why"),
    [("", "got the last line ''"), ("I think so.", "got the last line"), (COMPARE.replace("#2", "#9"), "over #1 to #2")]
    + [(COMPARE.replace("cars", "apples"), "it asks the same in lines 1 and 2"), (EngineError("gone"), "no plan")]
    + [(UnfitReplyError("got Hm"), "the reply does not have the form that was asked for; see the trace for it")],
)
async def test_without_a_plan_the_direct_answer_stands_and_why_is_said(question, unsure, plan, why):
    outcome = await run("route", question(), unsure(plan))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "answered")
    assert "The direct answer stands" in reasons(outcome)
    assert why in reasons(outcome)


async def test_a_fact_that_stays_unknown_leaves_the_direct_answer(question, unsure):
    scripted = unsure(COMPARE, {"How many apples": "3", "How many cars": "unknown", "Question:": "2. [count] Cars?"})
    outcome = await run("route", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == (False, "answered")
    assert "The direct answer stands: #2 is unknown" in reasons(outcome)
    assert outcome.answer.supports == ()


async def test_a_decision_that_cannot_be_read_leaves_the_direct_answer(question, unsure):
    plan = "1. [count] How many apples are there?\n2. [phrase] How many cars are there?\nanswer: decide"
    scripted = unsure(plan, {"How many apples are there? 3": "a boat", **COUNTS}, direct="b1")
    outcome = await run("route", question("Which one?", ["a1", "b1"]), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == ("b1", "answered")
    assert "the steps came to no answer" in reasons(outcome)


async def test_steps_answer_where_the_direct_answer_is_unparsed(question, unsure):
    scripted = unsure(COMPARE.replace(">", "+"), COUNTS, direct="boat")
    outcome = await run("route", question("Which?", ["3", "4"]), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == ("4", "answered")


async def test_nothing_at_all_is_unparsed(question, unsure):
    outcome = await run("route", question("Which?", ["3", "4"]), unsure("no plan", direct="boat"))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")
    assert "There is still no answer" in reasons(outcome)


async def test_why_there_is_no_answer_is_said_last(question, unsure):
    outcome = await run("route", question("Which?", ["3", "4"]), unsure(EngineError("no plans here"), direct="boat"))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")
    assert outcome.notes[0] == "plan: no plans here"
    assert outcome.notes[-1].startswith("answer: ")


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_steps_that_run_out_leave_the_direct_answer(question, unsure, steps):
    outcome = await run("route", question(), unsure(COMPARE, COUNTS), Budget(max_steps=steps))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "budget_steps", min(steps, 2))


async def test_tokens_that_run_out_leave_the_direct_answer(question, completion):
    engine = ScriptedEngine([completion("no", probability=0.1), completion("1. [count]", finish="length", tokens=1)])
    outcome = await run("route", question(), engine, Budget(max_tokens=1))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "budget_tokens")


async def test_an_engine_that_fails_in_the_steps_leaves_the_direct_answer(question, unsure):
    scripted = unsure(COMPARE, {"How many apples": "3", "How many cars": EngineError("out of memory")})
    outcome = await run("route", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == (False, "error")
    assert "out of memory" in outcome.notes[-1]


async def test_without_probabilities_the_plan_decides(question):
    def reply(request):
        text = request.messages[-1].content[-1]
        if "[count]" in text:
            return COMPARE
        return "3" if "apples are" in text else "1" if "cars are" in text else "no"

    outcome = await run("route", question(), ScriptedEngine(reply))
    assert outcome.answer.value is True
