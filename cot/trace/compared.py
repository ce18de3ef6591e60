"""What two traces are compared by: of a run and of each step, names with texts.

In: a trace, or a step of it. Out: fields as texts, in the order in which they are told. Times are in the costs alone.
"""

from typing import Final

from cot.step import FinalAnswer, Reasoning, Summary, ToolUse
from cot.trace.event import Call
from cot.trace.plain import show_value
from cot.trace.read import Trace
from cot.trace.tree import Node

COSTS: Final = ("calls", "prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens")
"""Counts that are set side by side."""

_NOT_COMPARED: Final = ("trace_dir", "calibration", "redact", "model", "strategy", "seed")
"""Settings that say nothing of the run, or what it says in other places too."""


def step_title(node: Node) -> str:
    """A step in one text, of any length."""
    match node.step:
        case Reasoning() | Summary():
            return f"{node.title}: {'; '.join(node.step.text.splitlines())}"
        case FinalAnswer():
            return f"answer: {node.step.text}"
        case ToolUse():
            return f"{node.step.name} {show_value(node.step.arguments.get('expression', ''))}".strip()
    return f"#{node.number} {node.title}" if node.number is not None else node.title


def step_fields(node: Node) -> dict[str, str]:
    """What is compared, as text; names that are not there are as good as empty."""
    found: dict[str, str] = {}
    if node.question is not None:
        found |= {"question": node.question.text, "wants": node.question.wants}
        found["depends on"] = " ".join(f"#{number}" for number in node.question.depends_on)
    for index, call in enumerate(node.calls):
        behind = f" {index + 1}" if index else ""
        found |= {name + behind: text for name, text in _call_fields(call).items()}
    if node.answer is not None:
        found |= {"value": show_value(node.answer.value), "problem": node.answer.problem or ""}
        found["confidence"] = _confidence(node.answer.confidence)
    match node.step:
        case Reasoning() | Summary():
            found["text"] = node.step.text
        case ToolUse():
            found |= {name: show_value(value) for name, value in node.step.arguments.items()}
            found["result"] = show_value(node.step.result)
        case FinalAnswer():
            found |= {"answer": node.step.text, "from": node.step.raw}
            found["confidence"] = _confidence(node.step.confidence)
    return found


def _call_fields(call: Call) -> dict[str, str]:
    value = show_value(call.value)
    return {
        "template": f"{call.template} {call.template_sha256[:8]}",
        "prompt": call.prompt,
        "said": call.raw or "",
        "parsed": "" if value == call.raw else value,
        "problem": call.problem or "",
        "finish reason": call.finish_reason or "",
        "confidence": _confidence(call.confidence or 0.0),
    }


def _confidence(confidence: float) -> str:
    """Nothing for 0, which stands for an engine without probabilities, or for no answer."""
    return f"{confidence:.4f}" if confidence else ""


def step_cost(node: Node) -> str:
    """Tokens and seconds of its calls; empty if it has none."""
    if not node.calls:
        return ""
    usage = [call.measured.usage for call in node.calls]
    prompt, generated = (sum(one.get(name, 0) for one in usage) for name in ("prompt_tokens", "completion_tokens"))
    seconds = sum(sum(call.measured.seconds.values()) for call in node.calls)
    return f"{prompt:,} tokens in, {generated:,} out, {seconds:.2f} s"


def run_setup(trace: Trace) -> dict[str, str]:
    """What was asked, of what, and how, without templates. Empty if the trace does not say."""
    started = trace.started
    if started is None:
        return {}
    images = (f"{image.source} ({image.width} x {image.height}) {image.sha256[:16]}" for image in started.images)
    named = {**started.engine, **{f"setting {n}": v for n, v in started.settings.items() if n not in _NOT_COMPARED}}
    named |= {f"version {name}": version for name, version in started.versions.items()}
    return {
        "question": started.question,
        "choices": ", ".join(started.choices),
        "images": "\n".join(images),
        "strategy": started.strategy,
        "seed": str(started.seed),
        **{name: "" if value is None else str(value) for name, value in named.items()},
    }


def run_outcome(trace: Trace) -> dict[str, str]:
    """The answer and why it ended."""
    finished = trace.finished
    if finished is None:
        return {"ended": "unfinished"}
    answer = finished.answer
    return {"answer": answer.text if answer else "", "ended": finished.stop_reason}


def run_costs(a: Trace, b: Trace) -> tuple[tuple[str, str, str], ...]:
    """Of two runs: name, in the one, in the other."""
    sides = [(t.finished.measured if t.finished else None) for t in (a, b)]
    usage = [side.usage if side else {} for side in sides]
    rows = [(name.replace("_", " "), *(f"{one.get(name, 0):,}" for one in usage)) for name in COSTS]
    seconds = [f"{side.seconds.get('total', 0.0):.2f}" if side else "?" for side in sides]
    return (*((name, left, right) for name, left, right in rows), ("seconds", *seconds))  # type: ignore[arg-type]
