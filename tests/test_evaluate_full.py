"""A disk that fills: one clear line, and the same call goes on to the results of an unbroken run."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

RUNNER = """
import asyncio, resource, sys
from pathlib import Path
from cot.engine import ScriptedEngine
from cot.errors import CotError, EngineError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.task import load_task

task, out, most, how = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
script = lambda r: EngineError("gone") if "fail" in how and "7?" in r.messages[-1].content[-1] else "yes"
options = Options(("direct",), retry_errors="retry" in how, trace="trace" in how)
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
try:
    with RunFolder(out) as folder:
        asyncio.run(evaluate(folder, [select(load_task(task))], ScriptedEngine(script), options))
except CotError as error:
    sys.exit(str(error))
"""


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")


@pytest.fixture
def run(tmp_path, root):
    """Runs a task of 40 samples into `out`, with files of at most so many bytes; 0 for any."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    rows = [{"question": f"Is it {number}?", "answer": "yes"} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndata: {loader: jsonl, path: rows.jsonl}\nquestion: question\nanswers: answer\n"
        "images: '\"red.png\"'\nmetric: exact\n"
    )

    def ran(most, *how):
        return subprocess.run(
            [sys.executable, "-c", RUNNER, str(tmp_path / "task.yaml"), str(tmp_path / "out"), str(most), *how],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return ran


def said(done, place):
    """Whether a run says on one line what could not be written, and that it goes on."""
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(f"cannot write to {place}: ")
    assert done.stderr.endswith("what was finished is not lost: free some space, and give the same command again\n")


def test_a_disk_that_fills_loses_nothing(run, tmp_path):
    out = tmp_path / "out"
    # First nothing fits but the beginning of run.json, then some results.
    for most in (500, 6000):
        said(run(most), out)
    kept = (out / "samples.jsonl").read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    assert 0 < whole.count(b"\n") < 40
    assert run(0).returncode == 0
    found = (out / "samples.jsonl").read_bytes()
    assert found.startswith(whole)
    assert sorted(int(json.loads(line)["id"]) for line in found.splitlines()) == list(range(1, 41))
    assert sorted(path.name for path in out.iterdir()) == [".lock", "run.json", "samples.jsonl", "summary.json"]


def test_a_disk_that_fills_while_errors_are_dropped_loses_nothing(run, tmp_path):
    out = tmp_path / "out"
    assert run(0, "fail").returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    said(run(3000, "retry"), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run(0, "retry").returncode == 0
    assert b"errored" not in (out / "samples.jsonl").read_bytes()


def test_a_disk_that_fills_with_traces_loses_nothing(run, tmp_path):
    out = tmp_path / "out"
    assert run(0, "fail").returncode == 0
    (out / "samples.jsonl").unlink()
    said(run(100, "trace"), out / "traces")
    assert run(0, "trace").returncode == 0
