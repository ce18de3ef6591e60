"""Batches from processes of their own: what becomes of these when something is killed or interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cot.errors import DataError
from cot.train.feed import feed

SCRIPT = """
import multiprocessing, os, signal, threading, time
from cot.train.feed import feed

def maker(index):
    time.sleep(0.1)
    return {}

if __name__ == "__main__":
"""


def started(script: str, folder: Path) -> subprocess.Popen[str]:
    """A script that feeds, in a group of processes of its own as a terminal gives it."""
    path = folder / "script.py"
    path.write_text(SCRIPT + script)
    return subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_a_killed_process_is_one_line_and_no_endless_wait() -> None:
    with pytest.raises(DataError, match="was killed; if memory ran out, try fewer than 1 --workers: the same command"):
        next(feed(os._exit, workers=1, ahead=False))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no groups of processes")
@pytest.mark.parametrize("batches", [0, 1])
def test_an_interrupt_is_left_to_the_process_that_trains(tmp_path: Path, batches: int) -> None:
    # With no batches the others may still be starting.
    script = f"""
    made = feed(maker, workers=2, ahead=True)
    for _ in range({batches}):
        next(made)
    threading.Timer(1.0, os.killpg, (os.getpgrp(), signal.SIGINT)).start()
    try:
        while True:
            next(made)
    except KeyboardInterrupt:
        print("interrupted")
"""
    process = started(script, tmp_path)
    assert process.communicate() == ("interrupted\n", "")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_no_process_outlives_a_killed_training(tmp_path: Path) -> None:
    script = """
    batches = feed(maker, workers=2, ahead=False)
    next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with started(script, tmp_path) as process:
        assert process.stdout is not None
        ids = [int(word) for word in process.stdout.readline().split()]
        assert process.wait() == -signal.SIGKILL
    assert ids
    end = time.monotonic() + 60
    while any(is_running(one) for one in ids):
        assert time.monotonic() < end, ids
        time.sleep(0.1)


def is_running(process_id: int) -> bool:
    try:
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
