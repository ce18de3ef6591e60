"""How long many traces take to be listed and searched: `python -m benchmarks.trace`.

Writes traces of ten calls each into a temporary folder, and prints the seconds of the newest twenty, of all, of a
search that finds one, and of all printed as `cot trace list --limit 0` does it: the first and the best of three on the
clock (the first may wait for the disk), and the least of processor time, which a busy machine changes less.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cot.cli
from cot.step import FinalAnswer, Value
from cot.trace.event import SCHEMA, Call, Event, Measured, RunFinished, RunStarted
from cot.trace.folder import STAMP
from cot.trace.listing import Wanted, list_traces
from cot.trace.record import TRACE_FILE

HASH: Final = "0" * 64
ROUNDS: Final = 3
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


def write(folder: Path, count: int) -> int:
    """Write traces that differ in their questions; returns the bytes of one."""
    settings: dict[str, Value] = {f"setting_{number}": number for number in range(15)}
    answer = FinalAnswer(text="yes", value=True, raw="#1 > #2", confidence=0.5)
    call = Call(step="sub_question 1", template="decompose/sub_answer", template_sha256=HASH, prompt="How many? " * 20,
                prompt_sha256=HASH, max_tokens=8, raw="3", value=3, tokens=(("3", -0.1),) * 5)  # fmt: skip
    end = RunFinished(answer=answer, stop_reason="answered", measured=Measured(usage={"completion_tokens": 9}))
    body = "".join(_line(event) for event in (*(call,) * 10, end))
    for number in range(count):
        started = RunStarted(question=f"Are there more apples than cars in picture {number}?", images=(),
                             strategy="decompose", seed=0, settings=settings, engine={"model": "embedded"})  # fmt: skip
        began = BEGINNING + timedelta(seconds=number)
        run = folder / f"{began.strftime(STAMP)}-{number:08x}"
        run.mkdir()
        (run / TRACE_FILE).write_text(_line(started) + body)
    return len(_line(started) + body)


def seconds(work: Callable[[], int]) -> tuple[int, float, float, float]:
    """What it gave, and the seconds of the first try, of the best, and of the processor."""
    took: list[float] = []
    busy: list[float] = []
    found = 0
    for _ in range(ROUNDS):
        begun, worked = time.perf_counter(), time.process_time()
        found = work()
        took.append(time.perf_counter() - begun)
        busy.append(time.process_time() - worked)
    return found, took[0], min(took), min(busy)


def listed(folder: Path, wanted: Wanted | None = None, limit: int | None = None) -> int:
    """How many traces are found."""
    return sum(1 for _ in list_traces(folder, wanted, limit=limit))


def printed(folder: Path) -> int:
    """How many lines the command prints below its headings."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cot.cli.main(["trace", "list", "--limit", "0", "--trace-dir", str(folder)])
    return out.getvalue().count("\n") - 1


def _line(event: Event) -> str:
    return json.dumps({"schema": SCHEMA, **event.model_dump(mode="json")}) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), arguments.traces)
        print(f"{arguments.traces:,} traces of {size:,} bytes")
        wanted = Wanted(text=f"picture {arguments.traces // 2}?")
        folder = Path(name)
        for what, work in (
            ("newest 20", lambda: listed(folder, limit=20)),
            ("all", lambda: listed(folder)),
            ("search", lambda: listed(folder, wanted)),
            ("printed", lambda: printed(folder)),
        ):
            found, first, best, busy = seconds(work)
            print(f"{what:10}  {found:7,} found  first {first:6.2f} s  best {best:6.2f} s  processor {busy:6.2f} s")


if __name__ == "__main__":
    main()
