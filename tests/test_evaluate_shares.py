"""One run, done by several processes: none of its samples is lost, none is asked twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from cot.compare import choose, compare, detail, find_runs
from cot.compare.stored import open_run
from cot.engine import ScriptedEngine
from cot.errors import ConfigError, DataError, EngineError
from cot.evaluate import Options, RunFolder, Shard, evaluate, find_shard, select
from cot.evaluate.samples import share_file
from cot.task import load_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")

N = 40
FIRST, SECOND = Shard(0, 2, 0), Shard(1, 2, 1)

PROCESS = """
import asyncio, os, sys
from pathlib import Path
from cot.engine import ScriptedEngine
from cot.evaluate import Options, RunFolder, evaluate, find_shard, select
from cot.task import load_task

class Slow(ScriptedEngine):
    async def complete(self, request):
        await asyncio.sleep(0.02)
        with open(sys.argv[3], "a") as asked:
            asked.write(request.messages[-1].content[-1].splitlines()[0] + "\\n")
        return await super().complete(request)

shard = find_shard(os.environ)
with RunFolder(Path(sys.argv[2]), shard) as run:
    selection = select(load_task(sys.argv[1]), shard=shard)
    engine = Slow(lambda request: "yes" if "0" in request.messages[-1].content[-1] else "no")
    summary = asyncio.run(evaluate(run, [selection], engine, Options(("direct",), concurrency=1)))
    print("summed up" if summary else "share done")
"""


@pytest.fixture
def task(tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    rows = [{"question": f"Is it {n}?", "answer": "yes", "image": "red.png", "g": f"g{n // 3}"} for n in range(N)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndata: {loader: jsonl, path: rows.jsonl}\nquestion: question\nanswers: answer\n"
        "images: image\ngroup: g\nmetric: exact\n"
    )
    return tmp_path / "task.yaml"


@pytest.fixture
def start(task, tmp_path, root):
    """Starts a process of the run in tmp_path/out; what it asks is appended to a file of its rank."""
    running = []

    def started(rank, world_size=2):
        environment = {**os.environ, "PYTHONPATH": str(root), "RANK": str(rank), "WORLD_SIZE": str(world_size)}
        arguments = [str(task), str(tmp_path / "out"), str(tmp_path / f"asked-{rank}")]
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, *arguments],
            cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate()


def results(out):
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


def figures(summary):
    return [part.model_dump(exclude={"seconds"}) for part in summary.parts]


def reply(request):
    return "yes" if "0" in request.messages[-1].content[-1] else "no"


async def run(task, out, shard=None, script=reply, **options):
    engine = ScriptedEngine(script)
    with RunFolder(out, shard, patience_seconds=0.0) as folder:
        selection = select(load_task(str(task)), shard=shard)
        summary = await evaluate(folder, [selection], engine, Options(("direct",), **options))
    return summary, engine


def test_the_environment_says_which_process_it_is():
    assert find_shard({}) is None
    assert find_shard({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert find_shard({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}) == Shard(3, 4, 1)
    assert find_shard({"RANK": "3", "WORLD_SIZE": "4"}) == Shard(3, 4, 3)
    assert Shard(0, 4, 0).label == "1/4"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "the environment has WORLD_SIZE='two'; expected a whole number"),
        ({"WORLD_SIZE": "2"}, "the environment has RANK=''; expected a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK='-1'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "got RANK 2 and WORLD_SIZE 2; expected RANK from 0 to 1"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment, message):
    with pytest.raises(ConfigError, match=message):
        find_shard(environment)


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_groups_are_dealt_out_whole_and_evenly(task, world_size):
    loaded, dealt = load_task(str(task)), []
    for rank in range(world_size):
        selection = select(loaded, shard=Shard(rank, world_size, rank))
        mine = [sample for sample in selection.samples() if sample.group in selection.share]
        assert selection.n == len(mine)
        assert selection.identity.n == N
        dealt.append(mine)
    groups = [{sample.group for sample in mine} for mine in dealt]
    assert sorted(int(sample.id) for mine in dealt for sample in mine) == list(range(1, N + 1))
    assert sum(map(len, groups)) == len(set.union(*groups)) == 14
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


async def test_shares_come_to_what_one_process_comes_to(task, tmp_path):
    whole, _ = await run(task, tmp_path / "whole")
    first, one = await run(task, tmp_path / "out", FIRST)
    assert first is None
    assert not (tmp_path / "out" / "summary.json").exists()
    second, other = await run(task, tmp_path / "out", SECOND)
    assert figures(second) == figures(whole)
    assert len(one.requests) + len(other.requests) == N
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock", "run.json", "samples.jsonl", "summary.json",
    ]  # fmt: skip
    assert sorted(int(result["id"]) for result in results(tmp_path / "out")) == list(range(1, N + 1))


async def test_a_list_of_runs_sees_shares(task, tmp_path):
    out = tmp_path / "out"
    await run(task, out, FIRST)
    half = open_run(out)
    assert (half.state, half.done, half.total) == ("interrupted", 21, N)
    assert find_runs(tmp_path)[0].look().parts[0].n == 21
    with RunFolder(out, SECOND):
        assert open_run(out).state == "running"
    await run(task, out, SECOND)
    whole = open_run(out)
    assert (whole.state, whole.done, len(list(whole.results()))) == ("finished", N, N)


async def test_what_shares_have_done_again_is_looked_at_once(task, tmp_path):
    out = tmp_path / "out"
    whole, _ = await run(task, out)
    newer = [dict(result, answer="newer") for result in results(out)[:3]]
    share_file(out, 0).parent.mkdir()
    share_file(out, 0).write_text("".join(json.dumps(result) + "\n" for result in newer))
    stored = open_run(out)
    assert [result.answer for result in stored.results()].count("newer") == 3
    assert detail(stored).parts[0].part.n == whole.parts[0].n == N
    chosen = choose(str(out))
    (task_pairs,) = compare(chosen, chosen).tasks
    assert (task_pairs.pairs, task_pairs.only_a) == (N, 0)
    places = [place for place, _ in stored.located()]
    assert [result.id for result in stored.at(places)] == [result.id for result in stored.results()]


async def test_another_number_of_processes_goes_on(task, tmp_path):
    out = tmp_path / "out"
    _, one = await run(task, out, SECOND)
    with share_file(out, 1).open("ab") as file:
        file.write(b'{"task": "mi')
    _, two = await run(task, out, Shard(2, 3, 2))
    summary, three = await run(task, out)
    assert len(one.requests) + len(two.requests) + len(three.requests) == N
    assert 0 < len(two.requests) < N / 3
    assert summary.parts[0].n == N
    assert not (out / "shares").exists()


async def test_errors_of_a_share_are_done_again(task, tmp_path):
    out = tmp_path / "out"

    def broken(request):
        return EngineError("gone") if "Is it 3" in request.messages[-1].content[-1] else "yes"

    await run(task, out, FIRST, broken)
    (part,) = (await run(task, out, SECOND, broken))[0].parts
    assert part.counts["errored"] == 11
    summaries = [await run(task, out, shard, retry_errors=True) for shard in (FIRST, SECOND)]
    assert sum(len(engine.requests) for _, engine in summaries) == 11
    assert summaries[1][0].parts[0].counts["errored"] == 0
    assert len(results(out)) == N


async def test_a_killed_gathering_is_made_whole(task, tmp_path):
    out = tmp_path / "out"
    await run(task, out, FIRST)
    kept = share_file(out, 0).read_bytes()
    whole, _ = await run(task, out, SECOND)
    # As if it had been killed between writing samples.jsonl and removing the shares.
    share_file(out, 0).parent.mkdir()
    share_file(out, 0).write_bytes(kept)
    again, engine = await run(task, out, FIRST)
    assert (figures(again), engine.requests) == (figures(whole), [])
    assert len(results(out)) == N


async def test_others_are_refused(task, tmp_path):
    out = tmp_path / "out"
    with RunFolder(out, FIRST, patience_seconds=0.0), RunFolder(out, SECOND, patience_seconds=0.0):
        with pytest.raises(DataError, match="another process writes the run"):
            RunFolder(out)
        with pytest.raises(DataError, match="another process writes the run"):
            RunFolder(out, Shard(1, 3, 1), patience_seconds=0.0)
    assert not out.exists()
    with RunFolder(out), pytest.raises(DataError, match="another process writes the run"):
        RunFolder(out, FIRST, patience_seconds=0.0)


async def test_another_run_is_refused_also_by_one_of_several(task, tmp_path):
    await run(task, tmp_path / "out", FIRST)
    selection = select(load_task(str(task)), shard=SECOND)
    another = pytest.raises(DataError, match=r"holds another run: strategies was \['direct'\] and is \['cot'\]")
    with RunFolder(tmp_path / "out", SECOND, patience_seconds=0.0) as folder, another:
        await evaluate(folder, [selection], ScriptedEngine(reply), Options(("cot",)))


def test_a_killed_process_is_started_again_and_nothing_is_lost(start, tmp_path):
    processes = [start(0), start(1)]
    file = share_file(tmp_path / "out", 1)
    end = time.monotonic() + 60
    while not (file.exists() and file.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < end, processes[1].communicate()
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGKILL)
    processes[1].communicate()
    out, err = processes[0].communicate(timeout=60)
    assert (out, processes[0].returncode) == ("share done\n", 0), err
    kept = file.read_bytes().count(b"\n")
    assert 3 <= kept < N // 2
    with contextlib.suppress(FileNotFoundError):
        os.unlink(tmp_path / "asked-0")
    again = [start(0), start(1)]
    texts = [process.communicate(timeout=60)[0] for process in again]
    assert "summed up\n" in texts
    assert not (tmp_path / "asked-0").exists()
    ids = [int(result["id"]) for result in results(tmp_path / "out")]
    assert sorted(ids) == list(range(1, N + 1))
    # What was in flight when it was killed may be asked again, and nothing else.
    asked = (tmp_path / "asked-1").read_text().splitlines()
    assert len(set(asked)) <= len(asked) <= len(set(asked)) + 1
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["parts"][0]["n"] == N
