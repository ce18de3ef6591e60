"""Evaluating very many samples: `python -m benchmarks.evaluation`.

A scripted engine, which costs nothing, is asked everything of a made task, four questions an image. Then the same
command resumes the finished run, and again after a hundred results were taken out of it, runs are listed, the run is
shown, and it is compared with a copy in which every tenth answer is another. Each in a process of its own: how much
memory it took at most above what it had with all modules and the engine loaded, and its processor time, which on a busy
machine says more than the clock.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
from PIL import Image

from benchmarks.figures import report
from cot.compare import choose, compare, detail, find_runs
from cot.compare.stored import open_run
from cot.engine import Completion, Request, ScriptedEngine
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.task import load_task

MIB: Final = 1 << 20
QUESTIONS_AN_IMAGE: Final = 4
IMAGES: Final = 50
MISSING: Final = 100
"""Results that a run lacks which was stopped."""
TASK: Final = """
name: many
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
id: id
group: image_id
category: kind
metric: exact
"""


class Forgetful(ScriptedEngine):
    """A scripted engine that does not keep what it was asked."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request."""
        self.requests.clear()
        return await super().complete(request)


def make_task(folder: Path, samples: int) -> None:
    """Write the rows, one after another, and a few images that all of them share."""
    for number in range(IMAGES):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(folder / f"{number}.png")
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(samples):
            image = number // QUESTIONS_AN_IMAGE
            row = {
                "id": f"sample-{number}", "question": f"Is it {number}?", "answer": "yes" if number % 3 else "no",
                "image": f"{image % IMAGES}.png", "image_id": f"image-{image}", "kind": f"kind {number % 7}",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
    (folder / "task.yaml").write_text(TASK)


def run(folder: Path) -> None:
    """Ask what is missing."""
    engine, task = Forgetful(lambda request: "yes"), load_task(str(folder / "task.yaml"))
    with RunFolder(folder / "runs" / "a") as out:
        selection = select(task, before=out.definition())
        asyncio.run(evaluate(out, [selection], engine, Options(("direct",), concurrency=32)))


def take_out(folder: Path) -> None:
    """Take results out of the run, from all over it."""
    file = folder / "runs" / "a" / "samples.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    step = max(1, len(lines) // MISSING)
    file.write_bytes(b"".join(line for number, line in enumerate(lines) if number % step or number >= step * MISSING))


def copy_changed(folder: Path) -> None:
    """Copy the run, a line at a time, with every tenth answer changed."""
    before, after = folder / "runs" / "a", folder / "runs" / "b"
    after.mkdir()
    (after / "run.json").write_bytes((before / "run.json").read_bytes())
    with (before / "samples.jsonl").open() as lines, (after / "samples.jsonl").open("w") as file:
        for number, line in enumerate(lines):
            result = json.loads(line)
            if number % 10 == 0:
                right = result["status"] != "correct"
                result |= {"status": "correct" if right else "wrong", "score": float(right)}
            file.write(json.dumps(result) + "\n")


def compare_both(folder: Path) -> None:
    """Pair the run with its copy."""
    compare(*(choose(str(folder / "runs" / name)) for name in "ab"))


PARTS: Final[dict[str, Callable[[Path], object]]] = {
    "run": run,
    "resume": run,
    "take_out": take_out,
    "resume_stopped": run,
    "list": lambda folder: [found.look() for found in find_runs(folder / "runs")],
    "show": lambda folder: detail(open_run(folder / "runs" / "a")),
    "copy": copy_changed,
    "compare": compare_both,
}
UNMEASURED: Final = ("take_out", "copy")
"""What only makes ready for other parts."""


def measure_part(name: str, folder: Path) -> None:
    """Do one part in this process, and print what it took."""
    before = psutil.Process().memory_info().rss
    begun = time.process_time()
    PARTS[name](folder)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps([max(0, most - before) / MIB, time.process_time() - begun]))


def measure(samples: int) -> dict[str, float]:
    """All figures."""
    figures = {"samples": float(samples)}
    with tempfile.TemporaryDirectory(prefix="cot-evaluation-") as name:
        make_task(Path(name), samples)
        for part in PARTS:
            command = [sys.executable, "-m", "benchmarks.evaluation", "--part", part, name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            memory, seconds = json.loads(done.stdout)
            if part not in UNMEASURED:
                figures |= {f"{part}_mib": memory, f"{part}_cpu_seconds": seconds}
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        measure_part(options.part[0], Path(options.part[1]))
    else:
        report(measure(options.samples), options.json)


if __name__ == "__main__":
    main()
