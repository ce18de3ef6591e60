"""How calls and steps are taken down: the events of a trace for one call, and steps in the order of their plan.

In: a request and what came of it, or steps as they were finished. Out: events, or the steps. It records nothing itself.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from cot.engine.base import Completion, Request
from cot.errors import UnfitReplyError
from cot.planner.asked import Asked, alternatives, storable
from cot.prompt import Rendered
from cot.step import Step, SubAnswer, Value
from cot.trace.event import UNFIT, Call, Measured

_NEVER_CHOSEN: Final = -1e9


def call_begun(rendered: Rendered, step: str, request: Request) -> Call:
    """A call as it is known before the model answers. step: what it is for."""
    held_to = None
    if request.constraint:
        held_to = {"kind": type(request.constraint).__name__, **vars(request.constraint)}
        held_to.pop("lettered", None)  # how replies are read is no part of what was wanted
    return Call(
        step=step,
        template=rendered.template,
        template_sha256=rendered.template_sha256,
        prompt=storable(rendered.transcript),
        prompt_sha256=rendered.sha256,
        constraint=held_to,
        max_tokens=request.max_tokens,
    )


def calls_answered(call: Call, completion: Completion, found: Iterable[Asked[Any]]) -> Iterator[Call]:
    """One event for each sample of a call. found: the samples as they were read."""
    seconds = {name.removesuffix("_seconds"): value for name, value in vars(completion.timings).items()}
    measured = Measured(usage=vars(completion.usage), seconds=seconds)
    for candidate, asked in zip(completion.candidates, found, strict=True):
        update = {
            "raw": asked.raw,
            "value": asked.value if isinstance(asked.value, Value) else str(asked.value),
            "problem": asked.problem and storable(asked.problem),
            "finish_reason": candidate.finish_reason,
            "cut": not candidate.satisfied,
            "confidence": asked.confidence,
            "tokens": tuple((storable(t.token), max(t.logprob, _NEVER_CHOSEN)) for t in candidate.logprobs),
            "alternatives": alternatives(candidate),
            "measured": measured,
        }
        yield call.model_copy(update=update)
        measured = Measured()  # what the samples of a call cost together is told once


def call_unfit(call: Call, error: UnfitReplyError) -> Call:
    """The event for a call whose reply was not what the model was held to."""
    return call.model_copy(
        update={
            "raw": storable(error.text),
            "problem": storable(str(error)),
            "finish_reason": UNFIT,
            "cut": error.cut,
            "measured": Measured(usage=error.usage),
        }
    )


def in_plan_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Steps as they were finished, but sub-answers that were found together in the order of the plan."""
    ordered: list[Step] = []
    for step in steps:
        place = len(ordered)
        while isinstance(step, SubAnswer) and place and _later(ordered[place - 1], step):
            place -= 1
        ordered.insert(place, step)
    return tuple(ordered)


def _later(step: Step, than: SubAnswer) -> bool:
    return isinstance(step, SubAnswer) and step.to > than.to
