"""What differs between two traces, aligned step by step.

In: two traces. Out: a `Diff`: how the runs were set up, pairs of steps, how they ended, and what they cost.
Times are shown and never count as a difference, and confidences only from the fourth digit on: sums in
another order differ in the last ones.
"""

import difflib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cot.errors import TraceError
from cot.step import FinalAnswer, Reasoning, Summary, ToolUse
from cot.trace.event import Call
from cot.trace.plain import show_value
from cot.trace.read import Trace
from cot.trace.tree import Node, nodes

Side = Literal["same", "changed", "only_a", "only_b"]

COSTS: Final = ("calls", "prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens")
"""Counts that are set side by side."""

MAX_LINES: Final = 5000
"""Of a field, which are held against each other and shown."""

MAX_PAIRS: Final = 25_000_000
"""Steps of one trace times those of the other; more would take minutes."""

_PRIVATE: Final = ("trace_dir",)


@dataclass(frozen=True)
class Change:
    """A field that differs; a side that has no such field has an empty text."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Pair:
    """A step of one trace beside its counterpart in the other. cost: of each side; empty if it has no calls."""

    side: Side
    kind: str
    title: str
    changes: tuple[Change, ...] = ()
    cost_a: str = ""
    cost_b: str = ""


@dataclass(frozen=True)
class Diff:
    """Two runs side by side.

    setup: of question, images, model, strategy, settings, versions and templates, what differs. outcome: of answer and
    stop reason. cost: name, in A, in B.
    """

    a: Trace
    b: Trace
    setup: tuple[Change, ...]
    pairs: tuple[Pair, ...]
    outcome: tuple[Change, ...]
    cost: tuple[tuple[str, str, str], ...]

    @property
    def same_steps(self) -> bool:
        """Whether all steps and how it ended are the same, whatever the setup."""
        return not self.outcome and all(pair.side == "same" for pair in self.pairs)


def diff_traces(a: Trace, b: Trace) -> Diff:
    """Compare two traces. Raises TraceError if they have too many steps."""
    setup = (*_changes(_setup(a), _setup(b)), *_changed_templates(a, b))
    return Diff(a, b, setup, tuple(_pairs(a, b)), _changes(_outcome(a), _outcome(b)), _costs(a, b))


def line_changes(change: Change) -> Iterator[tuple[Literal["-", "+", " "], str]]:
    """A field of several lines as lines: taken away, added, or the same in both; past `MAX_LINES` their number."""
    a, b = change.a.splitlines(), change.b.splitlines()
    # Not `ndiff`, which compares each changed line with each: two prompts of 200 lines take it ten seconds.
    matcher = difflib.SequenceMatcher(None, a[:MAX_LINES], b[:MAX_LINES])
    for operation, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        yield from ((" " if operation == "equal" else "-", line) for line in a[from_a:to_a])
        yield from (("+", line) for line in b[from_b:to_b] if operation != "equal")
    if len(a) > MAX_LINES:
        yield "-", f"… and {len(a) - MAX_LINES:,} more lines"
    if len(b) > MAX_LINES:
        yield "+", f"… and {len(b) - MAX_LINES:,} more lines"


def _pairs(a: Trace, b: Trace) -> Iterator[Pair]:
    left, right = nodes(a), nodes(b)
    if len(left) * len(right) > MAX_PAIRS:
        raise TraceError(
            f"got traces of {len(left):,} and {len(right):,} steps; expected some 5,000 at most; see cot trace show"
        )
    matcher = difflib.SequenceMatcher(None, [_key(n) for n in left], [_key(n) for n in right], autojunk=False)
    for operation, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        if operation == "equal":
            yield from map(_pair, left[from_a:to_a], right[from_b:to_b])
        else:
            yield from _leftover(left[from_a:to_a], right[from_b:to_b])


def _leftover(left: Sequence[Node], right: Sequence[Node]) -> Iterator[Pair]:
    """Steps without an exact counterpart: those of a kind belong together in order, such as reworded sub-questions."""
    waiting = list(right)
    for node in left:
        other = next((n for n in waiting if n.kind == node.kind and n.kind in ("sub_question", "reasoning")), None)
        if other is None:
            yield Pair("only_a", node.kind, _title(node), _changes(_fields(node), {}), _cost(node))
        else:
            waiting.remove(other)
            yield _pair(node, other)
    for node in waiting:
        yield Pair("only_b", node.kind, _title(node), _changes({}, _fields(node)), "", _cost(node))


def _pair(a: Node, b: Node) -> Pair:
    changes = _changes(_fields(a), _fields(b))
    return Pair("changed" if changes else "same", a.kind, _title(a), changes, _cost(a), _cost(b))


def _key(node: Node) -> Hashable:
    if node.kind in ("sub_question", "note"):
        return node.kind, " ".join(node.title.casefold().split())
    return node.kind, node.step.name if isinstance(node.step, ToolUse) else node.title


def _title(node: Node) -> str:
    match node.step:
        case Reasoning() | Summary():
            return f"{node.title}: {node.step.text}"
        case FinalAnswer():
            return f"answer: {node.step.text}"
        case ToolUse():
            return f"{node.step.name} {show_value(node.step.arguments.get('expression', ''))}".strip()
    return f"#{node.number} {node.title}" if node.number is not None else node.title


def _fields(node: Node) -> dict[str, str]:
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
        "confidence": "" if call.confidence is None else _confidence(call.confidence),
    }


def _confidence(confidence: float) -> str:
    return f"{confidence:.4f}"


def _cost(node: Node) -> str:
    if not node.calls:
        return ""
    usage = [call.measured.usage for call in node.calls]
    prompt, generated = (sum(one.get(name, 0) for one in usage) for name in ("prompt_tokens", "completion_tokens"))
    seconds = sum(sum(call.measured.seconds.values()) for call in node.calls)
    return f"{prompt:,} tokens in, {generated:,} out, {seconds:.2f} s"


def _setup(trace: Trace) -> dict[str, str]:
    started = trace.started
    if started is None:
        return {}
    images = (f"{image.source} ({image.width} x {image.height}) {image.sha256[:16]}" for image in started.images)
    named = {**started.engine, **{f"setting {n}": v for n, v in started.settings.items() if n not in _PRIVATE}}
    named |= {f"version {name}": version for name, version in started.versions.items()}
    return {
        "question": started.question,
        "choices": ", ".join(started.choices),
        "images": "\n".join(images),
        "strategy": started.strategy,
        "seed": str(started.seed),
        **{name: "" if value is None else str(value) for name, value in named.items()},
    }


def _changed_templates(a: Trace, b: Trace) -> Iterator[Change]:
    """Templates that both runs began with, in two versions; those of one strategy alone are no change."""
    left, right = (trace.started.templates if trace.started else {} for trace in (a, b))
    for name in left:
        if right.get(name, left[name]) != left[name]:
            yield Change(f"template {name}", left[name][:16], right[name][:16])


def _outcome(trace: Trace) -> dict[str, str]:
    finished = trace.finished
    if finished is None:
        return {"ended": "unfinished"}
    answer = finished.answer
    return {"answer": answer.text if answer else "", "ended": finished.stop_reason}


def _costs(a: Trace, b: Trace) -> tuple[tuple[str, str, str], ...]:
    sides = [(t.finished.measured if t.finished else None) for t in (a, b)]
    usage = [side.usage if side else {} for side in sides]
    rows = [(name.replace("_", " "), *(f"{one.get(name, 0):,}" for one in usage)) for name in COSTS]
    seconds = [f"{side.seconds.get('total', 0.0):.2f}" if side else "?" for side in sides]
    return (*((name, left, right) for name, left, right in rows), ("seconds", *seconds))  # type: ignore[arg-type]


def _changes(a: dict[str, str], b: dict[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys([*a, *b])
    return tuple(Change(n, a.get(n, ""), b.get(n, "")) for n in names if a.get(n, "") != b.get(n, ""))
