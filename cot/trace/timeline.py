"""When what happened in a run: the bars of a timeline.

In: a trace. Out: a bar for each call, cut into waiting, reading the prompt and writing. It draws nothing.
"""

from dataclasses import dataclass
from typing import Final

from cot.trace.read import Trace
from cot.trace.tree import call_start_seconds

PARTS: Final = ("queue", "prefill", "decode")
"""In the order in which they follow each other."""


@dataclass(frozen=True)
class Bar:
    """A call. start: seconds since the first call began. parts: name, start and duration in seconds."""

    title: str
    start: float
    seconds: float
    parts: tuple[tuple[str, float, float], ...]


def timeline(trace: Trace) -> tuple[tuple[Bar, ...], float]:
    """A bar for each call in the order of their starts, and the seconds from the first start to the last end.

    What was loaded before the first call is not on it.
    """
    calls = sorted(trace.calls, key=call_start_seconds)
    if not calls:
        return (), 0.0
    first = call_start_seconds(calls[0])
    bars = []
    for call in calls:
        start = at = call_start_seconds(call) - first
        parts = []
        for name in PARTS:
            seconds = max(0.0, call.measured.seconds.get(name, 0.0))
            parts.append((name, at, seconds))
            at += seconds
        bars.append(Bar(call.step, start, at - start, tuple(parts)))
    return tuple(bars), max((bar.start + bar.seconds for bar in bars), default=0.0)
