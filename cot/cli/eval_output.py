"""What `cot eval` prints: progress on stderr, the table on stdout.

All text that a model or a file gave is made plain before it is shown.
"""

import json
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cot.evaluate.options import Watch
from cot.evaluate.result import SampleResult
from cot.evaluate.summary import Part, Running, Summary
from cot.trace.plain import plain

SECONDS_BETWEEN_LINES: Final = 10.0
"""Where stderr is no terminal."""
_SECONDS_BETWEEN_FRAMES: Final = 0.2


class EvalOutput(Watch):
    """Prints one run. process: which of several processes this is; lines begin with it."""

    def __init__(self, *, as_json: bool, quiet: bool, process: str | None = None) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._process = process
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._live: Live | None = None
        self._running: dict[tuple[str, str], Running] = {}
        self._total = self._skipped = self._done = 0
        self._begun = self._shown = 0.0

    def say(self, text: str) -> None:
        """A line on stderr."""
        if not self._quiet:
            process = f"[{self._process}] " if self._process else ""
            self._console.print(Text(process + plain(text, one_line=True), "dim"))

    def known(self, result: SampleResult) -> None:
        """A result of an earlier start counts in the running score."""
        self._add(result)

    def started(self, total: int, skipped: int) -> None:
        """Say what is there already, and begin to count time."""
        self._total, self._skipped = total, skipped
        self._begun = self._shown = time.monotonic()
        if skipped:
            self.say(f"skipped: {skipped} of {total} samples are there already")
        # One line of the terminal cannot be several processes'.
        if self._console.is_terminal and not self._quiet and not self._process:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def finished(self, result: SampleResult) -> None:
        """Show how far it is, not too often."""
        self._done += 1
        running = self._add(result)
        now = time.monotonic()
        pause = _SECONDS_BETWEEN_FRAMES if self._live else SECONDS_BETWEEN_LINES
        if self._quiet or now - self._shown < pause:
            return
        self._shown = now
        line = self._line(result, running, now)
        if self._live:
            self._live.update(Text(line), refresh=True)
        else:
            self.say(line)

    def close(self) -> None:
        """Give the terminal's line back."""
        if self._live:
            self._live.stop()
            self._live = None

    def interrupted(self, folder: Path) -> None:
        """Say what is done, and how to go on."""
        self.close()
        done = self._skipped + self._done
        self._console.print(f"stopped: {done} of {self._total} samples are in {folder}; the same --out goes on")

    def share_done(self, folder: Path) -> None:
        """Say that this process is done, and that others are not."""
        self.say(f"done: this process's share is in {folder}; the last process to be done sums up")

    def result(self, summary: Summary, folder: Path) -> None:
        """The table, or the summary as JSON."""
        errored = sum(part.counts["errored"] for part in summary.parts)
        if errored:
            self.say(f"note: {errored} samples errored and are in no score; --retry-errors does them again")
        if summary.ablation:
            self.say(f"note: with --ablate {summary.ablation}, so these scores are controls")
        for part in summary.parts:
            if part.note:
                self.say(f"note: {part.task} {part.strategy}: {part.note}")
        self.say(f"results: {folder}")
        print(json.dumps({**summary.model_dump(mode="json"), "out": str(folder)}) if self._as_json else table(summary))

    def fell(self, line: str) -> None:
        """Say, also to who wants no progress, that a score is below the gate."""
        self._console.print(Text(plain(f"gate: {line}", one_line=True), "red"))

    def _add(self, result: SampleResult) -> Running:
        running = self._running.setdefault((result.task, result.strategy), Running(""))
        running.add(result)
        return running

    def _line(self, result: SampleResult, running: Running, now: float) -> str:
        rate = self._done / max(now - self._begun, 1e-9)
        left = self._total - self._skipped - self._done
        score, interval = running.score, running.rough_interval()
        shown = f"{percent(score)} {interval_text(interval)}" if score is not None else "no score yet"
        minutes, seconds = divmod(round(left / rate), 60)
        return (
            f"{self._skipped + self._done}/{self._total}  {rate:.1f}/s  {minutes}:{seconds:02d} left"
            f"  {result.task} {result.strategy} {shown}"
        )


def table(summary: Summary) -> str:
    """The parts, a line each, with a head. Scores are in percent, intervals 95%."""
    head = ["task", "strategy", "n", "score", "95%", "correct", "partial", "wrong", "unparsed", "errored", "tokens in",
            "out", "calls"]  # fmt: skip
    rows = [head, *(_row(part) for part in summary.parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def percent(score: float | None) -> str:
    """`87.5%`; a dash where there is no score."""
    return "-" if score is None else f"{100 * score:.1f}%"


def interval_text(interval: tuple[float, float] | None) -> str:
    """`[85.1, 89.6]`, in percent."""
    return "-" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _row(part: Part) -> list[str]:
    usage = (part.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens", "calls"))
    figures = (part.n, *part.counts.values(), *usage)
    n, *others = (str(figure) for figure in figures)
    return [part.task, part.strategy, n, percent(part.score), interval_text(part.interval), *others]
