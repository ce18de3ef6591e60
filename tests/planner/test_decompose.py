import asyncio

import pytest

from cot.engine import Choices, Completion, Regex, ScriptedEngine
from cot.errors import EngineError, UnfitReplyError
from cot.planner.budget import Budget
from cot.planner.plan import PLAN_PATTERN
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.step import Reasoning, SubAnswer, SubQuestion, Summary, ToolUse


def text_of(request):
    return request.messages[-1].content[-1]


COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
COUNTS = {"How many apples": "3", "How many cars": "1"}


def kinds(outcome):
    return [step.kind for step in outcome.steps]


def step_of(outcome, kind):
    return [step for step in outcome.steps if isinstance(step, kind)]


async def test_counts_are_compared_not_generated(question, engine):
    scripted = engine(COMPARE, COUNTS)
    outcome = await run("decompose", question(), scripted)
    assert outcome.stop_reason == "answered"
    assert (outcome.answer.value, outcome.answer.text, outcome.answer.raw) == (True, "yes", "#1 > #2")
    assert outcome.answer.supports == (1, 2)
    assert outcome.answer.confidence == pytest.approx(0.9 * 0.9)
    assert kinds(outcome) == ["sub_question"] * 2 + ["reasoning"] + ["sub_answer"] * 2 + [
        "tool_use", "summary", "final_answer",
    ]  # fmt: skip
    assert step_of(outcome, ToolUse) == [
        ToolUse(name="calculate", arguments={"expression": "#1 > #2", "#1": 3, "#2": 1}, result=True)
    ]
    assert step_of(outcome, Summary)[0].text == "How many apples are there? 3\nHow many cars are there? 1"
    assert [r.constraint for r in scripted.requests] == [
        Regex(PLAN_PATTERN), Regex("unknown|0|[1-9][0-9]{0,2}"), Regex("unknown|0|[1-9][0-9]{0,2}"),
    ]  # fmt: skip
    assert outcome.usage.calls == 3
    assert outcome.notes == ()


@pytest.mark.parametrize(("share", "sure"), [(0, 0.81), (0.5, 0.81 * 0.5), (1, 0.81 * 0.25)])
async def test_a_plan_that_the_model_doubts_makes_the_answer_less_sure(question, engine, completion, share, sure):
    scripted = engine(completion(COMPARE, probability=0.25), COUNTS)
    outcome = await run("decompose", question(), scripted, tuning=Tuning(plan_share=share))
    assert (outcome.answer.value, outcome.answer.confidence) == (True, pytest.approx(sure))


async def test_a_plan_that_only_asks_again_makes_the_answer_no_less_sure(question, engine, completion):
    plan = completion("1. [count] How many apples are there?\nanswer: #1", probability=0.25)
    outcome = await run("decompose", question(), engine(plan, COUNTS), tuning=Tuning(plan_share=1))
    assert (outcome.answer.value, outcome.answer.confidence) == (3, pytest.approx(0.9))


async def test_a_bare_reference_is_that_sub_answer(question, engine):
    plan = "1. [number] What share is rent?\nanswer: #1"
    outcome = await run("decompose", question(), engine(plan, {"What share": "12.5%"}))
    assert (outcome.answer.value, outcome.answer.text, outcome.answer.raw) == (12.5, "12.5%", "12.5%")
    assert not step_of(outcome, ToolUse)
    assert outcome.answer.supports == (1,)


async def test_answers_are_filled_into_later_questions(question, engine):
    plan = (
        "1. [phrase] What is left of the dog?\n2. [phrase] What is right of the dog?\n"
        "3. [yes_no] Is #1 larger than #2?\nanswer: #3"
    )
    answers = {"What is left": "a  cat", "What is right": "a cow", "Is a cat larger than a cow?": "no"}
    scripted = engine(plan, answers)
    outcome = await run("decompose", question(), scripted)
    assert (outcome.answer.value, outcome.answer.text) == (False, "no")
    assert step_of(outcome, SubAnswer)[2].asked == "Is a cat larger than a cow?"
    assert step_of(outcome, SubQuestion)[2].depends_on == (1, 2)


async def test_independent_questions_are_asked_together(question, engine):
    started, together = [], []

    class Slow(ScriptedEngine):
        async def complete(self, request):
            started.append(text_of(request))
            await asyncio.sleep(0.01)
            together.append(len(started))
            return await super().complete(request)

    outcome = await run("decompose", question(), engine(COMPARE, COUNTS, kind=Slow))
    assert outcome.answer.value is True
    assert together == [1, 3, 3]


async def test_steps_are_in_the_order_of_the_plan_whoever_is_first(question, engine):
    class Backwards(ScriptedEngine):
        async def complete(self, request):
            await asyncio.sleep(0.03 if "apples" in text_of(request) else 0.0)
            return await super().complete(request)

    seen = []
    outcome = await run("decompose", question(), engine(COMPARE, COUNTS, kind=Backwards), on_step=seen.append)
    assert [s.to for s in seen if isinstance(s, SubAnswer)] == [2, 1]
    assert [s.to for s in step_of(outcome, SubAnswer)] == [1, 2]


async def test_decide_asks_with_the_summary(question, engine):
    plan = "1. [text] What is happening?\n2. [count] How many cars are there?\nanswer: decide"
    scripted = engine(plan, {"What is happening?\nOne": "A race.", "How many cars": "unknown", "What is hap": "a race"})
    outcome = await run("decompose", question("What is it?"), scripted)
    summary = "What is happening? A race.\nStill unknown: How many cars are there?"
    assert step_of(outcome, Summary)[0].text == summary
    assert text_of(scripted.requests[-1]).startswith(f"{summary}\nWhat is it?")
    assert (outcome.answer.value, outcome.answer.supports, outcome.stop_reason) == ("a race", (1,), "answered")


async def test_decide_without_anything_known_asks_directly(question, engine):
    plan = "1. [count] How many cars are there?\nanswer: decide"
    outcome = await run("decompose", question("What?"), engine(plan, {"How many": "unknown"}, direct="a race"))
    assert outcome.answer.value == "a race"
    assert any("no sub-question was answered" in step.text for step in step_of(outcome, Reasoning))


async def test_a_computed_value_becomes_the_choice_that_says_it(question, engine):
    plan = COMPARE.replace(">", "+")
    outcome = await run("decompose", question("How many?", ["three", "four"]), engine(plan, COUNTS))
    assert (outcome.answer.value, outcome.answer.text) == ("four", "four")
    assert outcome.usage.calls == 3


async def test_where_no_choice_says_it_the_model_decides(question, engine):
    scripted = engine(COMPARE, {"How many apples are there? 3": "fruit", "How many apples": "3", "How many cars": "1"})
    outcome = await run("decompose", question("What is more?", ["fruit", "traffic"]), scripted)
    assert outcome.answer.value == "fruit"
    assert scripted.requests[-1].constraint == Choices(("fruit", "traffic"))
    assert "No choice says yes, so the model decides." in [s.text for s in step_of(outcome, Reasoning)]


SAME_TWICE = COMPARE.replace("cars", "apples")


@pytest.mark.parametrize("plan", ["", "I think so.", COMPARE.replace("#2", "#3"), COMPARE + "\nand more", SAME_TWICE])
async def test_an_invalid_plan_falls_back_and_says_so(question, engine, plan):
    outcome = await run("decompose", question(), engine(plan, direct="yes"))
    assert (outcome.answer.value, outcome.stop_reason) == (True, "answered")
    assert kinds(outcome) == ["reasoning", "final_answer"]
    assert "the plan is not valid" in outcome.steps[0].text
    assert outcome.usage.calls == 3


async def test_where_the_plan_is_not_valid_the_likeliest_valid_sample_is_followed(question, engine, completion):
    unlikely, likely = COMPARE.replace(">", "<"), COMPARE
    drawn = [completion(SAME_TWICE, probability=0.8), completion(unlikely, probability=0.1),
             completion(likely, probability=0.3), completion("no plan", probability=0.9)]  # fmt: skip
    plans = Completion(tuple(one.candidates[0] for one in drawn), drawn[0].usage)

    def reply(request):
        text = text_of(request)
        if "Split" in text:
            return plans if request.n > 1 else completion(SAME_TWICE)
        return completion("3" if "apples" in text else "2")

    outcome = await run("decompose", question(), ScriptedEngine(reply), tuning=Tuning(samples=4))
    assert (outcome.answer.value, outcome.answer.supports) == (True, (1, 2))
    asked = [step.text for step in step_of(outcome, SubQuestion)]
    assert asked == ["How many apples are there?", "How many cars are there?"]
    assert outcome.notes == (
        "the first plan was not valid (it asks the same in lines 1 and 2; see the trace for it), so another one, the"
        " likeliest of 2 that are, is followed",
    )


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (
            "1. [count] How many apples?\n2. [number] how many  apples?\nanswer: #1 > #2",
            "it asks the same in lines 1 and 2",
        ),
        ("1. [count] How many apples?\nanswer: #1 > #1", "compares an answer with itself"),
        ("1. [count] How many apples?\nanswer: #1 >= #1 + 2", "compares an answer with itself"),
        (
            "1. [count] How many apples?\n2. [count] Cars?\nanswer: #1 + #2 = 1 + #2 + #1",
            "compares an answer with itself",
        ),
        ("1. [count] How many apples?\nanswer: most(apples: #1, cars: #1)", "compares an answer with itself"),
        ("1. [count] How many apples?\nanswer: #1 - #1", "compares an answer with itself"),
        ("1. [count] How many apples?\nanswer: 3 + abs(#1 - #1) > 2", "compares an answer with itself"),
        ("1. [yes_no] Is it red?\nanswer: #1 and not #1", "compares an answer with itself"),
    ],
)
async def test_a_plan_that_compares_an_answer_with_itself_is_none(question, engine, plan, why):
    outcome = await run("decompose", question(), engine(plan, COUNTS, direct="yes"))
    assert (outcome.answer.value, outcome.answer.source) == (True, "direct")
    assert any(why in step.text for step in step_of(outcome, Reasoning))


async def test_a_plan_whose_lines_run_into_each_other_is_none(question, engine):
    plan = COMPARE.replace("1. [count] How many apples", "1. [count] How many apples1. [count] How many apples")
    outcome = await run("decompose", question("Which are more?"), engine(plan, COUNTS, direct="cars"))
    assert (outcome.answer.value, outcome.answer.source) == ("cars", "direct")
    assert "line 1 runs into another one" in outcome.steps[0].text


async def test_a_plan_that_calls_two_things_by_one_name_is_none(question, engine):
    plan = COMPARE.replace("#1 > #2", "most(apples: #1, Apples: #2)")
    outcome = await run("decompose", question("Which are more?"), engine(plan, COUNTS, direct="cars"))
    assert (outcome.answer.value, outcome.answer.source) == ("cars", "direct")
    assert "it calls two things by one name" in outcome.steps[0].text


@pytest.mark.parametrize("expression", ["#1 + #1 > #2", "#1 + #2 > #2 + 2", "#2 + 1 = #1 - 1"])
async def test_what_is_counted_twice_over_is_no_comparison_with_itself(question, engine, expression):
    plan = COMPARE.replace("#1 > #2", expression)
    assert (await run("decompose", question(), engine(plan, COUNTS))).answer.value is True


async def test_an_answer_is_as_sure_as_all_that_was_filled_in_before_it(question, engine, completion):
    plan = "1. [phrase] What is left?\n2. [phrase] What is on it?\n3. [phrase] What colour is #1?\nanswer: #3"
    answers = {
        "What is left": completion("a hat", probability=0.1), "What is on it": completion("pins", probability=0.2),
        "What colour is a hat": completion("red", probability=0.9),
    }  # fmt: skip
    outcome = await run("decompose", question(), engine(plan, answers))
    assert (outcome.answer.value, outcome.answer.supports) == ("red", (3,))
    assert outcome.answer.confidence == pytest.approx(0.1 * 0.9)


@pytest.mark.parametrize("budget", [Budget(max_tokens=300), Budget(max_steps=3)])
async def test_no_plan_is_drawn_where_that_would_cost_the_answer(question, engine, budget):
    outcome = await run("decompose", question(), engine("I think so.", direct="yes"), budget=budget)
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (True, "answered", 2)


async def test_a_plan_that_was_cut_falls_back(question, engine, completion):
    outcome = await run("decompose", question(), engine(completion(COMPARE, finish="length", tokens=160), direct="yes"))
    assert outcome.answer.value is True
    assert "cut short after 160 tokens" in outcome.steps[0].text


@pytest.mark.parametrize(
    ("said", "finish"), [("unknown", "stop"), ("some", "stop"), ("1", "length"), ("1", "cancelled")]
)
async def test_an_unknown_part_falls_back(question, engine, completion, said, finish):
    answers = {"How many apples": "3", "How many cars": completion(said, finish=finish)}
    outcome = await run("decompose", question(), engine(COMPARE, answers, "no"))
    assert (outcome.answer.value, outcome.stop_reason) == (False, "answered")
    assert any("#2 is unknown" in step.text for step in step_of(outcome, Reasoning))
    assert step_of(outcome, SubAnswer)[1].value is None
    assert step_of(outcome, SubAnswer)[1].problem
    assert "Still unknown: How many cars" in step_of(outcome, Summary)[0].text


@pytest.mark.parametrize(
    ("expression", "kinds"),
    [
        ("#1 > #2", "#1 [phrase], #2 [count]"),
        ("#1 = #2", "#1 [phrase], #2 [count]"),
        ("#2 - #3", "#2 [count], #3 [yes_no]"),
        ("most(hats: #2, cars: #4)", "#2 [count], #4 [text]"),
        ("#3 and not #2", "#2 [count], #3 [yes_no]"),
    ],
)
async def test_a_plan_that_its_kinds_of_answers_cannot_fill_is_none(question, engine, expression, kinds):
    kinds_of = "1. [phrase] What is red?\n2. [count] How many cars?\n3. [yes_no] Is it?\n4. [text] What is there?"
    outcome = await run("decompose", question(), engine(f"{kinds_of}\nanswer: {expression}", direct="no"))
    assert (outcome.answer.value, outcome.usage.calls) == (False, 3)
    why = f"it computes {expression} from answers of kinds that do not fit: {kinds}"
    said = f"The question is asked directly: the plan is not valid ({why}; see the trace for it)."
    assert [step.text for step in step_of(outcome, Reasoning)] == [said]


async def test_sentences_are_not_compared(question, engine):
    plan = "1. [text] What does the left sign say?\n2. [text] What does the right sign say?\nanswer: #1 = #2"
    outcome = await run("decompose", question(), engine(plan, direct="yes"))
    assert (outcome.answer.value, outcome.answer.source) == (True, "direct")
    assert "it compares sentences" in outcome.steps[0].text


async def test_an_unknown_answer_blocks_what_depends_on_it(question, engine):
    plan = "1. [phrase] What is red?\n2. [phrase] What is on #1?\n3. [count] How many are #2?\nanswer: #3"
    scripted = engine(plan, {"What is red": "unknown"}, "5")
    outcome = await run("decompose", question(), scripted)
    assert [answer.problem for answer in step_of(outcome, SubAnswer)] == [
        "the model does not know", "it depends on #1, which is unknown", "it depends on #2, which is unknown",
    ]  # fmt: skip
    assert [request.max_tokens for request in scripted.requests] == [160, 64, 160, 64]
    assert outcome.answer.value == 5


async def test_direct_unparsed_is_unparsed(question, engine):
    outcome = await run("decompose", question("Which?", ["a1", "b1"]), engine("no plan", direct="c1"))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")


async def test_too_few_steps_for_the_plan_ask_directly(question, engine):
    outcome = await run("decompose", question(), engine(COMPARE, COUNTS, "no"), Budget(max_steps=2))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (False, "budget_steps", 2)
    assert outcome.notes == ("the plan needs 2 more steps, and the budget has 1",)


async def test_the_last_note_says_what_stopped_the_chain(question, engine, completion):
    cut = completion("a long story", finish="length")
    outcome = await run("decompose", question(), engine(COMPARE, COUNTS, cut), Budget(max_steps=2))
    assert outcome.stop_reason == "budget_steps"
    assert outcome.notes[-1] == "the plan needs 2 more steps, and the budget has 1"


async def test_too_few_steps_and_no_answer_is_unparsed(question, engine):
    outcome = await run("decompose", question("Which?", ["a1"]), engine(COMPARE, COUNTS, "c1"), Budget(max_steps=2))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")


async def test_a_step_that_leaves_none_behind_the_plan_goes_to_the_question(question):
    outcome = await run("decompose", question(), ScriptedEngine(["yes"]), Budget(max_steps=1))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == (True, "budget_steps", 1)
    assert outcome.notes[-1] == "a plan needs 2 steps, and the budget has 1"


async def test_no_step_left_for_the_fallback(question, engine):
    outcome = await run("decompose", question(), engine(COMPARE, {"How": "unknown"}), Budget(max_steps=3))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_steps")


async def test_tokens_are_a_hard_limit(question, engine, completion):
    # The plan takes 18 of 20 tokens, each count one: the second waits for the first and gets the rest.
    scripted = engine(completion(COMPARE, tokens=18), COUNTS)
    outcome = await run("decompose", question(), scripted, Budget(max_tokens=20))
    assert [request.max_tokens for request in scripted.requests] == [20, 2, 1]
    assert (outcome.answer.value, outcome.stop_reason) == (True, "answered")


async def test_tokens_that_run_out_end_the_chain(question, engine, completion):
    scripted = engine(completion(COMPARE, tokens=19), COUNTS)
    outcome = await run("decompose", question(), scripted, Budget(max_tokens=20))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_tokens")
    assert [answer.value for answer in step_of(outcome, SubAnswer)] == [3, None]
    assert outcome.usage.completion_tokens == 20


async def test_what_is_known_at_the_end_is_still_computed(question, engine):
    plan = COMPARE.replace("answer: #1 > #2", "3. [count] How many dogs are there?\nanswer: #1 > #2")
    answers = {**COUNTS, "How many dogs": EngineError("out of memory")}
    outcome = await run("decompose", question(), engine(plan, answers))
    assert (outcome.answer.value, outcome.stop_reason) == (True, "error")
    assert "out of memory" in outcome.notes[-1]
    assert "out of memory" in step_of(outcome, SubAnswer)[2].problem


async def test_an_engine_error_ends_the_chain_with_what_was_learned(question, engine):
    scripted = engine(COMPARE, {"How many apples": "3", "How many cars": EngineError("out of memory")})
    outcome = await run("decompose", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == (None, "error")
    assert [answer.value for answer in step_of(outcome, SubAnswer)] == [3, None]
    assert any("out of memory" in note for note in outcome.notes)
    assert len(scripted.requests) == 3


async def test_an_engine_error_in_the_plan_is_an_outcome(question, engine):
    outcome = await run("decompose", question(), engine(EngineError("no memory")))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "error")
    assert outcome.notes == ("plan: no memory",)


def unfit(*, cut=False):
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "calls": 1}
    return UnfitReplyError("got 'Hm'", text="Hm", usage=usage, cut=cut)


@pytest.mark.parametrize(("cut", "more"), [(False, ""), (True, ", and was cut short")])
async def test_a_plan_that_no_reply_fits_is_not_drawn_again(question, engine, cut, more):
    scripted = engine(unfit(cut=cut), direct="yes")
    outcome = await run("decompose", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == (True, "answered")
    why = f"the reply does not have the form that was asked for{more}; see the trace for it"
    said = [step.text for step in step_of(outcome, Reasoning)]
    assert said == [f"The question is asked directly: the plan is not valid ({why})."]
    assert (len(scripted.requests), outcome.usage.calls) == (2, 2)


async def test_a_part_in_words_is_not_read_where_it_does_not_fit(question, engine):
    where = "1. [count] How many apples are there?\n2. [phrase] Where are the cars?\nanswer: decide"
    scripted = engine(where, {"How many apples": "3", "Where are": UnfitReplyError("odd", text="I\ndo not know")})
    outcome = await run("decompose", question(), scripted)
    assert None in [step.value for step in step_of(outcome, SubAnswer)]


async def test_a_part_that_was_cut_short_is_not_read(question, engine):
    cut = UnfitReplyError("got 'Two', cut short", text="Two", cut=True)
    scripted = engine(COMPARE, {"How many apples": "3", "How many cars": cut}, direct="yes")
    outcome = await run("decompose", question(), scripted)
    assert [step.value for step in step_of(outcome, SubAnswer)] == [3, None]


async def test_a_part_that_no_reply_fits_is_unknown(question, engine):
    scripted = engine(COMPARE, {"How many apples": "3", "How many cars": unfit()}, direct="yes")
    outcome = await run("decompose", question(), scripted)
    assert (outcome.answer.value, outcome.stop_reason) == (True, "answered")
    assert [(step.raw, step.problem) for step in step_of(outcome, SubAnswer)] == [("3", None), ("Hm", "got 'Hm'")]
