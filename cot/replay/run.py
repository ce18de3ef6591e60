"""Runs a recorded question again, and tells what is not as it was recorded.

In: a trace. Out: a new outcome and a new trace, set beside the recorded one. From the recording no model is needed: the
planner of today asks, and a `RecordedEngine` answers with what was recorded for the same prompt. So it tells whether
templates, parsing and planning still come to the same answer.
"""

import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cot.errors import CotError, TraceError
from cot.planner.facts import EXCHANGED
from cot.planner.names import check_strategy
from cot.planner.run import run
from cot.planner.wording import read_wording
from cot.replay.engine import NOT_RECORDED, RecordedEngine, recorded_info
from cot.replay.recorded import (
    begun,
    first_note,
    recorded_budget,
    recorded_language,
    recorded_question,
    recorded_tuning,
)
from cot.trace.diff import Diff, diff_traces
from cot.trace.event import JUDGE_STEP, Call
from cot.trace.read import Trace, read_trace
from cot.trace.record import Recorder

_UNHURRIED_SECONDS: Final = 1e6


@dataclass(frozen=True)
class Replay:
    """A recording and what became of it now.

    differences: what is not as it was recorded, in words, in the order of the steps; empty if nothing is.
    """

    diff: Diff
    differences: tuple[str, ...]


async def replay(trace: Trace) -> Replay:
    """Answer a recorded question again from the recorded replies; what the new run records is read, and not kept.

    Raises TraceError if the trace has no beginning, its images are not beside it, or its strategy is not known.
    """
    kept = (event for event in trace.events if not (isinstance(event, Call) and event.step == JUDGE_STEP))
    trace = dataclasses.replace(trace, events=tuple(kept))
    started = begun(trace)
    try:
        check_strategy(started.strategy)
    except CotError as error:
        raise TraceError(f"{trace.path} was made by the strategy {started.strategy!r}: {error}") from error
    finished = trace.finished
    clock_ran_out = finished is not None and finished.stop_reason == "budget_seconds"
    engine = RecordedEngine(trace.calls, recorded_info(started), clock_ran_out=clock_ran_out)
    budget = dataclasses.replace(recorded_budget(trace), max_seconds=_UNHURRIED_SECONDS)
    said = started.settings
    wording = read_wording(recorded_language(trace), said.get("system"), said.get("templates"))
    with tempfile.TemporaryDirectory(prefix="cot-replay-") as folder:
        with Recorder(Path(folder)) as recorder:
            await run(
                started.strategy, recorded_question(trace), engine, budget, seed=started.seed, recorder=recorder,
                wording=wording, tuning=recorded_tuning(trace), settings=started.settings, note=first_note(trace),
                exchange_answers=said.get("ablation") == EXCHANGED,
            )  # fmt: skip
        again = read_trace(recorder.path)
    found = diff_traces(trace, again)
    return Replay(found, tuple(_differences(trace, again, found)))


def _differences(trace: Trace, again: Trace, found: Diff) -> Iterable[str]:
    for call in again.calls:
        if call.problem and call.problem.startswith(NOT_RECORDED):
            yield f"{call.step}: {_why_not_recorded(trace, call)}"
    for pair in found.pairs:
        if pair.side == "changed":
            yield f"{pair.title}: differs in {', '.join(change.name for change in pair.changes)}"
        elif pair.side == "only_a":
            yield f"{pair.title}: recorded, and not made again"
        elif pair.side == "only_b":
            yield f"{pair.title}: not recorded"
    for change in found.outcome:
        yield f"{change.name}: {change.a or 'none'} when recorded, {change.b or 'none'} now"


def _why_not_recorded(trace: Trace, call: Call) -> str:
    """What keeps a prompt from being found: another template, other text, or nothing recorded behind this point."""
    same_step = next((other for other in trace.calls if other.step == call.step), None)
    if same_step is None:
        ended = "" if trace.finished else "; the recording is not finished"
        return f"the planner asks something that was not asked when it was recorded{ended}"
    if same_step.template_sha256 != call.template_sha256:
        return (
            f"the prompt is not the recorded one: the template {call.template} has changed"
            f" ({same_step.template_sha256[:8]} then, {call.template_sha256[:8]} now)"
        )
    if same_step.prompt == call.prompt:
        return "it is asked more often than it was recorded"
    pairs = zip(same_step.prompt, call.prompt, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(same_step.prompt), len(call.prompt)))
    then, now = same_step.prompt[at : at + 40], call.prompt[at : at + 40]
    return f"the prompt is not the recorded one from character {at} on: {then!r} then, {now!r} now"
