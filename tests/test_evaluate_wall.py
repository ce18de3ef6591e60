"""The wall clock of a run: of all its starts, without the pauses between them."""

import json
from array import array

import pytest
from eval_runs import result, results, write_run
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.compare import choose, compare, detail
from cot.compare.stored import open_run
from cot.engine import ScriptedEngine
from cot.evaluate.wall import Times


def at(number, begun, ended, **fields):
    return result(number, begun_at=begun, ended_at=ended, **fields)


@pytest.mark.parametrize(
    ("moments", "seconds"),
    [
        ([], None),
        ([(5.0, 7.5)], 2.5),
        ([(5.0, 7.0), (6.0, 9.0)], 4.0),
        ([(5.0, 7.0), (107.0, 108.0)], 3.0),
        # The first took longer than all that were begun meanwhile; and the order is that in which they were finished.
        ([(2.0, 3.0), (4.0, 5.0), (1.0, 9.0), (20.0, 21.0)], 9.0),
        # A clock that was put back.
        ([(5.0, 4.0), (6.0, 7.0)], 1.0),
        ([(5.0, 7.0), (None, None)], None),
    ],
)
def test_time_in_which_something_was_worked_on(moments, seconds):
    times = Times()
    for number, moment in enumerate(moments):
        times.add(at(number, *moment))
    assert times.wall_seconds() == seconds


def test_of_some_results():
    times = Times()
    for number in range(4):
        times.add(at(number, 10.0 * number, 10.0 * number + number))
    assert times.wall_seconds(array("q", [3, 1])) == 4.0


def test_a_run_that_goes_on_has_the_time_of_all_its_starts(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"q": "Is it {n}?"}}\n' for n in range(3)))
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndata: {loader: jsonl, path: rows.jsonl}\nquestion: q\nanswers: '\"yes\"'\n"
        "images: '\"red.png\"'\nmetric: exact\n"
    )
    monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(lambda request: "yes"))
    command = ["eval", "task.yaml", "--strategy", "direct", "--out", "out", "--json"]
    assert cot.cli.main(command) == 0
    capfd.readouterr()
    lines = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert all(1e9 < line["begun_at"] <= line["ended_at"] for line in lines)
    for line, begun in zip(lines, (1000.0, 1001.0, 9000.0), strict=True):
        line |= {"begun_at": begun, "ended_at": begun + 2}
    (tmp_path / "out" / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cot.cli.main(command) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["wall_seconds"] == 5.0
    assert "wall clock: 5.0 s, 0.6 samples/s\n" in err
    assert detail(open_run(tmp_path / "out")).wall_seconds == 5.0
    assert cot.cli.main(["runs", "show", "out"]) == 0
    assert "wall clock  5.0 s, 0.6 samples/s" in capfd.readouterr().out


def test_runs_are_compared_by_the_time_of_their_pairs(tmp_path, capfd):
    a = write_run(tmp_path / "a", [at(number, 100.0 * number, 100.0 * number + 2) for number in range(3)])
    b = write_run(tmp_path / "b", [at(number, 0.0, 3.0) for number in range(2)])
    (task,) = compare(choose(str(a)), choose(str(b))).tasks
    assert (task.cost_a.wall_seconds, task.cost_b.wall_seconds) == (4.0, 3.0)
    assert cot.cli.main(["compare", str(a), str(b)]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("seconds of wall clock ")]
    assert line.split()[-3:] == ["4.00", "3.00", "0.75"]


def test_strategies_that_share_a_run_have_no_time_of_their_own(tmp_path, capfd):
    a = write_run(tmp_path / "a", [at(0, 0.0, 1.0), at(0, 1.0, 2.0, strategy="cot")])
    (task,) = compare(choose(f"{a}:direct"), choose(f"{a}:cot")).tasks
    assert (task.cost_a.wall_seconds, task.cost_b.wall_seconds) == (None, None)
    old = write_run(tmp_path / "old", results("c"))
    assert cot.cli.main(["compare", str(old), f"{a}:cot"]) == 0
    assert "wall clock" not in capfd.readouterr().out
