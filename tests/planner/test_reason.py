import pytest

from cot.engine import Choices, Regex, ScriptedEngine
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.step import Reasoning


async def test_the_answer_sees_the_image_and_the_reasoning(question, completion):
    asked = question("How many?")
    engine = ScriptedEngine([completion("Two rows of three."), completion("6", probability=0.8)])
    outcome = await run("cot", asked, engine)
    assert (outcome.answer.value, outcome.stop_reason) == (6, "answered")
    assert outcome.answer.confidence == pytest.approx(0.8)
    assert [step.kind for step in outcome.steps] == ["reasoning", "final_answer"]
    first, second = engine.requests
    assert second.messages[-1].content == (*asked.images, "Two rows of three.\nHow many?\nAnswer briefly.")
    assert first.constraint is None
    assert isinstance(second.constraint, Regex)


async def test_choices_hold_the_answer_not_the_reasoning(question, completion):
    engine = ScriptedEngine([completion("It has wheels."), completion("car")])
    outcome = await run("cot", question("What is it?", ["apple", "car"]), engine)
    assert [request.constraint for request in engine.requests] == [None, Choices(("apple", "car"))]
    assert outcome.answer.value == "car"


async def test_reasoning_that_was_cut_is_used_and_said(question, completion):
    engine = ScriptedEngine([completion("There are", finish="length", tokens=256), completion("3")])
    outcome = await run("cot", question(), engine)
    assert outcome.answer.value == 3
    assert any("reason: the text was cut after 256 tokens" in note for note in outcome.notes)


async def test_without_reasoning_the_question_is_asked_directly(question, completion):
    outcome = await run("cot", question(), ScriptedEngine([completion(" \n"), completion("3")]))
    assert (outcome.answer.value, outcome.stop_reason) == (3, "answered")
    assert "there is no reasoning" in outcome.steps[0].text


async def test_an_answer_that_is_no_choice_is_unparsed_and_the_reasoning_is_kept(question, completion):
    engine = ScriptedEngine([completion("It floats."), completion("boat")])
    outcome = await run("cot", question("What?", ["apple", "car"]), engine)
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")
    assert outcome.steps[0] == Reasoning(text="It floats.")


async def test_with_one_step_it_answers_directly_and_says_so(question, completion):
    outcome = await run("cot", question(), ScriptedEngine([completion("3")]), Budget(max_steps=1))
    assert (outcome.answer.value, outcome.stop_reason) == (3, "budget_steps")
    assert outcome.notes[-1] == "reasoning needs 2 steps, and the budget has 1"


async def test_reasoning_that_uses_all_tokens_leaves_no_answer(question, completion):
    engine = ScriptedEngine([completion("so many words", finish="length", tokens=5)])
    outcome = await run("cot", question(), engine, Budget(max_tokens=5))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_tokens")
    assert outcome.steps[0].text == "so many words"
