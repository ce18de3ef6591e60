"""Leaves out of a trace what is not to be passed on.

In: a trace, and what to leave out. Out: another trace, of the same shape: steps, hashes of templates,
tokens, probabilities and times stay. Nothing on disk is changed.
"""

import dataclasses
import re
from typing import Any, Final, Literal, get_args

from cot.errors import quoted
from cot.step import FinalAnswer, Reasoning, Step, SubAnswer, SubQuestion, Summary, ToolUse, Value
from cot.trace.event import Call, Event, Note, RunFinished, RunStarted, StepTaken
from cot.trace.read import Trace

What = Literal["prompts", "images", "all"]
"""`prompts`: question, choices, and prompts as they were sent. `images`: where they came from, their hashes, notes and
what they were before, and so their pixels. `all`: both, and whatever the model said or was made of it. With `prompts`
alone the model's own text stays, and it may repeat the question."""

KINDS: Final[tuple[What, ...]] = get_args(What)

REDACTED: Final = "[redacted]"
"""What stands in place of text and values."""

_PRIVATE_SETTINGS: Final = ("trace_dir", "calibration")
_SAID_SETTINGS: Final[dict[What, tuple[str, ...]]] = {
    "prompts": ("system", "earlier", "examples"), "images": ("examples",),
}  # fmt: skip
"""Settings that hold what is to be left out."""
_SHA256: Final = re.compile("[0-9a-f]{64}")


def redact(trace: Trace, what: frozenset[What]) -> Trace:
    """The trace without what is to be left out; the same trace if that is nothing."""
    if not what:
        return trace
    kinds = frozenset(KINDS) if "all" in what else what
    hidden = _hidden(trace.started, kinds)
    return dataclasses.replace(trace, events=tuple(_event(event, kinds, hidden) for event in trace.events))


def _hidden(started: RunStarted | None, kinds: frozenset[What]) -> tuple[str, ...]:
    """Texts that no message of the program may repeat: it quotes choices, and names images."""
    texts: list[str] = []
    if started and "prompts" in kinds:
        texts += [started.question, *started.choices]
    if started and "images" in kinds:
        texts += [text for image in started.images for text in (image.source, image.sha256)]
    # Messages quote a text as Python writes it, and only its beginning where it is long.
    quotes = [quoted(text)[1:-1].removesuffix("…") for text in texts]
    return tuple(text for text in (*texts, *quotes) if text)


def _event(event: Event, kinds: frozenset[What], hidden: tuple[str, ...]) -> Event:
    match event:
        case RunStarted():
            return _started(event, kinds)
        case Call():
            return _call(event, kinds, hidden)
        case StepTaken() if "all" in kinds:
            return event.model_copy(update={"step": _step(event.step)})
        case StepTaken():
            return event.model_copy(update={"step": _without(event.step, kinds, hidden)})
        case Note():
            return event.model_copy(update={"text": REDACTED if "all" in kinds else _unless(event.text, hidden)})
        case RunFinished() if "all" in kinds and event.answer is not None:
            return event.model_copy(update={"answer": _step(event.answer)})
    return event


def _unless(text: str, hidden: tuple[str, ...]) -> str:
    """A message of the program, unless it holds what is left out."""
    return REDACTED if any(one in text for one in hidden) else text


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


def _call(event: Call, kinds: frozenset[What], hidden: tuple[str, ...]) -> Call:
    update: dict[str, Any] = {"problem": event.problem and _unless(event.problem, hidden)}
    if "prompts" in kinds:
        constraint = event.constraint and dict.fromkeys(event.constraint, REDACTED)
        if event.constraint and constraint:
            constraint["kind"] = str(event.constraint.get("kind", REDACTED))
        update |= {"prompt": REDACTED, "prompt_sha256": "", "constraint": constraint}
    if "all" in kinds:
        said = {"raw": event.raw, "value": event.value, "problem": event.problem}
        update |= {name: value if value is None else REDACTED for name, value in said.items()}
        update["tokens"] = _without_text(event.tokens)
        update["alternatives"] = tuple(_without_text(others) for others in event.alternatives)
    return event.model_copy(update=update)


def _without_text(tokens: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    return tuple((REDACTED, logprob) for _, logprob in tokens)


def _without(step: Step, kinds: frozenset[What], hidden: tuple[str, ...]) -> Step:
    """A step without what the program says in it of the question or of images."""
    if isinstance(step, SubAnswer):
        return step.model_copy(update={"problem": step.problem and _unless(step.problem, hidden)})
    if isinstance(step, ToolUse) and "images" in kinds:
        arguments = {name: _unless_image(value, hidden) for name, value in step.arguments.items()}
        return step.model_copy(update={"arguments": arguments, "result": _unless_image(step.result, hidden)})
    return step


def _unless_image(value: Value, hidden: tuple[str, ...]) -> Value:
    """An argument or a result of a tool, unless it names an image or is the hash of one."""
    if not isinstance(value, str):
        return value
    return REDACTED if _SHA256.fullmatch(value) else _unless(value, hidden)


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
