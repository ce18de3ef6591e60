"""Shows two traces side by side in a terminal, made for 80 columns.

In: a `Diff`. Out: rich text. All text is taken as hostile, as in `cot.trace.show`.
"""

from collections.abc import Iterator
from typing import Final

from rich.console import Group
from rich.text import Text

from cot.trace.diff import Change, Diff, Pair, line_changes
from cot.trace.plain import plain
from cot.trace.read import Trace

MAX_SAME_LINES: Final = 2
"""Lines of a prompt that are the same in both are shown around a change, at most this many."""

_MARKS: Final = {"same": ("= ", "dim"), "changed": ("~ ", "yellow"), "only_a": ("- ", "red"), "only_b": ("+ ", "green")}
_SHORT: Final = 60


def diff_lines(diff: Diff) -> Group:
    """Both runs: what was set up differently, each step, how they ended, and the cost."""
    lines = [Text(_line(diff.a.started.question), "bold")] if _same_question(diff) and diff.a.started else []
    lines.append(Text.assemble(("- ", "red"), _run(diff.a)))
    lines.append(Text.assemble(("+ ", "green"), _run(diff.b)))
    for change in diff.setup:
        lines += _change(change, "  ")
    for pair in diff.pairs:
        lines += _pair(pair)
    lines.append(Text("ended alike" if not diff.outcome else "ended differently", "bold"))
    for change in diff.outcome:
        lines += _change(change, "  ")
    lines.append(Text.assemble((f"{'cost':20}{'-':>12}{'+':>12}", "bold")))
    lines += [Text(f"  {name:18}{a:>12}{b:>12}", "dim" if a == b else "") for name, a, b in diff.cost]
    return Group(*lines)


def _same_question(diff: Diff) -> bool:
    return all(change.name != "question" for change in diff.setup)


def _run(trace: Trace) -> str:
    """A run by its name, what it did and what came out."""
    name = _line(trace.path.parent.name or str(trace.path))
    strategy = _line(trace.started.strategy) if trace.started else "without a beginning"
    answer = trace.finished.answer if trace.finished else None
    return f"{name}  {strategy}: {_line(answer.text) if answer else 'no answer'}"


def _pair(pair: Pair) -> Iterator[Text]:
    mark, style = _MARKS[pair.side]
    title = _line(pair.title)
    if pair.side == "same":
        yield Text.assemble((mark, style), (title, "dim"))
        return
    yield Text.assemble((mark, style), (title, "bold"))
    if pair.side == "changed":
        if pair.cost_a or pair.cost_b:
            yield Text(f"    {pair.cost_a or 'no call'} → {pair.cost_b or 'no call'}", "dim")
        for change in pair.changes:
            yield from _change(change, "    ")
        return
    if pair.cost_a or pair.cost_b:
        yield Text(f"    {pair.cost_a or pair.cost_b}", "dim")
    for change in pair.changes:
        if change.name in ("said", "value", "result", "answer"):
            first, *more = (change.a or change.b).splitlines() or [""]
            yield Text(f"    {change.name}: {_line(first)}")
            yield from (Text(f"      {_line(line)}") for line in more)


def _change(change: Change, indent: str) -> Iterator[Text]:
    name, a, b = _line(change.name), _line(change.a), _line(change.b)
    if len(a) + len(b) <= _SHORT and "\n" not in change.a + change.b:
        yield Text.assemble(f"{indent}{name}: ", (a or "none", "red"), " → ", (b or "none", "green"))
        return
    yield Text(f"{indent}{name}:")
    same = 0
    for mark, line in line_changes(change):
        same = same + 1 if mark == " " else 0
        if same <= MAX_SAME_LINES:
            style = {"-": "red", "+": "green", " ": "dim"}[mark]
            yield Text(f"{indent}  {mark} {_line(line)}", style)
        elif same == MAX_SAME_LINES + 1:
            yield Text(f"{indent}  …", "dim")


def _line(text: str) -> str:
    return plain(text, one_line=True)
