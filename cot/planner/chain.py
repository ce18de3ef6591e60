"""A chain of steps while it is made: what every strategy is built from.

In: a question, an engine, a budget, and where to record. Out: `ask`, which renders a template, asks
the model within the budget, parses what it says and records all of it, and `add`, which takes a
finished step. It knows no strategy; how calls stand in a trace is a matter of `taking_down`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cot.engine.base import Completion, Constraint, Engine, Request, Sampling, Usage
from cot.errors import EngineError, UnfitReplyError
from cot.image import LoadedImage
from cot.model import EMBEDDED
from cot.planner.asked import ALTERNATIVES, Asked, read, storable
from cot.planner.asking import messages
from cot.planner.budget import Allowance, Budget, ChainStopped
from cot.planner.examples import behind_examples
from cot.planner.taking_down import call_begun, call_unfit, calls_answered, in_plan_order
from cot.planner.tuning import Tuning
from cot.planner.wording import Wording
from cot.prompt import Rendered, Template, load_template
from cot.question import Question
from cot.step import FinalAnswer, Step
from cot.trace.event import Call, Note, StepTaken
from cot.trace.record import Recorder

T = TypeVar("T")


class Chain:
    """The steps so far, and the means to make more."""

    def __init__(
        self,
        question: Question,
        engine: Engine,
        budget: Budget,
        *,
        seed: int = 0,
        wording: Wording | None = None,
        tuning: Tuning | None = None,
        recorder: Recorder | None = None,
        on_step: Callable[[Step], None] | None = None,
        exchange_answers: bool = False,
    ) -> None:
        """Start the clock.

        seed: of the sampling. wording: None for the shipped English one. tuning: numbers that strategies go by.
        on_step: called with each finished step. exchange_answers: draw the answer from exchanged sub-answers.
        """
        self.question = question
        self.seed = seed
        self.tuning = tuning or Tuning()
        self.exchange_answers = exchange_answers
        self.best: FinalAnswer | None = None
        """The answer if the chain ended now."""
        self.usage = Usage()
        self.longest_tokens = 0
        """Tokens of the longest prompt with its answer."""
        self.notes: list[str] = []
        self.stopped: ChainStopped | None = None
        """Set once the model must not be asked any more."""
        self.allowance = Allowance(budget)
        self._engine = engine
        self.wording = wording or Wording()
        self._recorder = recorder
        self._on_step = on_step
        self._steps: list[Step] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """Finished steps; sub-answers that were found together are in the order of the plan."""
        return in_plan_order(self._steps)

    @property
    def context_tokens(self) -> int:
        """The longest prompt plus answer that the model takes, 0 if unknown."""
        return self._engine.info.context_tokens

    @property
    def takes_several_images(self) -> bool:
        """Whether the model may be shown several images at a time: the embedded one has only learned to look at one."""
        return self._engine.info.model != EMBEDDED

    def add(self, step: Step, image: LoadedImage | None = None) -> None:
        """Take a finished step: record it and report it. image: what it made, kept beside the trace."""
        self._steps.append(step)
        if self._recorder:
            if image:
                self._recorder.add_image(image)
            self._recorder.record(StepTaken(step=step))
        if self._on_step:
            self._on_step(step)

    def note(self, text: str) -> None:
        """Say what no step says."""
        if text not in self.notes:
            self.notes.append(text)
            if self._recorder:
                self._recorder.record(Note(text=storable(text)))

    def render(self, template: str, inputs: Mapping[str, Any]) -> Rendered:
        """Render a template in the chain's language; say so where it exists in English only."""
        return self._template(template).render(**inputs)

    def _template(self, template: str) -> Template:
        language = self.wording.language
        name = self.wording.templates.get(template, template)
        loaded = load_template(name, language=language)
        if loaded.language != language:
            self.note(f"{name} has no translation into {language!r}; the English one is used")
        return loaded

    async def ask(
        self, template: str, inputs: Mapping[str, Any], parse: Callable[[str], T | None], *, step: str, **how: Any
    ) -> Asked[T]:
        """Ask the model once, greedily. `how`, and the errors, are as for `sample`."""
        return (await self.sample(template, inputs, parse, step=step, **how))[0]

    async def sample(
        self,
        template: str,
        inputs: Mapping[str, Any],
        parse: Callable[[str], T | None],
        *,
        step: str,
        n: int = 1,
        sampling: Sampling | None = None,
        constraint: Constraint | None = None,
        may_be_cut: bool = False,
        images: Sequence[LoadedImage] = (),
        with_images: bool = True,
        with_examples: bool = False,
    ) -> list[Asked[T]]:
        """Ask the model with a rendered template, behind all images of the question.

        parse: raises AnswerError or PlanError if the text is not what was wanted.
        step: what the call is for, in the trace. n: samples, fewer where the budget has not a token for each, or where
        a server holds nothing and not all fit; where none does, one comes that is `unfit`.
        sampling: None is greedy. may_be_cut: text that reached the token limit is parsed all the same.
        images: shown in place of the question's. with_images: whether any are shown.
        with_examples: behind the question's examples, since it asks for the answer to the whole question.
        Raises ChainStopped, and then every later call does.
        """
        rendered = self.render(template, inputs)
        if with_examples:
            rendered = behind_examples(rendered, self._template(template), self.question.examples, self._template)
        try:
            if self.stopped:
                raise self.stopped
            granted = await self.allowance.take(n * rendered.max_tokens)
            if self.stopped:  # while this one waited for tokens
                self.allowance.give_back(granted, used=0)
                raise self.stopped
            n = min(n, granted)
            request = Request(
                messages(rendered, (images or self.question.images) if with_images else (), self.wording.system),
                granted // n,
                sampling or Sampling(seed=self.seed),
                constraint,
                n,
                rendered.stop,
                ALTERNATIVES if self._recorder else 0,
            )
            call = call_begun(rendered, step, request)
            completion = await self._complete(call, request, granted)
        except ChainStopped as stopped:
            self.stopped = self.stopped or stopped
            raise
        except UnfitReplyError as error:
            self._count(Usage(**error.usage), n)
            self._record(call_unfit(call, error))
            return [Asked(None, storable(error.text), 0.0, str(error), unfit=True, cut=error.cut)]
        self._count(completion.usage, n)
        tokens = completion.usage.completion_tokens if n == 1 else request.max_tokens
        starved = request.max_tokens < rendered.max_tokens
        found = [read(c, parse, tokens=tokens, starved=starved, may_be_cut=may_be_cut) for c in completion.candidates]
        self._say_what_is_odd(call, completion, found)
        for answered in calls_answered(call, completion, found) if self._recorder else ():
            self._record(answered)
        return found

    async def _complete(self, call: Call, request: Request, granted: int) -> Completion:
        """Raises UnfitReplyError, and ChainStopped for all else that is no fault of the program."""
        used = 0
        try:
            async with asyncio.timeout(self.allowance.seconds_left):
                completion = await self._engine.complete(request)
            used = completion.usage.completion_tokens
        except TimeoutError as error:
            stopped = ChainStopped("budget_seconds", f"{call.step}: the time was up before the model had answered")
            self._record(call.model_copy(update={"problem": str(stopped)}))
            raise stopped from error
        except UnfitReplyError as error:
            used = Usage(**error.usage).completion_tokens
            raise
        except EngineError as error:
            self._record(call.model_copy(update={"problem": storable(str(error))}))
            raise ChainStopped("error", f"{call.step}: {error}") from error
        except (asyncio.CancelledError, Exception) as error:
            # Cancelled, or a fault of the program: not for the chain to handle, but for the trace to hold.
            self._record(call.model_copy(update={"problem": storable(repr(error))}))
            raise
        finally:
            self.allowance.give_back(granted, used)
        return completion

    def _count(self, usage: Usage, n: int) -> None:
        self.usage += usage
        prompt = usage.prompt_tokens // max(1, usage.calls)
        self.longest_tokens = max(self.longest_tokens, prompt + usage.completion_tokens // n)

    def _record(self, call: Call) -> None:
        if self._recorder:
            self._recorder.record(call)

    def _say_what_is_odd(self, call: Call, completion: Completion, found: list[Asked[T]]) -> None:
        # Of no text there are none: a model's thoughts can take all tokens.
        if any(candidate.text and not candidate.logprobs for candidate in completion.candidates):
            self.note("the engine gives no probabilities; confidences are not known, and 0 in the trace")
        for candidate, asked in zip(completion.candidates, found, strict=True):
            if asked.problem is None and candidate.finish_reason == "length":
                self.note(f"{call.step}: the text was cut after {call.max_tokens} token{'s' * (call.max_tokens > 1)}")
