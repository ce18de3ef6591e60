"""`cot eval` as one of several processes: what it says, and a real launch of the embedded model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.engine import ScriptedEngine
from cot.engine.local import device

N = 8
TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: '"yes"'
images: image
metric: exact
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a task of eight questions about four images."""
    for number in range(N // 2):
        Image.new("RGB", (64, 64), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    rows = [{"question": f"Is there a dog? {n % 2}", "image": f"{n // 2}.png"} for n in range(N)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capfd):
    """Runs one process of several with a scripted model; gives the exit code, stdout and stderr."""

    def ran(rank, *arguments, world_size=2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world_size))
        monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(lambda request: "yes"))
        code = cot.cli.main(["eval", "task.yaml", "--strategy", "direct", "--device", "cpu", *arguments])
        return code, *capfd.readouterr()

    return ran


def results(out):
    return [json.loads(line) for line in (Path(out) / "samples.jsonl").read_text().splitlines()]


def test_each_process_says_which_it_is_and_the_last_one_sums_up(run):
    code, out, err = run(0, "--out", "a", "--json")
    assert (code, out) == (0, "")
    assert "[1/2] run: a\n" in err
    assert "[1/2] done: this process's share is in a; the last process to be done sums up\n" in err
    code, out, err = run(1, "--out", "a", "--json")
    assert code == 0
    assert json.loads(out)["parts"][0]["n"] == N
    assert "[2/2] results: a\n" in err


def test_the_folder_must_be_named(run):
    code, out, err = run(0)
    assert (code, out) == (2, "")
    assert err == "error: got 2 processes and no --out; expected the folder of the run, the same one for all\n"
    assert "error: got RANK 2 and WORLD_SIZE 2; expected RANK from 0 to 1" in run(2, "--out", "a")[2]


def test_processes_take_their_own_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device.own_device(name, 1) for name in ("auto", "cuda", "cuda:0", "cpu")] == [
        "cuda:1", "cuda:1", "cuda:0", "cpu",
    ]  # fmt: skip
    assert device.own_device("auto", 3) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.own_device("auto", 1) == "auto"


@pytest.mark.slow
def test_accelerate_launches_two_processes(folder, root):
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        "-m", "cot", "eval", "task.yaml", "--strategy", "direct", "--device", "cpu", "--out", "out", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    texts = [
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
        for _ in range(2)
    ]
    assert all("[1/2] run: out" in done.stderr and "[2/2] run: out" in done.stderr for done in texts), texts
    assert "[2/2] skipped: 4 of 4 samples are there already" in texts[1].stderr
    assert [json.loads(line)["parts"][0]["n"] for line in texts[0].stdout.splitlines()] == [N]
    assert sorted(int(result["id"]) for result in results("out")) == list(range(1, N + 1))
    assert not Path("out/shares").exists()
