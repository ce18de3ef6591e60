"""Runs a recorded question again: from what the model said then, or with another model.

In: a trace. Out: a new outcome and a new trace, to be set beside the recorded one. From the recording no model is
needed: the planner of today asks, and a `RecordedEngine` answers with what was recorded for the same prompt. So it
tells whether templates, parsing and planning still come to the same answer.
"""

import asyncio
import dataclasses
import hashlib
import math
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cot.engine.base import (
    Candidate,
    Completion,
    Delta,
    EngineInfo,
    FinishReason,
    Request,
    Timings,
    TokenLogprob,
    Usage,
)
from cot.errors import CotError, EngineError, TraceError, UsageError, reason
from cot.image import LoadedImage, load_image
from cot.planner.asked import storable
from cot.planner.asking import transcript
from cot.planner.budget import Budget
from cot.planner.names import check_strategy
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.planner.wording import read_wording
from cot.question import Earlier, Example, Question
from cot.trace.diff import Diff, diff_traces
from cot.trace.event import JUDGE_STEP, Call, Note, RunStarted, TracedExample, TracedImage
from cot.trace.images import restored
from cot.trace.read import Trace, read_trace
from cot.trace.record import Recorder

NOT_RECORDED: Final = "no reply was recorded for this prompt"
"""How the problem of a call begins for which the recording has nothing."""

_UNHURRIED_SECONDS: Final = 1e6
_LANGUAGE: Final = re.compile("[a-z]{2,3}(-[A-Za-z]{2,4})?")
_NUMBER: Final = re.compile("[0-9]+")
_EXAMPLES: Final = TypeAdapter(tuple[TracedExample, ...])
_FINISH_REASONS: Final[tuple[FinishReason, ...]] = ("stop", "length", "cancelled")


@dataclass(frozen=True)
class Replay:
    """A recording and what became of it now.

    differences: what is not as it was recorded, in words, in the order of the steps; empty if nothing is.
    """

    diff: Diff
    differences: tuple[str, ...]


class RecordedEngine:
    """Answers each prompt with what was recorded for it; calls with the same prompt in the order of their steps.

    clock_ran_out: whether the recorded run ended by its time budget; then a prompt that was not recorded stands
    for the moment at which it did. Raises EngineError for any other prompt that was not recorded, and where the
    recorded call failed.
    """

    def __init__(self, calls: Iterable[Call], info: EngineInfo, *, clock_ran_out: bool = False) -> None:
        self._info = info
        self._clock_ran_out = clock_ran_out
        self._waiting: dict[str, list[Call]] = {}
        for call in sorted(calls, key=lambda call: [int(n) for n in _NUMBER.findall(call.step)[:1]]):
            self._waiting.setdefault(call.prompt_sha256, []).append(call)

    @property
    def info(self) -> EngineInfo:
        """What answered when it was recorded."""
        return self._info

    async def complete(self, request: Request) -> Completion:
        """The recorded reply to the prompt of the request. Raises EngineError or TimeoutError."""
        # As with a model, what is asked together is all asked before the first of it is answered.
        await asyncio.sleep(0)
        digest = hashlib.sha256(transcript(request.messages).encode("utf-8", "backslashreplace")).hexdigest()
        calls = self._waiting.get(digest)
        if not calls:
            if self._clock_ran_out:
                raise TimeoutError
            raise EngineError(f"{NOT_RECORDED} (sha256 {digest[:16]}…)")
        call = calls.pop(0)
        if call.raw is None:
            if self._clock_ran_out:
                raise TimeoutError
            raise EngineError(call.problem or "the recorded call has no reply")
        taken = [call]
        # The samples of a request are calls that follow each other, and the first tells what they cost together.
        while len(taken) < request.n and calls and calls[0].raw is not None and not calls[0].measured.usage:
            taken.append(calls.pop(0))
        return _completion(taken)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The recorded reply in one piece."""
        completion = await self.complete(request)
        yield Delta(completion.text, completion)

    async def close(self) -> None:
        """Nothing is held."""


async def replay(trace: Trace) -> Replay:
    """Answer a recorded question again from the recorded replies; what the new run records is read, and not kept.

    Raises TraceError if the trace has no beginning, its images are not beside it, or its strategy is not known.
    """
    kept = (event for event in trace.events if not (isinstance(event, Call) and event.step == JUDGE_STEP))
    trace = dataclasses.replace(trace, events=tuple(kept))
    started = _started(trace)
    try:
        check_strategy(started.strategy)
    except CotError as error:
        raise TraceError(f"{trace.path} was made by the strategy {started.strategy!r}: {error}") from error
    finished = trace.finished
    clock_ran_out = finished is not None and finished.stop_reason == "budget_seconds"
    engine = RecordedEngine(trace.calls, _info(started), clock_ran_out=clock_ran_out)
    budget = dataclasses.replace(recorded_budget(trace), max_seconds=_UNHURRIED_SECONDS)
    said = started.settings
    wording = read_wording(recorded_language(trace), said.get("system"), said.get("templates"))
    with tempfile.TemporaryDirectory(prefix="cot-replay-") as folder:
        with Recorder(Path(folder)) as recorder:
            await run(
                started.strategy, recorded_question(trace), engine, budget, seed=started.seed, recorder=recorder,
                wording=wording, tuning=_tuning(trace, started), settings=started.settings, note=_first_note(trace),
            )  # fmt: skip
        again = read_trace(recorder.path)
    found = diff_traces(trace, again)
    return Replay(found, tuple(_differences(trace, again, found)))


def recorded_question(trace: Trace) -> Question:
    """The question with its images, which are read from beside the trace and must be the recorded ones.

    Raises TraceError if the trace has no beginning or an image is missing or another one.
    """
    started = _started(trace)
    try:
        images = tuple(_image(trace, image) for image in started.images)
        said = started.settings.get("earlier")
        earlier = Earlier.from_text(str(said)) if said else Earlier()
        return Question(started.question, images, started.choices, earlier, _examples(trace, started))
    except UsageError as error:
        raise TraceError(f"{trace.path} holds no question that can be asked: {error}") from error


def _examples(trace: Trace, started: RunStarted) -> tuple[Example, ...]:
    said = started.settings.get("examples")
    try:
        found = _EXAMPLES.validate_json(str(said)) if said else ()
    except ValidationError as error:
        raise TraceError(f"{trace.path} holds examples that no run has; expected a list of them as JSON") from error
    return tuple(
        Example(one.question, tuple(_image(trace, image) for image in one.images), one.answer, one.choices)
        for one in found
    )


def recorded_budget(trace: Trace) -> Budget:
    """The budget of the recorded run; what it does not say is the default. Raises TraceError."""
    settings = _started(trace).settings
    given: dict[str, Any] = {}
    for field in dataclasses.fields(Budget):
        value = settings.get(field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            given[field.name] = float(value) if field.name == "max_seconds" else int(value)
    try:
        return Budget(**given)
    except UsageError as error:
        raise TraceError(f"{trace.path} holds a budget that no run has: {error}") from error


def _first_note(trace: Trace) -> str:
    """What was said of the run before it did anything; what the planner says by itself it says again."""
    second = trace.events[1] if len(trace.events) > 1 else None
    return second.text if isinstance(second, Note) else ""


def _tuning(trace: Trace, started: RunStarted) -> Tuning:
    """The numbers that the recorded run went by. Raises TraceError."""
    try:
        return Tuning.recorded(started.settings)
    except ValueError as error:
        raise TraceError(f"{trace.path} holds a tuning that no run has: {reason(error)}") from error


def recorded_language(trace: Trace) -> str:
    """The language of the templates of the recorded run; English if it does not say. Raises TraceError."""
    language = _started(trace).settings.get("language", "en")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise TraceError(f"{trace.path} names the language {str(language)[:60]!r}; expected one such as en or zh")
    return language


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


def _completion(calls: Sequence[Call]) -> Completion:
    """What the calls for one request gave; the first has the cost of all."""
    call = calls[0]
    usage = {name: call.measured.usage.get(name, 0) for name in Usage.__dataclass_fields__}
    seconds = {f"{name}_seconds": value for name, value in call.measured.seconds.items()}
    timings = Timings(**{name: seconds.get(name, 0.0) for name in Timings.__dataclass_fields__})
    return Completion(tuple(_candidate(call) for call in calls), Usage(**usage), timings)


def _candidate(call: Call) -> Candidate:
    reason: FinishReason = next((known for known in _FINISH_REASONS if known == call.finish_reason), "stop")
    tokens = tuple(TokenLogprob(token, min(0.0, logprob), others) for token, logprob, others in call.scored_tokens)
    if not math.isfinite(sum(token.logprob for token in tokens)):
        tokens = ()
    return Candidate(call.raw or "", reason, tokens)


def _info(started: RunStarted) -> EngineInfo:
    def text(name: str) -> str:
        return str(started.engine.get(name) or "")

    context = started.engine.get("context_tokens")
    return EngineInfo(
        model=text("model"), revision=text("revision") or None, dtype=text("dtype"), quantization=text("quantization"),
        device=text("device"), context_tokens=context if isinstance(context, int) else 0, batching=text("batching"),
        versions={name: version for name, version in started.versions.items() if name not in ("cot", "python")},
        note=text("note"),
    )  # fmt: skip


def _image(trace: Trace, traced: TracedImage) -> LoadedImage:
    path = trace.image_path(traced)
    if path is None or not path.is_file():
        raise TraceError(
            f"{trace.path}: its image {storable(traced.source)[:200]!r} is not beside it; expected"
            f" images/{traced.sha256[:64]}.png there, as it was recorded"
        )
    loaded = load_image(path)
    if loaded.sha256 != traced.sha256:
        raise TraceError(f"{path} holds another image than the one that was asked about; expected the recorded one")
    return restored(loaded, traced)


def _started(trace: Trace) -> RunStarted:
    if trace.started is None:
        raise TraceError(f"{trace.path} does not say what was asked; expected a trace that begins with run_started")
    return trace.started
