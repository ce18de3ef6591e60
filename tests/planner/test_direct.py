import pytest

from cot.engine import Candidate, Choices, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.step import FinalAnswer


@pytest.mark.parametrize(
    ("said", "value", "shown"),
    [
        ("3", 3, "3"),
        ("Three.", 3, "Three"),
        ("007", 7, "007"),
        ("yes", True, "yes"),
        ("A red car.", "A red car.", "A red car."),
    ]
    + [("12%", 12, "12%"), ("unknown", None, "unknown")],
)
async def test_the_answer_is_the_models_own(question, said, value, shown, completion):
    engine = ScriptedEngine([completion(said, probability=0.8)])
    outcome = await run("direct", question("How many?"), engine)
    answer = outcome.answer
    assert (answer.value, answer.text, answer.raw) == (value, shown, said)
    assert answer.confidence == pytest.approx(0.8)
    assert outcome.stop_reason == "answered"
    assert outcome.steps == (answer,)
    assert outcome.usage.calls == 1


async def test_images_come_before_the_text(question):
    engine = ScriptedEngine(["3"])
    asked = question("How many?")
    await run("direct", asked, engine, seed=7)
    (request,) = engine.requests
    (message,) = request.messages
    assert message.role == "user"
    assert message.content == (*asked.images, "How many?\nAnswer briefly.")
    assert request.constraint is None
    assert request.sampling.temperature == 0
    assert request.sampling.seed == 7


async def test_choices_hold_the_model(question, completion):
    engine = ScriptedEngine([completion("car")])
    outcome = await run("direct", question("What is it?", ["apple", "car"]), engine)
    assert engine.requests[0].constraint == Choices(("apple", "car"))
    assert outcome.answer.value == "car"


async def test_what_is_no_choice_is_unparsed_and_not_asked_again(question, completion):
    engine = ScriptedEngine([completion("a boat")])
    outcome = await run("direct", question("What is it?", ["apple", "car"]), engine)
    assert outcome.stop_reason == "unparsed"
    assert outcome.answer == FinalAnswer(text="unknown", value=None, raw="a boat", confidence=0.0)
    assert any("expected one of 'apple', 'car'" in note for note in outcome.notes)
    assert len(engine.requests) == 1


async def test_no_text_is_unparsed(question, completion):
    outcome = await run("direct", question(), ScriptedEngine([completion(" ", tokens=1)]))
    assert outcome.stop_reason == "unparsed"


async def test_text_that_was_cut_is_kept_and_said(question, completion):
    cut = completion("There are many", finish="length", tokens=64)
    outcome = await run("direct", question(), ScriptedEngine([cut]))
    assert outcome.answer.text == "There are many"
    assert outcome.stop_reason == "answered"
    assert any("cut after 64 tokens" in note for note in outcome.notes)


async def test_text_that_the_budget_cut_says_so(question, completion):
    engine = ScriptedEngine([completion("There are", finish="length", tokens=2)])
    outcome = await run("direct", question(), engine, Budget(max_tokens=2))
    assert engine.requests[0].max_tokens == 2
    assert (outcome.answer.text, outcome.stop_reason) == ("There are", "budget_tokens")


async def test_a_choice_that_was_cut_is_no_choice(question, completion):
    engine = ScriptedEngine([completion("car", finish="length", tokens=1)])
    outcome = await run("direct", question("What?", ["car", "carpet"]), engine, Budget(max_tokens=1))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_tokens")


async def test_without_probabilities_confidence_is_zero_and_said(question):
    outcome = await run("direct", question(), ScriptedEngine(["3"]))
    assert outcome.answer.confidence == 0
    assert any("no probabilities" in note for note in outcome.notes)


@pytest.mark.parametrize("choices", [["a", "b"], []])
@pytest.mark.parametrize("told", [(), (TokenLogprob("3 or", -1.0), TokenLogprob(" 4?", -1.0))])
async def test_where_thoughts_may_have_taken_all_tokens_that_is_said_and_no_probabilities_are_missed(
    question, choices, told
):
    cut = Completion((Candidate("", "length", told),), Usage(completion_tokens=64, calls=1))
    outcome = await run("direct", question("Which?", choices), ScriptedEngine([cut]))
    (note,) = outcome.notes
    assert note == (
        "answer: the text was cut short after 64 tokens, perhaps all of them on thoughts; "
        "give the template a larger max_tokens, or switch thinking off"
    )
    assert outcome.stop_reason == "unparsed"


@pytest.mark.parametrize("token", ["\ufffd", "\n"])
async def test_a_text_that_was_cut_before_its_first_character_is_not_called_thoughts(question, token):
    cut = Completion((Candidate("", "length", (TokenLogprob(token, -1.0),)),), Usage(completion_tokens=1, calls=1))
    outcome = await run("direct", question("Which?"), ScriptedEngine([cut]))
    assert outcome.notes == ("answer: the text was cut short after 1 tokens",)


async def test_thoughts_do_not_hide_what_the_constraint_wants(question):
    cut = Completion((Candidate("", "length", satisfied=False),), Usage(completion_tokens=64, calls=1))
    outcome = await run("direct", question("Which?", ["a", "b"]), ScriptedEngine([cut]))
    (note,) = outcome.notes
    assert ", before it was what the constraint wants, perhaps all of them on thoughts; give the " in note


async def test_one_model_same_steps(question, completion):
    outcomes = [await run("direct", question(), ScriptedEngine([completion("3")])) for _ in range(2)]
    assert outcomes[0].steps == outcomes[1].steps
