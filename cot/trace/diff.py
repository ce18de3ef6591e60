"""What differs between two traces, aligned step by step.

In: two traces. Out: a `Diff`: how the runs were set up, pairs of steps, how they ended, and what they cost.
Times are shown and never count as a difference, and confidences only from the fourth digit on: sums in
another order differ in the last ones.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cot.errors import TraceError
from cot.step import ToolUse
from cot.trace.compared import run_costs, run_outcome, run_setup, step_cost, step_fields, step_title
from cot.trace.plain import plain
from cot.trace.read import Trace
from cot.trace.redact import REDACTED
from cot.trace.tree import Node, nodes

Side = Literal["same", "changed", "only_a", "only_b"]

MAX_LINES: Final = 5000
"""Of a field, which are held against each other and shown."""

MAX_PAIRS: Final = 25_000_000
"""Steps of one trace times those of the other; aligning takes a bit of memory for each."""


@dataclass(frozen=True)
class Change:
    """A field that differs; a side that has no such field has an empty text.

    Lines of what differs in blanks or in what nobody sees are in quotes, with that written out.
    """

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
    """Compare two traces; what one of them was recorded without is not compared.

    Raises TraceError if they have too many steps.
    """
    # Beside a run that does not say how it began everything would differ.
    setup = (*_changes(run_setup(a), run_setup(b)), *_changed_templates(a, b)) if a.started and b.started else ()
    pairs, outcome = tuple(_pairs(a, b)), _changes(run_outcome(a), run_outcome(b))
    if a.left_out or b.left_out:
        setup, pairs, outcome = _known(setup), tuple(map(_known_pair, pairs)), _known(outcome)
    return Diff(a, b, setup, pairs, outcome, run_costs(a, b))


def line_changes(change: Change) -> Iterator[tuple[Literal["-", "+", " "], str]]:
    """A field of several lines as lines: taken away, added, or the same in both; past `MAX_LINES` their number."""
    a, b = change.a.splitlines(), change.b.splitlines()
    shown_a, shown_b = a[:MAX_LINES], b[:MAX_LINES]
    done_a = done_b = 0
    for at_a, at_b in (*_common(shown_a, shown_b), (len(shown_a), len(shown_b))):
        yield from (("-", line) for line in shown_a[done_a:at_a])
        yield from (("+", line) for line in shown_b[done_b:at_b])
        yield from ((" ", line) for line in shown_a[at_a : at_a + 1])
        done_a, done_b = at_a + 1, at_b + 1
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
    done_a = done_b = 0
    for at_a, at_b in (*_common([_key(n) for n in left], [_key(n) for n in right]), (len(left), len(right))):
        yield from _leftover(left[done_a:at_a], right[done_b:at_b])
        yield from map(_pair, left[at_a : at_a + 1], right[at_b : at_b + 1])
        done_a, done_b = at_a + 1, at_b + 1


def _common(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Places in a and b of their longest common subsequence, in order.

    A row of the table is one whole number, with a bit for each of b that is 0 where the length grows: Hyyrö,
    "Bit-parallel LCS-length computation revisited", 2004. difflib takes cubic time where equal ones are many, or
    leaves those out.
    """
    # A row as long as the longer one would be made anew for each of its members.
    if len(b) > len(a):
        return [(at_a, at_b) for at_b, at_a in _common(b, a)]
    places: dict[Hashable, int] = {}
    for place, key in enumerate(b):
        places[key] = places.get(key, 0) | 1 << place
    rows = [every := (1 << len(b)) - 1]
    for key in a:
        row, same = rows[-1], rows[-1] & places.get(key, 0)
        rows.append((row + same | row - same) & every)
    found = []
    at_a, at_b = len(a), len(b)
    while at_a and at_b:
        bit = 1 << at_b - 1
        if rows[at_a] & bit:
            at_b -= 1
        elif not rows[at_a - 1] & bit:
            at_a -= 1
        else:
            at_a, at_b = at_a - 1, at_b - 1
            found.append((at_a, at_b))
    return found[::-1]


def _leftover(left: Sequence[Node], right: Sequence[Node]) -> Iterator[Pair]:
    """Steps without an exact counterpart: those of a kind belong together in order, such as reworded sub-questions."""
    waiting = {kind: deque(n for n in right if n.kind == kind) for kind in ("sub_question", "reasoning")}
    taken = set()
    for node in left:
        if others := waiting.get(node.kind):
            taken.add(id(others[0]))
            yield _pair(node, others.popleft())
        else:
            yield Pair("only_a", node.kind, step_title(node), _changes(step_fields(node), {}), step_cost(node))
    for node in right:
        if id(node) not in taken:
            yield Pair("only_b", node.kind, step_title(node), _changes({}, step_fields(node)), "", step_cost(node))


def _pair(a: Node, b: Node) -> Pair:
    changes = _changes(step_fields(a), step_fields(b))
    return Pair("changed" if changes else "same", a.kind, step_title(a), changes, step_cost(a), step_cost(b))


def _key(node: Node) -> Hashable:
    if node.kind in ("sub_question", "note"):
        return node.kind, " ".join(node.title.casefold().split())
    return node.kind, node.step.name if isinstance(node.step, ToolUse) else node.title


def _changed_templates(a: Trace, b: Trace) -> Iterator[Change]:
    """Templates that both runs began with, in two versions; those of one strategy alone are no change."""
    left, right = (trace.started.templates if trace.started else {} for trace in (a, b))
    for name in left:
        if right.get(name, left[name]) != left[name]:
            yield Change(f"template {name}", left[name][:16], right[name][:16])


def _changes(a: dict[str, str], b: dict[str, str]) -> tuple[Change, ...]:
    sides = ((name, a.get(name, ""), b.get(name, "")) for name in dict.fromkeys([*a, *b]))
    return tuple(_change(name, one, other) for name, one, other in sides if one != other)


def _change(name: str, a: str, b: str) -> Change:
    if _seen(a) == _seen(b):
        a, b = ("\n".join(map(repr, text.splitlines(keepends=True))) for text in (a, b))
    return Change(name, a, b)


def _seen(text: str) -> list[str]:
    return plain(text, most=len(text) + 1).split()


def _known(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Without those of which one side was left out."""
    return tuple(change for change in changes if REDACTED not in change.a + change.b)


def _known_pair(pair: Pair) -> Pair:
    if pair.side != "changed":
        return pair
    changes = _known(pair.changes)
    return replace(pair, changes=changes, side="changed" if changes else "same")
