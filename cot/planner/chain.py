"""A chain of steps while it is made: what every strategy is built from.

In: a question, an engine, a budget, and where to record. Out: `ask`, which renders a template, asks
the model within the budget, parses what it says and records all of it, and `add`, which takes a
finished step. It knows no strategy.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cot.answer import show_value
from cot.engine.base import Completion, Constraint, Engine, Request, Sampling, Usage
from cot.errors import AnswerError, EngineError, PlanError
from cot.planner.asking import messages
from cot.planner.budget import Allowance, Budget, ChainStopped
from cot.prompt import Rendered, load_template
from cot.question import Question
from cot.step import FinalAnswer, Step, StopReason, SubAnswer, Value
from cot.trace.event import Call, Measured, Note, StepTaken
from cot.trace.record import Recorder

T = TypeVar("T")
_NEVER_CHOSEN = -1e9


@dataclass(frozen=True)
class Asked(Generic[T]):
    """What one call gave.

    value: the parsed text; None if the model abstained or `problem` says why there is none.
    confidence: probability that the model gave to its text, within what it was allowed to say;
    0 if the engine gives no probabilities.
    starved: whether the token budget cut the text short.
    """

    value: T | None
    raw: str
    confidence: float
    problem: str | None = None
    starved: bool = False


@dataclass(frozen=True)
class Conclusion:
    """What a strategy comes to."""

    answer: FinalAnswer
    stop_reason: StopReason = "answered"


class Chain:
    """The steps so far, and the means to make more."""

    def __init__(
        self,
        question: Question,
        engine: Engine,
        budget: Budget,
        *,
        seed: int = 0,
        language: str = "en",
        recorder: Recorder | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        """Start the clock.

        seed: of the sampling. language: of the templates. on_step: called with each finished step.
        """
        self.question = question
        self.usage = Usage()
        self.notes: list[str] = []
        self.stopped: ChainStopped | None = None
        """Set once the model must not be asked any more."""
        self.allowance = Allowance(budget)
        self._engine = engine
        self._seed = seed
        self._language = language
        self._recorder = recorder
        self._on_step = on_step
        self._steps: list[Step] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """Finished steps; sub-answers that were found together are in the order of the plan."""
        ordered: list[Step] = []
        for step in self._steps:
            place = len(ordered)
            while isinstance(step, SubAnswer) and place and _later(ordered[place - 1], step):
                place -= 1
            ordered.insert(place, step)
        return tuple(ordered)

    def add(self, step: Step) -> None:
        """Take a finished step: record it and report it."""
        self._steps.append(step)
        if self._recorder:
            self._recorder.record(StepTaken(step=step))
        if self._on_step:
            self._on_step(step)

    def note(self, text: str) -> None:
        """Say what no step says."""
        if text not in self.notes:
            self.notes.append(text)
            if self._recorder:
                self._recorder.record(Note(text=storable(text)))

    def render(self, template: str, **inputs: Any) -> Rendered:
        """Render a template in the chain's language; say so where it exists in English only."""
        loaded = load_template(template, language=self._language)
        if loaded.language != self._language:
            self.note(f"{template} has no translation into {self._language!r}; the English one is used")
        return loaded.render(**inputs)

    async def ask(
        self,
        template: str,
        parse: Callable[[str], T | None],
        *,
        step: str,
        constraint: Constraint | None = None,
        may_be_cut: bool = False,
        **inputs: Any,
    ) -> Asked[T]:
        """Ask the model with a rendered template, behind all images of the question.

        parse: raises AnswerError or PlanError if the text is not what was wanted.
        step: what the call is for, in the trace. may_be_cut: text that reached the token limit is
        parsed all the same. Raises ChainStopped, and then every later call does.
        """
        rendered = self.render(template, **inputs)
        try:
            if self.stopped:
                raise self.stopped
            granted = await self.allowance.take(rendered.max_tokens)
            call = _call(rendered, step, constraint, granted)
            completion = await self._complete(call, rendered, constraint)
        except ChainStopped as stopped:
            self.stopped = self.stopped or stopped
            raise
        self.usage += completion.usage
        asked = _parsed(completion, parse, may_be_cut=may_be_cut)
        if asked.problem is None and completion.finish_reason == "length":
            self.note(f"{step}: the text was cut after {granted} tokens")
        if not completion.logprobs:
            self.note("the engine gives no probabilities; confidences are shown as 0")
        asked = dataclasses.replace(
            asked, starved=completion.finish_reason == "length" and granted < rendered.max_tokens
        )
        self._record_answered(call, completion, asked)
        return asked

    async def _complete(self, call: Call, rendered: Rendered, constraint: Constraint | None) -> Completion:
        request = Request(
            messages=messages(rendered, self.question.images),
            max_tokens=call.max_tokens,
            sampling=Sampling(seed=self._seed),
            constraint=constraint,
            stop=rendered.stop,
        )
        used = 0
        try:
            async with asyncio.timeout(self.allowance.seconds_left):
                completion = await self._engine.complete(request)
            used = completion.usage.completion_tokens
        except TimeoutError as error:
            stopped = ChainStopped("budget_seconds", f"{call.step}: the time was up before the model had answered")
            self._record(call.model_copy(update={"problem": str(stopped)}))
            raise stopped from error
        except EngineError as error:
            self._record(call.model_copy(update={"problem": storable(str(error))}))
            raise ChainStopped("error", f"{call.step}: {error}") from error
        except (asyncio.CancelledError, Exception) as error:
            # Cancelled, or a fault of the program: not for the chain to handle, but for the trace to hold.
            self._record(call.model_copy(update={"problem": storable(repr(error))}))
            raise
        finally:
            self.allowance.give_back(call.max_tokens, used)
        return completion

    def _record(self, call: Call) -> None:
        if self._recorder:
            self._recorder.record(call)

    def _record_answered(self, call: Call, completion: Completion, asked: Asked[Any]) -> None:
        timings = dataclasses.asdict(completion.timings)
        seconds = {name.removesuffix("_seconds"): value for name, value in timings.items()}
        update = {
            "raw": storable(asked.raw),
            "value": asked.value if isinstance(asked.value, Value) else str(asked.value),
            "problem": asked.problem and storable(asked.problem),
            "finish_reason": completion.finish_reason,
            "confidence": asked.confidence,
            "tokens": tuple((storable(t.token), max(t.logprob, _NEVER_CHOSEN)) for t in completion.logprobs),
            "measured": Measured(usage=dataclasses.asdict(completion.usage), seconds=seconds),
        }
        self._record(call.model_copy(update=update))


def storable(text: str) -> str:
    """Text that UTF-8 can hold: halves of surrogate pairs, as in odd file names, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def product(confidences: Iterable[float]) -> float:
    """Probability that all of them hold, if they were independent.

    They are not quite: sub-answers share an image, so that what misleads one may mislead another.
    """
    return math.prod(confidences)


def unknown(raw: str = "", supports: tuple[int, ...] = ()) -> FinalAnswer:
    """The answer where there is none."""
    return FinalAnswer(text=show_value(None), value=None, raw=storable(raw), confidence=0.0, supports=supports)


def _later(step: Step, than: SubAnswer) -> bool:
    return isinstance(step, SubAnswer) and step.to > than.to


def _parsed(completion: Completion, parse: Callable[[str], T | None], *, may_be_cut: bool) -> Asked[T]:
    raw = storable(completion.text)
    logprobs = completion.logprobs
    confidence = min(1.0, math.exp(math.fsum(token.logprob for token in logprobs))) if logprobs else 0.0
    if completion.finish_reason != "stop" and not may_be_cut:
        tokens = completion.usage.completion_tokens
        before = "" if completion.candidates[0].satisfied else ", before it was what the constraint wants"
        return Asked(None, raw, confidence, f"the text was cut short after {tokens} tokens{before}")
    try:
        return Asked(parse(raw), raw, confidence)
    except (AnswerError, PlanError) as error:
        return Asked(None, raw, confidence, str(error))


def _call(rendered: Rendered, step: str, constraint: Constraint | None, max_tokens: int) -> Call:
    held_to = {"kind": type(constraint).__name__, **dataclasses.asdict(constraint)} if constraint else None
    return Call(
        step=step,
        template=rendered.template,
        template_sha256=rendered.template_sha256,
        prompt=storable(rendered.transcript),
        prompt_sha256=rendered.sha256,
        constraint=held_to,
        max_tokens=max_tokens,
    )
