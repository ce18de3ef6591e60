import math

import pytest

from cot.engine import Candidate, Choices, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.errors import EngineError
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.planner.vote import still_needed
from cot.trace.read import read_trace
from cot.trace.record import Recorder


def voters(direct, samples):
    """An engine whose greedy answer is `direct` and whose samples come from a list, in order."""
    left = list(samples)

    def reply(request):
        texts = [left.pop(0) for _ in range(request.n)] if request.sampling.temperature else [direct]
        logprobs = (TokenLogprob("x", math.log(0.5)),)
        usage = Usage(prompt_tokens=20, image_tokens=16, completion_tokens=request.n, calls=1, batches=1)
        return Completion(tuple(Candidate(text, "stop", logprobs) for text in texts), usage)

    return ScriptedEngine(reply)


def drawn(engine):
    return [request.n for request in engine.requests[1:]]


async def test_a_lead_that_none_can_take_ends_the_vote(question):
    engine = voters("3", ["3"] * 8)
    outcome = await run("vote", question("How many?"), engine)
    assert (outcome.answer.value, outcome.answer.confidence, outcome.stop_reason) == (3, 1.0, "answered")
    assert drawn(engine) == [4]
    assert [step.kind for step in outcome.steps] == ["reasoning", "final_answer"]


async def test_the_majority_overrules_the_direct_answer(question):
    engine = voters("3", ["4", "Four.", "4.0", "3", "4", "4", "4", "4"])
    outcome = await run("vote", question("How many?"), engine)
    assert outcome.answer.value == 4
    assert outcome.answer.confidence == pytest.approx(5 / 7)
    assert sum(drawn(engine)) == 6
    assert outcome.steps[0].text == 'Votes: 5 for "4", 2 for "3".'


async def test_ties_go_to_the_direct_answer(question):
    outcome = await run("vote", question(), voters("no", ["yes", "yes", "no"]), tuning=Tuning(samples=3))
    assert (outcome.answer.value, outcome.answer.confidence) == (False, 0.5)


async def test_votes_that_differ_in_an_article_or_a_full_stop_are_one(question):
    outcome = await run("vote", question(), voters("cat", ["A dog", "dog.", "Dog", "cat"]), tuning=Tuning(samples=4))
    assert (outcome.answer.value, outcome.answer.confidence) == ("A dog", 0.75)


async def test_other_ties_go_to_the_first_of_the_leaders(question):
    outcome = await run("vote", question(), voters("2", ["3", "4", "4", "3"]), tuning=Tuning(samples=4))
    assert outcome.answer.value in (3, "3")
    assert outcome.answer.confidence == 0.4


@pytest.mark.parametrize(("samples", "more"), [(4, ""), (5, " and 1 other answer"), (6, " and 2 other answers")])
async def test_of_many_answers_the_rest_is_counted(question, samples, more):
    outcome = await run("vote", question(), voters("a", "bcdefg"), tuning=Tuning(samples=samples))
    assert outcome.steps[0].text.endswith(f'1 for "e"{more}.')


async def test_samples_are_random_and_each_round_draws_others(question):
    engine = voters("no", ["yes"] * 4 + ["no"] * 4)
    await run("vote", question(), engine, seed=5)
    seeds = [request.sampling.seed for request in engine.requests[1:]]
    assert len(set(seeds)) == len(seeds) > 1
    assert seeds[0] == 5
    assert {request.sampling.temperature for request in engine.requests[1:]} == {0.7}
    assert len({request.messages for request in engine.requests}) == 1


async def test_what_does_not_parse_is_no_vote_and_is_said(question):
    engine = voters("a1", ["boat", "b1", "boat", "b1", "b1", "boat", "boat", "boat"])
    outcome = await run("vote", question("Which?", ["a1", "b1"]), engine)
    assert (outcome.answer.value, outcome.answer.confidence) == ("b1", 0.75)
    assert any("a sample is no vote: got 'boat'" in note for note in outcome.notes)
    assert {request.constraint for request in engine.requests} == {Choices(("a1", "b1"))}


async def test_choices_that_differ_in_case_are_two(question):
    outcome = await run("vote", question("Which?", ["US", "us"]), voters("US", ["us"] * 8))
    assert outcome.answer.value == "us"


async def test_without_any_vote_it_is_unparsed(question):
    outcome = await run("vote", question("Which?", ["a1", "b1"]), voters("x", ["y"] * 8))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.completion_tokens) == (None, "unparsed", 9)


async def test_without_a_direct_answer_the_samples_vote(question):
    outcome = await run("vote", question("Which?", ["a1", "b1"]), voters("x", ["b1", "a1", "b1", "b1", "b1"]))
    assert outcome.answer.value == "b1"


async def test_steps_that_run_out_leave_the_votes_so_far(question):
    engine = voters("no", ["yes", "yes", "yes", "no", "yes"])
    outcome = await run("vote", question(), engine, Budget(max_steps=2))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (True, "budget_steps", 2)
    assert outcome.notes[-1] == "the 2 steps are used up"


async def test_tokens_bound_the_samples(question):
    engine = voters("no", ["no"] * 8)
    outcome = await run("vote", question(), engine, Budget(max_tokens=4))
    assert [(r.n, r.max_tokens) for r in engine.requests] == [(1, 4), (3, 1)]
    assert outcome.usage.completion_tokens <= 4
    assert outcome.answer.value is False


async def test_an_engine_error_leaves_the_direct_answer(question, completion):
    outcome = await run("vote", question(), ScriptedEngine([completion("no"), EngineError("out of memory")]))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "error")
    assert "out of memory" in outcome.notes[-1]


@pytest.mark.parametrize(("samples", "budget"), [("no", Budget(max_steps=1)), (["boat"] * 8, Budget())])
async def test_a_vote_that_nobody_else_casts_is_no_certainty(question, samples, budget):
    outcome = await run("vote", question("Which?", ["yes", "no"]), voters("no", samples), budget)
    assert (outcome.answer.value, outcome.answer.source) == ("no", "direct")
    assert outcome.answer.confidence == pytest.approx(0.5)
    assert outcome.stop_reason == ("budget_steps" if budget.max_steps == 1 else "answered")


async def test_every_sample_is_in_the_trace_and_its_cost_once(question, tmp_path):
    with Recorder(tmp_path) as recorder:
        outcome = await run("vote", question(), voters("no", ["no", "yes", "no", "no"] * 2), recorder=recorder)
    calls = read_trace(recorder.path).calls
    assert [call.raw for call in calls[:5]] == ["no", "no", "yes", "no", "no"]
    assert sum(c.measured.usage.get("completion_tokens", 0) for c in calls) == outcome.usage.completion_tokens


@pytest.mark.parametrize(
    ("votes", "left", "needed"),
    [("", 8, 1), ("a", 8, 4), ("aaaaa", 4, 0), ("abbbb", 4, 1), ("ab", 2, 1), ("ab", 1, 1), ("abb", 1, 1)]
    + [("abb", 0, 0), ("aab", 1, 0), ("abbb", 1, 0)],
)
def test_no_more_is_drawn_than_a_lead_takes(votes, left, needed):
    assert still_needed(list(votes), left) == needed
