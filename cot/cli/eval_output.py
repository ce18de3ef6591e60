"""What `cot eval` prints: progress on stderr, the tables on stdout.

All text that a model or a file gave is made plain before it is shown.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.live import Live
from rich.text import Text

from cot.cli.eval_table import category_table, figures_table, interval_text, percent, score_table
from cot.cli.time_left import SECONDS_BETWEEN_LINES, TimeLeft
from cot.cli.words import counted, pace
from cot.evaluate.ablation import NO_ABLATION
from cot.evaluate.options import Options, Watch
from cot.evaluate.result import SampleResult
from cot.evaluate.running import Running
from cot.evaluate.summary import Summary
from cot.planner.budget import Budget
from cot.trace.plain import plain
from cot.trace.stderr import Stderr

_SECONDS_BETWEEN_FRAMES: Final = 0.2


class EvalOutput(Watch):
    """Prints runs, one after another.

    process: which of several processes this is; lines begin with it. concurrency: samples in flight at most.
    """

    def __init__(self, *, as_json: bool, quiet: bool, process: str | None = None, concurrency: int = 1) -> None:
        self._as_json = as_json
        self.quiet = quiet
        self._process = process
        self._concurrency = concurrency
        self._label = f"[{process}] " if process else ""
        self._console = Stderr()
        self._live: Live | None = None
        self.begin(Path())

    def begin(self, folder: Path, control: str = "") -> None:
        """Forget the run before. control: what this one is called where there are several; its lines begin with it."""
        self.close()
        self._folder = folder
        self._control = f"{control}: " if control else ""
        self._running: dict[tuple[str, str], Running] = {}
        self._total = self._skipped = self._done = 0
        self._shown = 0.0
        self._time_left = TimeLeft(self._concurrency)

    def say(self, text: str) -> None:
        """A line on stderr."""
        if not self.quiet:
            self._console.print(Text(self._label + plain(text, one_line=True), "dim"))

    def known(self, result: SampleResult) -> None:
        """A result of an earlier start counts in the running score."""
        self._add(result)

    def started(self, total: int, skipped: int) -> None:
        """Say where the run is and what is there already."""
        self._total, self._skipped = total, skipped
        self._shown = time.monotonic()
        self.say(f"run: {self._folder}")
        if skipped:
            are = "is" if skipped == 1 else "are"
            self.say(f"{self._control}skipped: {skipped} of {counted(total, 'sample')} {are} there already")
        # One line of the terminal cannot be several processes'.
        if self._console.is_terminal and not self.quiet and not self._process:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def finished(self, result: SampleResult) -> None:
        """Show how far it is, not too often."""
        self._done += 1
        running = self._add(result)
        now = time.monotonic()
        self._time_left.finished(now)
        pause = _SECONDS_BETWEEN_FRAMES if self._live else SECONDS_BETWEEN_LINES
        if self.quiet or now - self._shown < pause:
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

    def interrupted(self) -> None:
        """Say what is done, and how to go on."""
        self.close()
        done = self._skipped + self._done
        of = f"{done} of {counted(self._total, 'sample')} {'is' if done == 1 else 'are'}"
        self._console.print(f"stopped: {of} in {self._folder}; the same command goes on")

    def share_done(self, folder: Path) -> None:
        """Say that this process is done, and that others are not."""
        self.say(f"done: this process's share is in {folder}; the last process to be done sums up")

    def result(self, runs: Sequence[tuple[Summary, Path]], place: Path, options: Options) -> None:
        """The tables, or one JSON object: the summary of a run, or of several `runs`.

        runs: each with its folder, which is `place`, or below it. options: those of the command; columns are in the
        order of its strategies.
        """
        for summary, _ in runs:
            self._notes(summary, options.asking.budget)
            if summary.wall_seconds is not None:
                control = f"{summary.ablation or NO_ABLATION}: " if len(runs) > 1 else ""
                n = sum(part.n for part in summary.parts)
                self.say(f"{control}wall clock: {pace(summary.wall_seconds, n)}")
        self.say(f"results: {place}")
        if self._as_json:
            objects = [{**summary.model_dump(mode="json"), "out": str(folder)} for summary, folder in runs]
            print(json.dumps(objects[0] if len(objects) == 1 else {"runs": objects, "out": str(place)}))
            return
        summaries = [summary for summary, _ in runs]
        print(score_table(summaries))
        for more in (category_table(summaries, options.strategies), figures_table(summaries)):
            if more:
                print(f"\n{more}")

    def fell(self, line: str) -> None:
        """Say, also to who wants no progress, that a score is below the gate."""
        self._console.print(Text(plain(f"gate: {line}", one_line=True), "red"))

    def _notes(self, summary: Summary, budget: Budget) -> None:
        for name in ("max_seconds", "max_tokens", "max_steps"):
            if n := sum(part.stopped.get(name.removeprefix("max_"), 0) for part in summary.parts):
                option = f"--{name.replace('_', '-')} {getattr(budget, name):.15g}"
                counts = "counts" if n == 1 else "count"
                self.say(
                    f"note: {counted(n, 'sample')} ran out of {option} without an answer and {counts} as 0; raise it,"
                    " into another --out"
                )
        errored = sum(part.counts["errored"] for part in summary.parts)
        if errored:
            are = "is" if errored == 1 else "are"
            self.say(f"note: {counted(errored, 'sample')} errored and {are} in no score{_again(summary, errored)}")
        if summary.ablation:
            self.say(f"note: with --ablate {summary.ablation}, so these scores are controls")
        for part in summary.parts:
            if part.note:
                self.say(f"note: {part.task} {part.strategy}: {part.note}")

    def _add(self, result: SampleResult) -> Running:
        running = self._running.setdefault((result.task, result.strategy), Running(""))
        running.add(result)
        return running

    def _line(self, result: SampleResult, running: Running, now: float) -> str:
        score, interval = running.score, running.rough_interval()
        shown = f"{percent(score)} {interval_text(interval)}" if score is not None else "no score yet"
        left = self._total - self._skipped - self._done
        return (
            f"{self._control}{self._skipped + self._done}/{self._total}{self._time_left.text(left, now)}"
            f"  {result.task} {result.strategy} {shown}"
        )


def _again(summary: Summary, errored: int) -> str:
    """How many of the errored samples `--retry-errors` does again; of the others a part's own note tells."""
    failed = sum(part.failed for part in summary.parts)
    if not failed:
        return ""
    which = f"{failed} of them" if failed < errored else "them" if errored > 1 else "it"
    return f"; --retry-errors does {which} again"
