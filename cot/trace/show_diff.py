"""Shows two traces side by side in a terminal, made for 80 columns.

In: a `Diff`. Out: rich text. All text is taken as hostile, as in `cot.trace.show`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from cot.trace.diff import Change, Diff, Pair, line_changes
from cot.trace.plain import plain
from cot.trace.read import Trace
from cot.trace.redact import in_words

MAX_SAME_LINES: Final = 2
"""Lines of a prompt that are the same in both are shown around a change, at most this many."""

_MARKS: Final = {"same": ("= ", "dim"), "changed": ("~ ", "yellow"), "only_a": ("- ", "red"), "only_b": ("+ ", "green")}
_SHORT: Final = 60
_NARROWEST: Final = 20
"""Columns that text is wrapped to at least."""


@dataclass(frozen=True)
class _Entry:
    """Text behind a lead; where it is wrapped it goes on below itself, so that a mark always begins an entry."""

    lead: Text
    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = self.lead.cell_len
        for number, line in enumerate(self.text.wrap(console, max(_NARROWEST, options.max_width - width)) or [Text()]):
            line.rstrip()
            yield Text.assemble(self.lead if number == 0 else " " * width, line)


def diff_lines(diff: Diff) -> Group:
    """Both runs: what was set up differently, each step, how they ended, and the cost."""
    lines: list[RenderableType] = []
    if _same_question(diff) and diff.a.started:
        lines.append(Text(_line(diff.a.started.question), "bold"))
    for mark, style, trace in (("- ", "red", diff.a), ("+ ", "green", diff.b)):
        lines.append(_entry("", mark, style, Text(_run(trace))))
        if trace.left_out:
            lines.append(_entry("  ", "", "", Text(f"recorded without {in_words(trace.left_out)}: not compared")))
        if trace.torn:
            lines.append(_entry("  ", "", "", Text("its last line was cut short, and is left out")))
    for change in diff.setup:
        lines += _change(change, "  ")
    for pair in diff.pairs:
        lines += _pair(pair)
    lines.append(Text(_ended(diff), "bold"))
    for change in diff.outcome:
        lines += _change(change, "  ")
    lines.append(Text.assemble((f"{'cost':20}{'-':>12}{'+':>12}", "bold")))
    lines += [Text(f"  {name:18}{a:>12}{b:>12}", "dim" if a == b else "") for name, a, b in diff.cost]
    return Group(*lines)


def _ended(diff: Diff) -> str:
    if diff.outcome:
        return "ended differently"
    return "ended alike, as far as it was recorded" if diff.a.left_out or diff.b.left_out else "ended alike"


def _same_question(diff: Diff) -> bool:
    return diff.b.started is not None and all(change.name != "question" for change in diff.setup)


def _run(trace: Trace) -> str:
    """A run by its name, what it did and what came out."""
    name = _line(trace.name)
    strategy = _line(trace.started.strategy) if trace.started else "without a beginning"
    answer = trace.finished.answer if trace.finished else None
    return f"{name}  {strategy}: {_line(answer.text) if answer else 'no answer'}"


def _pair(pair: Pair) -> Iterator[_Entry]:
    mark, style = _MARKS[pair.side]
    yield _entry("", mark, style, Text(_line(pair.title), "dim" if pair.side == "same" else "bold"))
    if pair.side == "same":
        return
    costs = (pair.cost_a, pair.cost_b) if pair.side == "changed" else (pair.cost_a or pair.cost_b,)
    if any(costs):
        yield _entry("    ", "", "", Text(" → ".join(cost or "no call" for cost in costs), "dim"))
    for change in pair.changes:
        if pair.side == "changed":
            yield from _change(change, "    ")
        elif change.name in ("said", "value", "result", "answer"):
            first, *more = (change.a or change.b).splitlines() or [""]
            yield _entry("    ", "", "", Text(f"{change.name}: {_line(first)}"))
            yield from (_entry("      ", "", "", Text(_line(line))) for line in more)


def _change(change: Change, indent: str) -> Iterator[_Entry]:
    name, a, b = _line(change.name), _line(change.a), _line(change.b)
    if len(a) + len(b) <= _SHORT and "\n" not in change.a + change.b:
        yield _entry(indent, "", "", Text.assemble(f"{name}: ", (a or "none", "red"), " → ", (b or "none", "green")))
        return
    yield _entry(indent, "", "", Text(f"{name}:"))
    same = 0
    for mark, line in line_changes(change):
        same = same + 1 if mark == " " else 0
        if same <= MAX_SAME_LINES:
            style = {"-": "red", "+": "green", " ": "dim"}[mark]
            yield _entry(f"{indent}  ", f"{mark} ", style, Text(_line(line), style))
        elif same == MAX_SAME_LINES + 1:
            yield _entry(f"{indent}  ", "", "", Text("…", "dim"))


def _entry(indent: str, mark: str, style: str, text: Text) -> _Entry:
    return _Entry(Text.assemble(indent, (mark, style)), text)


def _line(text: str) -> str:
    return plain(text, one_line=True)
