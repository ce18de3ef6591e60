import asyncio
import math

import pytest

from cot.engine import Candidate, Completion, ScriptedEngine, TokenLogprob
from cot.errors import EngineError, PromptError, TraceError, UsageError
from cot.planner.asked import ALTERNATIVES
from cot.planner.budget import Allowance, Budget, ChainStopped
from cot.planner.names import STRATEGY_NAMES
from cot.planner.run import STRATEGIES, run
from cot.planner.tuning import Tuning
from cot.trace.read import read_trace
from cot.trace.record import Recorder

COMPARE = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
COUNTS = {"How many apples": "3", "How many cars": "1"}


class Stuck(ScriptedEngine):
    """Answers the plan, and then nothing."""

    async def complete(self, request):
        found = await super().complete(request)
        if len(self.requests) > 1:
            await asyncio.sleep(60)
        return found


def test_every_strategy_has_its_name():
    assert tuple(STRATEGIES) == STRATEGY_NAMES


async def test_the_trace_alone_tells_why(question, engine, tmp_path):
    with Recorder(tmp_path) as recorder:
        outcome = await run(
            "decompose", question(), engine(COMPARE, COUNTS), Budget(max_steps=9), seed=3, recorder=recorder,
            settings={"model": "embedded"},
        )  # fmt: skip
    trace = read_trace(recorder.path)
    assert not trace.torn
    assert [event.seq for event in trace.events] == list(range(len(trace.events)))
    started, finished = trace.started, trace.finished
    assert (started.question, started.strategy, started.seed) == (question().text, "decompose", 3)
    budget = {"max_steps": 9, "max_tokens": 2048, "max_seconds": 300.0}
    assert started.settings == {"model": "embedded", "language": "en", **budget}
    assert started.engine["model"] == "scripted"
    assert set(started.versions) >= {"cot", "python"}
    assert started.images[0].sha256 == question().images[0].sha256
    assert (recorder.folder / "images" / f"{started.images[0].sha256}.png").is_file()
    assert sorted(event.step.model_dump_json() for event in trace.steps) == sorted(
        step.model_dump_json() for step in outcome.steps
    )
    plan, first, second = trace.calls
    assert (plan.step, plan.template, plan.value, plan.raw) == ("plan", "decompose/plan", COMPARE, COMPARE)
    assert plan.constraint["kind"] == "Regex"
    assert (first.step, first.value, first.problem, first.finish_reason) == ("sub_question 1", 3, None, "stop")
    assert first.prompt.startswith("How many apples are there?")
    assert first.tokens[0][0] == "3"
    assert first.measured.usage["image_tokens"] == 16
    assert first.measured.seconds == {"queue": 0.0, "prefill": 0.01, "decode": 0.02}
    assert second.confidence == pytest.approx(0.9)
    assert (finished.answer, finished.stop_reason) == (outcome.answer, "answered")
    assert finished.measured.usage["calls"] == 3


async def test_the_trace_tells_what_a_strategy_was_tuned_by(question, engine, tmp_path):
    with Recorder(tmp_path) as recorder:
        await run("route", question(), engine(COMPARE), tuning=Tuning(keep=0.7), recorder=recorder)
    started = read_trace(recorder.path).started
    assert (started.settings["tuning: keep"], started.settings["tuning: samples"]) == (0.7, 8)


async def test_the_trace_tells_what_else_was_likely(question, tmp_path):
    def completed(length):
        others = (("no", math.log(0.2)), ("\ud800", math.log(0.01)), ("never", math.log(1e-6)))
        tokens = (TokenLogprob("yes", math.log(0.7), others), *(TokenLogprob("", 0.0),) * (length - 1))
        return Completion((Candidate("yes", "stop", tokens),))

    engine = ScriptedEngine([completed(2), completed(17), completed(2)])
    found = []
    for _ in range(2):
        with Recorder(tmp_path) as recorder:
            await run("direct", question(), engine, recorder=recorder)
        (call,) = read_trace(recorder.path).calls
        found.append(call.alternatives)
    await run("direct", question(), engine)
    assert found == [((("no", math.log(0.2)), ("\\ud800", math.log(0.01))), ()), ()]
    assert [request.alternatives for request in engine.requests] == [ALTERNATIVES, ALTERNATIVES, 0]


async def test_the_trace_begins_with_the_templates_that_may_be_asked(question, engine, tmp_path):
    with Recorder(tmp_path) as recorder:
        await run("route", question(), engine(COMPARE, COUNTS), recorder=recorder)
    trace = read_trace(recorder.path)
    assert {call.template for call in trace.calls} < set(trace.started.templates)
    assert all(len(sha256) == 64 for sha256 in trace.started.templates.values())
    assert "decompose/summary" in trace.started.templates


async def test_two_runs_differ_only_in_what_was_measured(question, engine, tmp_path):
    contents = []
    for _ in range(2):
        with Recorder(tmp_path) as recorder:
            await run("decompose", question(), engine(COMPARE, COUNTS), recorder=recorder)
        contents.append([event.model_dump(exclude={"measured"}) for event in read_trace(recorder.path).events])
    assert contents[0] == contents[1]


@pytest.mark.no_replay("which of two waiting calls the clock stops first is chance")
async def test_seconds_are_a_hard_limit(question, engine, tmp_path):
    with Recorder(tmp_path) as recorder:
        outcome = await asyncio.wait_for(
            run("decompose", question(), engine(COMPARE, kind=Stuck), Budget(max_seconds=1), recorder=recorder), 50
        )
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_seconds")
    assert outcome.seconds < 30
    calls = read_trace(recorder.path).calls
    assert [call.problem is None for call in calls] == [True, False, False]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_cancelling_leaves_a_whole_trace(question, engine, tmp_path, strategy):
    class Waiting(ScriptedEngine):
        async def complete(self, request):
            await asyncio.sleep(60)

    scripted = engine(COMPARE, kind=Stuck) if strategy == "decompose" else Waiting([])
    with Recorder(tmp_path) as recorder:
        task = asyncio.create_task(run(strategy, question(), scripted, recorder=recorder))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    trace = read_trace(recorder.path)
    assert not trace.torn
    assert (trace.finished.stop_reason, trace.finished.answer) == ("cancelled", None)
    assert "CancelledError" in trace.calls[-1].problem


async def test_a_fault_of_the_program_is_raised_with_a_whole_trace(question, engine, tmp_path):
    scripted = engine(COMPARE, {"How many apples": ZeroDivisionError("a fault"), "How many cars": "1"})
    with Recorder(tmp_path) as recorder, pytest.raises(ZeroDivisionError):
        await run("decompose", question(), scripted, recorder=recorder)
    trace = read_trace(recorder.path)
    assert trace.finished.stop_reason == "error"
    assert "a fault" in trace.calls[1].problem


async def test_a_failing_template_is_an_outcome(question):
    def reply(request):
        raise PromptError("broken")

    outcome = await run("direct", question(), ScriptedEngine(reply))
    assert (outcome.stop_reason, outcome.notes) == ("error", ("broken",))


async def test_a_trace_that_cannot_be_written_is_raised(question, tmp_path):
    recorder = Recorder(tmp_path)
    recorder.close()
    with pytest.raises(TraceError, match="cannot write"):
        await run("direct", question(), ScriptedEngine(["3"]), recorder=recorder)


async def test_a_trace_that_ends_before_its_time_costs_no_answer(question, tmp_path, monkeypatch):
    engine = ScriptedEngine(["3"])
    with Recorder(tmp_path) as recorder:
        written = recorder._file.write

        def write(line):
            if recorder._next > 1:
                raise OSError(28, "No space left on device")
            return written(line)

        monkeypatch.setattr(recorder._file, "write", write, raising=False)
        outcome = await run("direct", question(), engine, recorder=recorder)
    assert (outcome.answer.text, outcome.stop_reason) == ("3", "answered")
    assert "the trace is not whole" in outcome.notes[0]
    assert "trace.jsonl': No space left on device; free some space" in outcome.notes[0]
    left = read_trace(recorder.path)
    assert (left.started.question, left.finished) == (question().text, None)


async def test_odd_text_does_not_break_the_trace(question, tmp_path, completion):
    said = completion('\ud800 "\u2028\x1b[31m\n{}')
    with Recorder(tmp_path) as recorder:
        outcome = await run("direct", question(), ScriptedEngine([said]), recorder=recorder)
    assert outcome.answer.text.startswith("\\ud800")
    assert read_trace(recorder.path).finished.answer == outcome.answer


async def test_unknown_strategies_are_named(question):
    with pytest.raises(UsageError, match="unknown strategy 'guess'; known: direct, decompose"):
        await run("guess", question(), ScriptedEngine([]))


@pytest.mark.parametrize(
    "limits", [{"max_steps": 0}, {"max_tokens": 0}, {"max_seconds": 0}, {"max_seconds": float("nan")}]
)
def test_budgets_are_positive(limits):
    with pytest.raises(UsageError, match="expected more than 0"):
        Budget(**limits)


async def test_what_waited_for_tokens_is_not_asked_of_a_model_that_failed(engine, question):
    plan = "1. [count] How many apples?\n2. [count] How many cars?\nanswer: #1 > #2"
    scripted = engine(plan, {"How many": EngineError("gone")})
    words = len(plan.split())
    # One of the facts takes all that the plan leaves.
    outcome = await run("decompose", question(), scripted, Budget(max_tokens=words + 8))
    assert (outcome.stop_reason, len(scripted.requests)) == ("error", 2)
    assert [step.problem for step in outcome.steps if step.kind == "sub_answer"] == ["sub_question 1: gone"] * 2


async def test_an_allowance_waits_for_tokens_in_flight():
    allowance = Allowance(Budget(max_tokens=10))
    assert await allowance.take(8) == 8
    waiting = asyncio.create_task(allowance.take(8))
    await asyncio.sleep(0)
    assert not waiting.done()
    allowance.give_back(8, used=3)
    assert await waiting == 7
    allowance.give_back(7, used=7)
    with pytest.raises(ChainStopped, match="10 tokens are used up"):
        await allowance.take(1)
