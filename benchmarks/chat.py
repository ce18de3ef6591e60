"""How soon `cot chat` takes what is typed: `python -m benchmarks.chat`.

Starts it in a pseudo-terminal with an image and waits for the first prompt. Prints the processor time that the process
had used by then, which other work on the machine changes little, and the seconds by the clock: the median of some
starts each, with files in the system's cache. The model is loaded after the prompt, and is not in the figures.
"""

import argparse
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Final

import psutil

from benchmarks.figures import report

IMAGE: Final = Path(__file__).resolve().parent.parent / "examples" / "market.png"
PROMPT: Final = b"\x1b[0m>"
PATIENCE_SECONDS: Final = 60.0


def start(folder: Path) -> tuple[float, float]:
    """Seconds of processor time, and by the clock, until the prompt is drawn."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "TERM": "xterm-256color"}
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-m", "cot", "chat", "--no-preview", str(IMAGE)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        _wait_for_prompt(ours)
        seconds = time.perf_counter() - begun
        used = psutil.Process(process.pid).cpu_times()
        return used.user + used.system, seconds
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _wait_for_prompt(terminal: int) -> None:
    shown, end = b"", time.monotonic() + PATIENCE_SECONDS
    while PROMPT not in shown:
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            raise SystemExit(f"error: no prompt within {PATIENCE_SECONDS:g} seconds; got {shown[-200:]!r}")
        try:
            shown += os.read(terminal, 65536)
        except OSError as error:
            raise SystemExit(f"error: cot chat ended before its prompt; got {shown[-200:]!r}") from error


def main() -> None:
    """Measure and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--starts", type=int, default=5, help="how often it is started")
    arguments.add_argument("--json", type=Path, help="file for the figures")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cot-") as folder:
        start(Path(folder))
        found = [start(Path(folder)) for _ in range(options.starts)]
    cpu, clock = (statistics.median(values) for values in zip(*found, strict=True))
    report({"cpu_seconds_to_prompt": cpu, "clock_seconds_to_prompt": clock}, options.json)


if __name__ == "__main__":
    main()
