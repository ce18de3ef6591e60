"""How long many traces take to be listed and searched: `python -m benchmarks.trace`.

Writes traces of ten calls each into a temporary folder, and prints the seconds of the newest twenty, of all, and of a
search that finds one: the first and the best of three on the clock (the first may wait for the disk), and the least
of processor time, which a busy machine changes little.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from cot.step import FinalAnswer, Value
from cot.trace.event import SCHEMA, Call, Event, Measured, RunFinished, RunStarted
from cot.trace.listing import Wanted, list_traces
from cot.trace.record import TRACE_FILE

HASH: Final = "0" * 64
ROUNDS: Final = 3


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
        run = folder / f"2026{number // 86_400 + 1:04}-{_clock(number % 86_400)}-{number:08x}"
        run.mkdir()
        (run / TRACE_FILE).write_text(_line(started) + body)
    return len(_line(started) + body)


def seconds(folder: Path, **options: Any) -> tuple[int, float, float, float]:
    """How many were found, and the seconds of the first try, of the best, and of the processor."""
    took: list[float] = []
    busy: list[float] = []
    found = 0
    for _ in range(ROUNDS):
        begun, worked = time.perf_counter(), time.process_time()
        found = sum(1 for _ in list_traces(folder, **options))
        took.append(time.perf_counter() - begun)
        busy.append(time.process_time() - worked)
    return found, took[0], min(took), min(busy)


def _line(event: Event) -> str:
    return json.dumps({"schema": SCHEMA, **event.model_dump(mode="json")}) + "\n"


def _clock(second: int) -> str:
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), arguments.traces)
        print(f"{arguments.traces:,} traces of {size:,} bytes")
        wanted = Wanted(text=f"picture {arguments.traces // 2}?")
        for what, options in (("newest 20", {"limit": 20}), ("all", {}), ("search", {"wanted": wanted})):
            found, first, best, busy = seconds(Path(name), **options)
            print(f"{what:10}  {found:7,} found  first {first:6.2f} s  best {best:6.2f} s  processor {busy:6.2f} s")


if __name__ == "__main__":
    main()
