"""A run is killed at random moments; what it had finished is in its trace."""

import os
import subprocess
import sys

import pytest

from cot.step import SubAnswer, SubQuestion
from cot.trace.listing import UNFINISHED, list_traces
from cot.trace.read import find_trace, read_trace

KILLS = 50

WRITER = """
import os, random, signal, sys, time
from pathlib import Path
from cot.trace.record import Recorder
from runs import script, QUESTION, completion
import asyncio
from PIL import Image
from cot.engine import ScriptedEngine
from cot.image import from_pixels
from cot.planner.chain import Chain
from cot.planner.budget import Budget
from cot.planner.decompose import decompose
from cot.planner.run import run
from cot.question import Question

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
question = Question(QUESTION, (from_pixels(Image.new("RGB", (8, 6)), source="x"),))
asyncio.run(run("decompose", question, ScriptedEngine(script())))
random.seed(7)

def work(number, told):
    async def again_and_again(recorder):
        # One run after another into one trace, so that a kill at any moment hits one that writes.
        while True:
            await run("decompose", question, ScriptedEngine(script()), recorder=recorder,
                      on_step=lambda step: os.write(told, b"."))
    with Recorder(folder / str(number)) as recorder:
        asyncio.run(again_and_again(recorder))

for number in range(kills):
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        work(number, told)
    os.close(told)
    os.read(heard, 1)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    steps = 1
    while piece := os.read(heard, 65536):
        steps += len(piece)
    os.close(heard)
    print(number, steps, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_a_trace_has_every_finished_step(tmp_path, root):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "tests" / "support")))}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path), str(KILLS)],
        cwd=root, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [number for number, _ in counts] == list(range(KILLS))
    for number, reported in counts:
        trace = read_trace(find_trace("last", tmp_path / str(number)))
        # A step is written before it is reported, so at most one is there that nobody heard of.
        assert reported <= len(trace.steps) <= reported + 1
        assert [event.seq for event in trace.events] == list(range(len(trace.events)))
        assert isinstance(trace.steps[0].step, SubQuestion | SubAnswer)
        (listed,) = list_traces(tmp_path / str(number))
        assert listed.stop_reason in (UNFINISHED, "answered")
