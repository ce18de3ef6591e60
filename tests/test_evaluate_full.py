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
from cot.errors import CotError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.task import load_task

task, out, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
try:
    with RunFolder(out) as folder:
        asyncio.run(evaluate(folder, [select(load_task(task))], ScriptedEngine(lambda r: "yes"), Options(("direct",))))
except CotError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_fills_loses_nothing(tmp_path, root):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    rows = [{"question": f"Is it {number}?", "answer": "yes"} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndata: {loader: jsonl, path: rows.jsonl}\nquestion: question\nanswers: answer\n"
        "images: '\"red.png\"'\nmetric: exact\n"
    )
    out = tmp_path / "out"

    def run(most):
        """With files of at most so many bytes; 0 for any."""
        return subprocess.run(
            [sys.executable, "-c", RUNNER, str(tmp_path / "task.yaml"), str(out), str(most)],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    # First nothing fits but the beginning of run.json, then some results.
    for most in (500, 6000):
        done = run(most)
        assert done.returncode == 1
        assert done.stderr.startswith(f"cannot write to {out}: ")
        assert done.stderr.endswith("what was finished is not lost: free some space, and give the same command again\n")
        assert len(done.stderr.splitlines()) == 1
    kept = (out / "samples.jsonl").read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    assert 0 < whole.count(b"\n") < 40
    assert run(0).returncode == 0
    found = (out / "samples.jsonl").read_bytes()
    assert found.startswith(whole)
    assert sorted(int(json.loads(line)["id"]) for line in found.splitlines()) == list(range(1, 41))
    assert sorted(path.name for path in out.iterdir()) == [".lock", "run.json", "samples.jsonl", "summary.json"]
