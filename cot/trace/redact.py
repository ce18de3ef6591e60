"""Leaves out of a trace what is not to be passed on.

In: a trace, and what to leave out. Out: another trace, of the same shape: steps, hashes of templates,
tokens, probabilities and times stay. Nothing on disk is changed.
"""

import dataclasses
from typing import Any, Final, Literal, get_args

from cot.step import FinalAnswer, Reasoning, Step, SubAnswer, SubQuestion, Summary, ToolUse
from cot.trace.event import Call, Event, Note, RunFinished, RunStarted, StepTaken
from cot.trace.read import Trace

What = Literal["prompts", "images", "all"]
"""`prompts`: question, choices, and prompts as they were sent. `images`: where they came from, their hashes, notes and
what they were before, and so their pixels. `all`: both, and whatever the model said or was made of it. With `prompts`
alone the model's own text stays, and it may repeat the question."""

KINDS: Final[tuple[What, ...]] = get_args(What)

REDACTED: Final = "[redacted]"
"""What stands in place of text and values."""

_PRIVATE_SETTINGS: Final = ("trace_dir",)
_SAID_SETTINGS: Final[dict[What, tuple[str, ...]]] = {
    "prompts": ("system", "earlier", "examples"), "images": ("examples",),
}  # fmt: skip
"""Settings that hold what is to be left out."""


def redact(trace: Trace, what: frozenset[What]) -> Trace:
    """The trace without what is to be left out; the same trace if that is nothing."""
    if not what:
        return trace
    kinds = frozenset(KINDS) if "all" in what else what
    return dataclasses.replace(trace, events=tuple(_event(event, kinds) for event in trace.events))


def _event(event: Event, kinds: frozenset[What]) -> Event:
    match event:
        case RunStarted():
            return _started(event, kinds)
        case Call():
            return _call(event, kinds)
        case StepTaken() if "all" in kinds:
            return event.model_copy(update={"step": _step(event.step)})
        case Note() if "all" in kinds:
            return event.model_copy(update={"text": REDACTED})
        case RunFinished() if "all" in kinds and event.answer is not None:
            return event.model_copy(update={"answer": _step(event.answer)})
    return event


def _started(event: RunStarted, kinds: frozenset[What]) -> RunStarted:
    settings = {name: value for name, value in event.settings.items() if name not in _PRIVATE_SETTINGS}
    said = {name for kind in kinds for name in _SAID_SETTINGS.get(kind, ())}
    settings |= {name: REDACTED for name in said if settings.get(name)}
    update: dict[str, Any] = {"settings": settings}
    if "prompts" in kinds:
        update |= {"question": REDACTED, "choices": (REDACTED,) * len(event.choices)}
    if "images" in kinds:
        hidden = {"source": REDACTED, "sha256": "", "notes": (), "original": None}
        update["images"] = tuple(image.model_copy(update=hidden) for image in event.images)
    return event.model_copy(update=update)


def _call(event: Call, kinds: frozenset[What]) -> Call:
    update: dict[str, Any] = {}
    if "prompts" in kinds:
        constraint = event.constraint and dict.fromkeys(event.constraint, REDACTED)
        if event.constraint and constraint:
            constraint["kind"] = str(event.constraint.get("kind", REDACTED))
        update = {"prompt": REDACTED, "prompt_sha256": "", "constraint": constraint}
    if "all" in kinds:
        said = {"raw": event.raw, "value": event.value, "problem": event.problem}
        update |= {name: value if value is None else REDACTED for name, value in said.items()}
        update["tokens"] = _without_text(event.tokens)
        update["alternatives"] = tuple(_without_text(others) for others in event.alternatives)
    return event.model_copy(update=update)


def _without_text(tokens: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    return tuple((REDACTED, logprob) for _, logprob in tokens)


def _step(step: Step) -> Step:
    match step:
        case SubQuestion() | Reasoning() | Summary():
            update: dict[str, Any] = {"text": REDACTED}
        case SubAnswer():
            update = {"asked": REDACTED, "raw": REDACTED, "value": step.value if step.value is None else REDACTED}
            update["problem"] = step.problem and REDACTED
        case ToolUse():
            update = {"arguments": dict.fromkeys(step.arguments, REDACTED), "result": REDACTED}
        case FinalAnswer():
            update = {"text": REDACTED, "raw": REDACTED, "value": step.value if step.value is None else REDACTED}
    return step.model_copy(update=update)
