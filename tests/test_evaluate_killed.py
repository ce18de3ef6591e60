"""A run is killed at random moments, and goes on to exactly what an unbroken one gives."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

KILLS = 20
SAMPLES = 300

RUNNER = """
import asyncio, sys
from pathlib import Path
from cot.engine import ScriptedEngine
from cot.errors import CotError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.task import load_task

class Slow(ScriptedEngine):
    async def complete(self, request):
        await asyncio.sleep(0.01)
        return await super().complete(request)

task, folder, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
script = lambda request: "yes" if len(request.messages[-1].content[-1]) % 2 else "no"

def work(out):
    with RunFolder(out) as run:
        selection = select(load_task(task))
        asyncio.run(evaluate(run, [selection], Slow(script), Options(("direct",), concurrency=4)))

work(folder / "whole")
import os, random, signal, time
random.seed(11)
killed = 0
while killed < kills:
    child = os.fork()
    if not child:
        work(folder / "broken")
        os._exit(0)
    time.sleep(random.uniform(0.02, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    killed += 1
    file = folder / "broken" / "samples.jsonl"
    if killed == 5 and file.exists():
        with file.open("ab") as stream:
            stream.write(b'{"task": "mi')
work(folder / "broken")
"""

HOLDER = """
import sys, time
from pathlib import Path
from cot.evaluate import RunFolder
with RunFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _environment(root):
    return {**os.environ, "PYTHONPATH": str(root)}


def _results(folder):
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    for line in lines:
        for moment in ("seconds", "begun_at", "ended_at"):
            del line[moment]
    return sorted(lines, key=lambda line: int(line["id"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_a_run_goes_on_to_the_same_results(tmp_path, root):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    rows = [{"question": f"Is it {'x' * (number % 7)}?", "answer": "yes"} for number in range(SAMPLES)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndata: {loader: jsonl, path: rows.jsonl}\nquestion: question\nanswers: answer\n"
        "images: '\"red.png\"'\nmetric: exact\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(tmp_path / "task.yaml"), str(tmp_path), str(KILLS)],
        cwd=root, env=_environment(root), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(_results(tmp_path / "broken")) == SAMPLES
    assert _results(tmp_path / "broken") == _results(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_a_second_process_is_refused(tmp_path, root):
    from cot.errors import DataError
    from cot.evaluate import RunFolder

    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        cwd=root, env=_environment(root), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="another process writes the run"):
            RunFolder(tmp_path / "run")
    finally:
        holder.kill()
        holder.communicate()
    # What holds the run ends with the process, whatever ended it.
    RunFolder(tmp_path / "run").close()
