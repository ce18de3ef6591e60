"""Runs a strategy on a question, and always comes back with an outcome.

In: a strategy, a question, an engine, a budget, and where to record. Out: an `Outcome`. What the
model or a template does wrong ends the chain with a stop reason; only being cancelled, and faults
of the program itself, are raised, and the trace is whole even then.
"""

import asyncio
import dataclasses
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import cot
from cot.engine.base import Engine, Usage
from cot.errors import CotError, TraceError
from cot.planner.asked import storable
from cot.planner.budget import Budget, ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion, unknown
from cot.planner.decompose import decompose
from cot.planner.direct import direct
from cot.planner.examples import as_text
from cot.planner.follow_own import follow_own
from cot.planner.follow_up import understand
from cot.planner.names import find_own
from cot.planner.own import tool_versions
from cot.planner.reason import reason
from cot.planner.route import route
from cot.planner.templates import template_hashes
from cot.planner.tuning import Tuning
from cot.planner.verify import verify
from cot.planner.vote import vote
from cot.planner.wording import Wording
from cot.question import Earlier, Question
from cot.step import FinalAnswer, Step, StopReason
from cot.trace.event import Measured, RunFinished, RunStarted
from cot.trace.images import described
from cot.trace.record import Recorder

Strategy = Callable[[Chain], Awaitable[Conclusion]]
"""Takes a chain, adds steps to it, and comes to a conclusion."""

STRATEGIES: Final[dict[str, Strategy]] = {
    "direct": direct, "decompose": decompose, "cot": reason, "vote": vote, "verify": verify, "route": route,
}  # fmt: skip
"""By the name that users give; users' own come beside them."""


@dataclass(frozen=True)
class Outcome:
    """What a question came to.

    seconds: wall clock, loading the model not counted. notes: what a person should know and no step says;
    the last one tells why the chain stopped, unless it was answered. question: as it was understood.
    earlier: what was said before, as it was told to the model: where it was long, its beginning as a summary.
    longest_tokens: of the longest prompt with its answer.
    """

    answer: FinalAnswer
    steps: tuple[Step, ...]
    stop_reason: StopReason
    usage: Usage
    seconds: float
    notes: tuple[str, ...] = ()
    question: str = ""
    earlier: Earlier = field(default_factory=Earlier)
    longest_tokens: int = 0


async def run(
    strategy: str,
    question: Question,
    engine: Engine,
    budget: Budget | None = None,
    *,
    seed: int = 0,
    wording: Wording | None = None,
    tuning: Tuning | None = None,
    recorder: Recorder | None = None,
    on_step: Callable[[Step], None] | None = None,
    settings: Mapping[str, Any] | None = None,
    note: str = "",
    exchange_answers: bool = False,
) -> Outcome:
    """Answer a question.

    wording: of the prompts, tuning: numbers that the strategy goes by; None for the defaults.
    settings: plain values for the trace. on_step: called with each step as it is finished.
    note: what a person should know of how it is run.
    exchange_answers: an ablation: the answer is drawn from sub-answers that were exchanged with each other.
    Raises UsageError for an unknown strategy, PromptError for one of the user's own that is wrong, and TraceError if
    the trace cannot be written.
    """
    own = None if strategy in STRATEGIES else find_own(strategy)
    chosen = STRATEGIES[strategy] if own is None else partial(follow_own, strategy, own[0])
    tools = {} if own is None else tool_versions(own[0])
    budget = budget or Budget()
    chain = Chain(
        question,
        engine,
        budget,
        seed=seed,
        wording=wording,
        tuning=tuning,
        recorder=recorder,
        on_step=on_step,
        exchange_answers=exchange_answers,
    )
    if recorder:
        how = {**chain.wording.recordable, **vars(budget), **(tuning.recordable if tuning else {})}
        said = {"earlier": storable(question.earlier.as_text())} if question.earlier else {}
        said |= {"examples": as_text(question.examples)} if question.examples else {}
        hashes = template_hashes(strategy, chain.wording, own=own, follow_up=bool(question.earlier))
        how = {**(settings or {}), **how, **said}
        _record_start(recorder, strategy, question, engine, seed, hashes, tools, how)
    if note:
        chain.note(note)
    try:
        conclusion = _calibrated(await _conclude(chosen, chain), chain.tuning)
    except TraceError:
        raise
    except BaseException as error:
        stopped = isinstance(error, (asyncio.CancelledError, KeyboardInterrupt))
        _finish(chain, recorder, Conclusion(unknown(), "cancelled" if stopped else "error"), report=False)
        raise
    _finish(chain, recorder, conclusion)
    if recorder and recorder.trouble:
        chain.notes.insert(0, recorder.trouble)
    of_images = (f"{image.source}: {note}" for image in question.images for note in image.notes)
    answer, stop_reason, seconds = conclusion.answer, conclusion.stop_reason, chain.allowance.seconds
    # A stable sort: the reason comes last.
    notes = (*of_images, *sorted(chain.notes, key=lambda note: note == conclusion.why))
    return Outcome(
        answer, chain.steps, stop_reason, chain.usage, seconds, notes,
        chain.question.text, chain.question.earlier, chain.longest_tokens,
    )  # fmt: skip


async def _conclude(strategy: Strategy, chain: Chain) -> Conclusion:
    try:
        await understand(chain)
        return await strategy(chain)
    except TraceError:
        raise
    except ChainStopped as stopped:
        chain.note(str(stopped))
        return Conclusion(chain.best or unknown(), stopped.stop_reason)
    except CotError as error:
        chain.note(str(error))
        return Conclusion(chain.best or unknown(), "error")


def _calibrated(conclusion: Conclusion, tuning: Tuning) -> Conclusion:
    """The conclusion with an honest confidence; the answer keeps the one that it had."""
    answer = conclusion.answer
    confidence = tuning.calibrated(answer.confidence, answer.source)
    if confidence == answer.confidence:
        return conclusion
    changed = answer.model_copy(update={"confidence": confidence, "uncalibrated": answer.confidence})
    return dataclasses.replace(conclusion, answer=changed)


def _finish(chain: Chain, recorder: Recorder | None, conclusion: Conclusion, *, report: bool = True) -> None:
    if report:
        chain.add(conclusion.answer)
    if recorder:
        recorder.record(
            RunFinished(
                answer=conclusion.answer if report else None,
                stop_reason=conclusion.stop_reason,
                measured=Measured(usage=vars(chain.usage), seconds={"total": chain.allowance.seconds}),
            )
        )


def _record_start(
    recorder: Recorder, strategy: str, question: Question, engine: Engine, seed: int, templates: dict[str, str],
    tools: dict[str, str], settings: dict[str, Any],
) -> None:  # fmt: skip
    for image in (*question.images, *(image for example in question.examples for image in example.images)):
        recorder.add_image(image)
    info = {**vars(engine.info)}
    loading = {f"load: {name}": seconds for name, seconds in info.pop("load_seconds").items()}
    versions = {"cot": cot.__version__, "python": platform.python_version(), **info.pop("versions"), **tools}
    recorder.record(
        RunStarted(
            question=storable(question.text),
            choices=tuple(storable(choice) for choice in question.choices),
            images=tuple(described(image) for image in question.images),
            strategy=strategy,
            seed=seed,
            templates=templates,
            settings=settings,
            engine=info,
            versions=versions,
            measured=Measured(started_at=datetime.now(UTC).isoformat(timespec="milliseconds"), seconds=loading),
        )
    )
