"""What `cot ask` prints: the answer on stdout, and how it came about on stderr.

All text that a model, a file or the user gave is made plain before it is shown.
"""

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cot.errors import CotError
from cot.step import FinalAnswer, Step
from cot.trace.plain import plain
from cot.trace.show import step_line, usage_line
from cot.trace.stderr import Stderr

if TYPE_CHECKING:
    from cot.engine.base import EngineInfo
    from cot.planner.run import Outcome
    from cot.question import Question


class Output:
    """Prints one run."""

    def __init__(self, *, as_json: bool, quiet: bool, timings: bool) -> None:
        self._as_json = as_json
        self.quiet = quiet
        self._timings = timings
        self._console = Stderr()
        self._spent: list[tuple[str, float]] = []
        self._is_printed = False

    @contextlib.contextmanager
    def failure_as_json(self) -> Iterator[None]:
        """With `--json` an error of what stands inside is one object on stdout too, unless there is an answer there."""
        try:
            yield
        except CotError as error:
            if self._as_json and not self._is_printed:
                print(json.dumps({"answer": None, "value": None, "stop_reason": "error", "error": str(error)}))
            raise

    def spent(self, name: str, seconds: float | None, parts: Mapping[str, float] | None = None) -> None:
        """Remember where time went, for `--timings`. None: not known."""
        if seconds is not None:
            self._spent.append((name, seconds))
            self._spent += [(f"  {part}", value) for part, value in (parts or {}).items()]

    def say(self, text: str, style: str = "dim") -> None:
        """A line on stderr, also with `--quiet`."""
        self._console.print(Text(plain(text, one_line=True), style))

    def step(self, step: Step) -> None:
        """A finished step."""
        if not self.quiet and not isinstance(step, FinalAnswer):
            self._branch("├─ ", step)

    def result(self, question: "Question", outcome: "Outcome", info: "EngineInfo", strategy: str, trace: Path) -> None:
        """The answer, its cost, and the trace."""
        if not self.quiet:
            self._branch("└─ ", outcome.answer)
            for note in outcome.notes if outcome.stop_reason == "answered" else outcome.notes[:-1]:
                self.say(f"note: {note}", "yellow")
            self.say(usage_line(dataclasses.asdict(outcome.usage), outcome.seconds))
            self.say(f"trace: {trace}")
        if self._timings:
            self._show_timings(trace)
        if self._as_json:
            print(json.dumps(as_json(question, outcome, info, strategy, trace)))
            self._is_printed = True
        elif outcome.answer.value is not None or outcome.stop_reason == "answered":
            _print_answer(outcome.answer)
        if outcome.stop_reason != "answered":
            why = outcome.notes[-1] if outcome.notes else ""
            self.say(f"stopped: {outcome.stop_reason}{why and f': {why}'}", "yellow")

    def _branch(self, guide: str, step: Step) -> None:
        self._console.print(Text.assemble((guide, "dim"), step_line(step)))

    def _show_timings(self, trace: Path) -> None:
        from cot.trace.read import read_trace

        rows = list(self._spent)
        for call in read_trace(trace).calls:
            parts = call.measured.seconds
            rows.append((call.step, sum(parts.values())))
            rows += [(f"  {name}", seconds) for name, seconds in parts.items()]
        whole = seconds_since_process_start()
        if whole is not None:
            rows.append(("total, from the start of the process", whole))
        width = max(len(name) for name, _ in rows)
        self._console.print(Text("seconds", "bold"))
        for name, seconds in rows:
            self._console.print(Text(f"{plain(name):<{width}}  {seconds:8.3f}"))


def as_json(
    question: "Question", outcome: "Outcome", info: "EngineInfo", strategy: str, trace: Path
) -> dict[str, object]:
    """The object that `--json` prints."""
    return {
        "answer": outcome.answer.text,
        "value": outcome.answer.value,
        "confidence": outcome.answer.confidence,
        "stop_reason": outcome.stop_reason,
        "strategy": strategy,
        "question": question.text,
        "images": [
            {"source": i.source, "sha256": i.sha256, "width": i.pixels.width, "height": i.pixels.height}
            for i in question.images
        ],
        "steps": [step.model_dump(mode="json") for step in outcome.steps],
        "notes": list(outcome.notes),
        "usage": dataclasses.asdict(outcome.usage),
        "seconds": outcome.seconds,
        "model": {
            "name": info.model,
            "revision": info.revision,
            "dtype": info.dtype,
            "quantization": info.quantization,
            "device": info.device,
        },
        "trace": str(trace),
    }


def seconds_since_process_start() -> float | None:
    """Seconds since the operating system started this process, to 10 ms; None where it does not say."""
    try:
        # Field 22 of stat, behind the command's name in brackets: start in clock ticks since boot.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _print_answer(answer: FinalAnswer) -> None:
    shown = plain(answer.text, most=len(answer.text) + 1)
    if sys.stdout.isatty():
        Console(markup=False, highlight=False, emoji=False, soft_wrap=True).print(Text(shown, "bold"))
        return
    print(shown)
