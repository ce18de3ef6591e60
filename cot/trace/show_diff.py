"""Shows two traces side by side in a terminal, made for 80 columns.

In: a `Diff`. Out: rich text. All text is taken as hostile, as in `cot.trace.show`.
"""

from collections.abc import Iterator
from typing import Final

from rich.console import Group
from rich.text import Text

from cot.trace.diff import Change, Diff, Pair, line_changes
from cot.trace.plain import plain

MAX_SAME_LINES: Final = 2
"""Lines of a prompt that are the same in both are shown around a change, at most this many."""

_MARKS: Final = {"same": ("= ", "dim"), "changed": ("~ ", "yellow"), "only_a": ("- ", "red"), "only_b": ("+ ", "green")}
_SHORT: Final = 60


def diff_lines(diff: Diff) -> Group:
    """Both runs: what was set up differently, each step, how they ended, and the cost."""
    lines = [Text.assemble(("- ", "red"), _line(diff.a.path.parent.name or str(diff.a.path)))]
    lines.append(Text.assemble(("+ ", "green"), _line(diff.b.path.parent.name or str(diff.b.path))))
    for change in diff.setup:
        lines += _change(change, "  ")
    for pair in diff.pairs:
        lines += _pair(pair)
    lines.append(Text("ended alike" if not diff.outcome else "ended differently", "bold"))
    for change in diff.outcome:
        lines += _change(change, "  ")
    cost = [f"{name} {a}" if a == b else f"{name} {a} → {b}" for name, a, b in diff.cost]
    lines.append(Text.assemble(("cost: ", "bold"), (", ".join(cost), "dim")))
    return Group(*lines)


def _pair(pair: Pair) -> Iterator[Text]:
    mark, style = _MARKS[pair.side]
    title = _line(pair.title)
    cost = "" if pair.cost_a == pair.cost_b == "" else f"  {pair.cost_a or 'none'} → {pair.cost_b or 'none'}"
    if pair.side == "same":
        yield Text.assemble((mark, style), (title, "dim"))
        return
    yield Text.assemble((mark, style), (title, "bold"), (cost, "dim"))
    if pair.side == "changed":
        for change in pair.changes:
            yield from _change(change, "    ")
    else:
        shown = ("said", "value", "result", "answer")
        for change in pair.changes:
            if change.name in shown:
                yield Text.assemble(f"    {change.name}: ", _line(change.a or change.b))


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
