import pytest

from cot.planner.budget import Budget
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.step import SubAnswer, SubQuestion, Summary

COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
ANSWERS = {"How many apples": "3", "How many cars": "unknown", "Count the red": "1"}
MORE = {"Question:": "2. [count] Count the red cars."}


def steps_of(outcome, kind):
    return [step for step in outcome.steps if isinstance(step, kind)]


async def test_what_is_unknown_is_asked_in_other_words(question, engine):
    scripted = engine(COMPARE, ANSWERS | MORE)
    outcome = await run("decompose", question(), scripted)
    assert (outcome.answer.value, outcome.answer.supports, outcome.usage.calls) == (True, (1, 2), 5)
    assert steps_of(outcome, SubQuestion)[-1].text == "Count the red cars."
    assert [(a.to, a.value) for a in steps_of(outcome, SubAnswer)] == [(1, 3), (2, None), (2, 1)]
    assert "Still unknown: How many cars are there?" in steps_of(outcome, Summary)[0].text
    asked = scripted.requests[3].messages[-1].content[-1]
    assert asked.splitlines()[-2:] == [
        "Ask for each unknown fact in another way, one line each:", "2. [count] How many cars are there?",
    ]  # fmt: skip


async def test_other_words_may_use_what_is_known_and_free_what_was_blocked(question, engine):
    plan = "1. [phrase] What is red?\n2. [phrase] What is on it?\n3. [count] How many #2 are there?\nanswer: #3"
    answers = {"What is red": "a hat", "What is on it": "unknown", "Question:": "2. [phrase] What is on #1?"}
    outcome = await run(
        "decompose", question(), engine(plan, answers | {"What is on a hat?": "pins", "How many pins": "7"})
    )
    assert (outcome.answer.value, outcome.stop_reason) == (7, "answered")


async def test_an_answer_is_as_sure_as_what_the_other_words_were_filled_in_with(question, engine, completion):
    plan = "1. [phrase] What is red?\n2. [phrase] What is on it?\nanswer: #2"
    answers = {"What is red": completion("a hat", probability=0.1), "What is on it": "unknown"}
    answers |= {"Question:": "2. [phrase] What is on #1?", "What is on a hat?": "pins"}
    outcome = await run("decompose", question(), engine(plan, answers))
    assert (outcome.answer.value, outcome.answer.confidence) == ("pins", pytest.approx(0.1 * 0.9))


@pytest.mark.parametrize("rounds", [2, 4])
async def test_nothing_is_asked_again_in_the_same_words(question, engine, rounds):
    same = {"Question:": "2. [count] How many cars are there?"}
    scripted = engine(COMPARE, ANSWERS | same, direct="no")
    outcome = await run("decompose", question(), scripted, tuning=Tuning(rounds=rounds))
    assert (outcome.answer.value, outcome.usage.calls, len(steps_of(outcome, SubAnswer))) == (False, 5, 2)
    assert any("they were asked before" in note for note in outcome.notes)


async def test_of_other_words_only_new_ones_are_asked(question, engine):
    plan = COMPARE.replace("answer: #1 > #2", "3. [count] How many dogs are there?\nanswer: #1 + #2 + #3")
    # Of the others one is what it was, and one is what another part asks for.
    for old in ("How many  Dogs are there?", "How many apples are there?"):
        more = {"How many dogs": "unknown", "Question:": f"2. [count] Count the red cars.\n3. [count] {old}"}
        scripted = engine(plan, ANSWERS | more, direct="9")
        outcome = await run("decompose", question(), scripted)
        assert steps_of(outcome, SubQuestion)[3:] == [SubQuestion(id=2, text="Count the red cars.", wants="count")]
        assert [(a.to, a.value) for a in steps_of(outcome, SubAnswer)] == [(1, 3), (2, None), (3, None), (2, 1)]
        assert (outcome.answer.value, outcome.usage.calls) == (9, 7)


async def test_what_was_blocked_stays_so_while_other_words_are_for_something_else(question, engine):
    plan = "1. [phrase] What is red?\n2. [phrase] What is on #1?\n3. [count] How many cars are there?\nanswer: decide"
    same = "1. [phrase] What is red?\n3. [count] Count the red cars."
    answers = ANSWERS | {"What is red": "unknown", "Question:": same}
    outcome = await run("decompose", question(), engine(plan, answers, direct="yes"))
    assert [(a.to, a.value) for a in steps_of(outcome, SubAnswer)] == [(1, None), (2, None), (3, None), (3, 1)]


@pytest.mark.parametrize("said", ["", "1. [count] Cars?", "2. [phrase] Cars?", "2. [count] Cars?\n3. [count] Dogs?"])
async def test_words_for_anything_else_are_refused(question, engine, said):
    outcome = await run("decompose", question(), engine(COMPARE, ANSWERS | {"Question:": said}, direct="no"))
    assert (outcome.answer.value, outcome.usage.calls) == (False, 5)
    assert any(note.startswith("what is unknown is not asked again: ") for note in outcome.notes)


async def test_other_words_do_not_ask_for_what_another_part_asks_for(question, engine):
    said = {"Question:": "2. [count] How many apples are there?"}
    outcome = await run("decompose", question(), engine(COMPARE, ANSWERS | said, direct="yes"))
    assert (outcome.answer.value, outcome.answer.source) == (True, "direct")
    assert outcome.notes == (
        "what is unknown is not asked again: the other words for it were not valid"
        " (they were asked before; see the trace for them)",
    )


@pytest.mark.parametrize(("rounds", "calls"), [(1, 4), (2, 6), (3, 7)])
async def test_rounds_are_bounded(question, engine, rounds, calls):
    scripted = engine(COMPARE, ANSWERS | {"Question:": "2. [count] How many cars, then?"}, direct="no")
    outcome = await run("decompose", question(), scripted, tuning=Tuning(rounds=rounds))
    assert (outcome.answer.value, outcome.usage.calls) == (False, calls)


async def test_no_round_is_begun_that_the_budget_cannot_end(question, engine):
    outcome = await run("decompose", question(), engine(COMPARE, ANSWERS | MORE, direct="no"), Budget(max_steps=5))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "answered", 4)


async def test_descriptions_are_not_taken_apart(question, engine):
    plan = "1. [text] What is there?\nanswer: #1"
    outcome = await run("decompose", question("Describe it."), engine(plan, direct="A red field."))
    assert (outcome.answer.value, outcome.usage.calls) == ("A red field.", 2)
