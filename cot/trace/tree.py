"""A trace as the tree that people think of: each step with the calls that were made for it.

In: a trace. Out: nodes in order; a sub-question has its calls and its answer under it, wherever the
lines stood. What answers belong to is read from the trace, not from any strategy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from cot.step import Step, SubAnswer, SubQuestion, ToolUse
from cot.trace.event import Call, Note, StepTaken
from cot.trace.read import Trace

Region = tuple[str, tuple[float, float, float, float], tuple[str, ...]]
"""What names it; left, top, right and bottom, in pixels or fractions; texts one of which may be the source of its
image."""

Kind = Literal["call", "sub_question", "reasoning", "tool_use", "summary", "final_answer", "note"]

EDGES: Final = ("left", "top", "right", "bottom")
"""Arguments by which a tool is told a region."""

MAX_EDGE: Final = 1e6
"""No image has as many pixels a side."""

_SUB_QUESTION: Final = re.compile("sub_question ([0-9]{1,9})( again)?")


@dataclass
class Node:
    """One step of the tree.

    title: what the call was for, the sub-question, or the note. question and answer: of a sub-question; either
    may be missing in a trace that was cut short. calls: made for it, in order. step: any other step.
    at_seconds: when its last line was written, since the trace was opened.
    """

    kind: Kind
    title: str
    calls: list[Call] = field(default_factory=list)
    question: SubQuestion | None = None
    answer: SubAnswer | None = None
    step: Step | None = None
    at_seconds: float = 0.0

    @property
    def number(self) -> int | None:
        """Of a sub-question, as the plan counts."""
        if self.question is not None:
            return self.question.id
        return self.answer.to if self.answer is not None else None


def nodes(trace: Trace) -> tuple[Node, ...]:
    """The trace as a tree. Every call, step and note is in it once; how a run began and ended is not."""
    found: list[Node] = []
    by_number: dict[int, Node] = {}
    for event in trace.events:
        match event:
            case Call():
                match = _SUB_QUESTION.fullmatch(event.step)
                if match and match[2]:
                    # A second look has its own answer.
                    by_number.pop(int(match[1]), None)
                node = _numbered(found, by_number, int(match[1]), event.step) if match else None
                if node is None:
                    node = Node("call", event.step)
                    found.append(node)
                node.calls.append(event)
            case StepTaken():
                node = _step(found, by_number, event.step)
            case Note():
                node = Node("note", event.text)
                found.append(node)
            case _:
                continue
        node.at_seconds = event.measured.at_seconds
    return tuple(found)


def call_start_seconds(call: Call) -> float:
    """When a call began, since the trace was opened: its line was written when it ended."""
    return max(0.0, call.measured.at_seconds - sum(call.measured.seconds.values()))


def regions(trace: Trace) -> Iterator[Region]:
    """Regions of an image that steps name.

    They are answers to sub-questions that want one, and of tools the arguments and results that are called `region`, or
    their edges.
    """
    for node in nodes(trace):
        if node.question is not None and node.question.wants == "region" and node.answer is not None:
            yield from _region(f"#{node.number}", node.answer.value)
        if isinstance(node.step, ToolUse):
            name, arguments = node.step.name, node.step.arguments
            said = tuple(value for value in arguments.values() if isinstance(value, str))
            yield from _region(name, arguments.get("region"), said)
            yield from _box(name, [arguments.get(edge) for edge in EDGES], said)
            yield from _region(name, node.step.result if "region" in name else None, said)


def _region(name: str, value: object, said: tuple[str, ...] = ()) -> Iterator[Region]:
    numbers = re.findall(r"-?[0-9]{1,6}(?:\.[0-9]{1,18})?", value[:200]) if isinstance(value, str) else []
    yield from _box(name, [float(number) for number in numbers], said)


def _box(name: str, edges: Sequence[object], said: tuple[str, ...]) -> Iterator[Region]:
    found = [float(edge) for edge in edges if isinstance(edge, int | float) and abs(edge) < MAX_EDGE]
    if len(edges) == len(found) == 4:
        left, top, right, bottom = found
        if left < right and top < bottom:
            yield name, (left, top, right, bottom), said


def _step(found: list[Node], by_number: dict[int, Node], step: Step) -> Node:
    if isinstance(step, SubQuestion):
        node = Node("sub_question", step.text, question=step)
        by_number[step.id] = node
    elif isinstance(step, SubAnswer):
        node = _numbered(found, by_number, step.to, step.asked)
        node.answer = step
        return node
    else:
        node = Node(step.kind, step.kind.replace("_", " "), step=step)
    found.append(node)
    return node


def _numbered(found: list[Node], by_number: dict[int, Node], number: int, title: str) -> Node:
    node = by_number.get(number)
    if node is None:
        node = by_number[number] = Node("sub_question", title)
        found.append(node)
    return node
