"""What keeping a trace costs an answer and an evaluation: `python -m benchmarks.trace_overhead`.

Runs `cot ask` on a shipped picture and `cot eval --trace` on drawn samples, both with the embedded model and in this
process, and prints how much of the processor time was spent on the trace: gathering what it begins with, opening it,
keeping images, writing events. Both are of one run, so a slower machine slows both. The first `cot ask` counts from
the start of the process, as a command at a shell; the others without imports and without loading the model, as in a
chat.
"""

import argparse
import contextlib
import functools
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cot.cli
from benchmarks.figures import report
from cot.cli import ask as ask_command
from cot.cli import eval_run
from cot.planner import run as planner_run
from cot.trace.record import Recorder

ROOT: Final = Path(__file__).resolve().parent.parent
QUESTION: Final = "Are there more apples than cars?"
RECORDING: Final = ("__init__", "record", "add_image", "close")


class Clock:
    """Adds up the processor time of functions, which may call each other. seconds: of the thread that called them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = False

    def watch(self, holder: Any, name: str, clock: Callable[[], float] = time.thread_time) -> None:
        """Replace a function of a class or module by one that is timed."""
        function = getattr(holder, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running = True
            begun = clock()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += clock() - begun
                self._running = False

        setattr(holder, name, timed)


def percent(recording: Clock, loading: Clock, *command: str) -> float:
    """What the recorder took, beside the rest of a command without loading the model. Raises SystemExit if it fails."""
    recording.seconds = loading.seconds = 0.0
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = cot.cli.main(list(command))
    if code:
        raise SystemExit(f"error: cot {' '.join(command)} ended with {code}: {said.getvalue()[-200:]}")
    return 100 * recording.seconds / (time.process_time() - begun - loading.seconds - recording.seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=ROOT / "examples" / "market.png")
    parser.add_argument("--samples", type=int, default=60, help="of the evaluation")
    parser.add_argument("--rounds", type=int, default=5, help="of cot ask; the median is reported")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    recording, loading = Clock(), Clock()
    for name in RECORDING:
        recording.watch(Recorder, name)
    for name in ("_record_start", "template_hashes"):
        recording.watch(planner_run, name)
    for module in (ask_command, eval_run):
        loading.watch(module, "load_engine", time.process_time)
    with tempfile.TemporaryDirectory() as folder:

        def ask(strategy: str, number: int) -> float:
            # A folder of its own, where the image is not yet.
            command = ("ask", str(arguments.image), QUESTION, "--strategy", strategy)
            return percent(recording, loading, *command, "--trace-dir", f"{folder}/{strategy}{number}")

        ask("direct", 0)
        command = 100 * recording.seconds / (time.process_time() - recording.seconds)
        ask("decompose", 0)
        asked = [
            ask(strategy, 1 + number) for number in range(arguments.rounds) for strategy in ("direct", "decompose")
        ]
        evaluation = ("eval", "shapes", "--limit", str(arguments.samples), "--strategy", "direct,decompose", "--trace")
        evaluated = percent(recording, loading, *evaluation, "--out", f"{folder}/run")
    figures = {
        "ask direct, percent of command": command,
        "direct, percent of answer": statistics.median(asked[::2]),
        "decompose, percent of answer": statistics.median(asked[1::2]),
        "eval, percent": evaluated,
    }
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
