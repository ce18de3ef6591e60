"""`cot runs` and `cot compare`: what they print, and what they refuse."""

import json
import re
from pathlib import Path

import pytest
from eval_runs import DIGEST, result, results, write_run

import cot.cli
from cot.evaluate.definition import TaskIdentity

HOSTILE = "\x1b[31mred\u202e[bold]"


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command line among two runs; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a", results("ccwwue"))
    write_run(tmp_path / "runs" / "b", results("cwccuc", usage={"prompt_tokens": 50, "calls": 2}), model="large")

    def ran(*arguments):
        code = cot.cli.main(list(arguments))
        return code, *capfd.readouterr()

    return ran


def test_runs_are_listed_below_runs(run):
    code, out, err = run("runs", "list")
    assert (code, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split()[:3] == ["run", "started", "(UTC)"]
    assert first.split()[:9] == ["runs/b", "2026-01-31", "12:00", "finished", "large", "mine", "direct", "6", "66.7%"]
    assert second.split()[-2:] == ["1", "1"]


def test_the_list_can_be_narrowed_and_read_by_programs(run):
    (found,) = json.loads(run("runs", "list", "--model", "LARGE", "--json")[1])
    assert (found["path"], found["parts"][0]["score"], found["state"]) == ("runs/b", pytest.approx(4 / 6), "finished")
    assert "there are 2 runs; see them all with --limit 0" in run("runs", "list", "--limit", "1")[2]
    assert run("runs", "list", "--task", "pope")[1:] == ("", "no such run in runs; make one with: cot eval TASK\n")
    assert run("runs", "list", "none")[::2] == (
        1, "error: there is no folder none; expected runs in it; make one with: cot eval TASK\n"
    )  # fmt: skip


def test_a_run_is_shown(run):
    code, out, err = run("runs", "show", "runs/a")
    assert (code, err) == (0, "")
    for words in (
        "finished: 6 of 6 results",
        "tiny (float32, none)",
        "max_tokens 64",
        "it is unparsed",
        "it is errored",
    ):
        assert words in out
    assert ["mine", "direct", "count", "3", "33.3%"] in [line.split()[:5] for line in out.splitlines()]
    found = json.loads(run("runs", "show", "runs/a", "--json")[1])
    assert found["parts"][0]["part"]["score"] == 0.4
    assert (found["definition"]["model"], found["state"]) == ("tiny", "finished")


def test_two_runs_are_compared(run):
    code, out, err = run("compare", "runs/a", "runs/b")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["model", "tiny", "->", "large"] in lines
    assert ["mine", "5", "40.0%", "60.0%", "+20.0"] in [line[:5] for line in lines]
    assert "left out of the scores: 1 errored in A" in out
    assert ["prompt", "tokens", "600", "300", "0.50"] in lines
    assert ["seconds", "a", "sample,", "waiting", "included", "0.50", "0.50", "1.00"] in lines
    assert "worse in B (1 of 1):" in out
    assert "better in B (2 of 2):" in out
    assert ["2", "count", "Is", "it", "2?", "yes", "no", "yes"] in lines
    found = json.loads(run("compare", "runs/a", "runs/b", "--json", "--flips", "1")[1])
    assert found["tasks"][0]["overall"]["difference"] == pytest.approx(0.2)
    assert len(found["tasks"][0]["better"]) == 1


def test_each_of_two_runs_is_opened_once(run, monkeypatch):
    opened, read = [], Path.open

    def noted(path, *arguments, **options):
        opened.append(str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", noted)
    assert run("compare", "runs/a:direct", "runs/b")[0] == 0
    assert [opened.count(f"runs/{name}/run.json") for name in "ab"] == [1, 1]


def test_lines_end_with_their_last_word_and_numbers_after_three_places(run, tmp_path):
    settings = {"max_tokens": 64, "max_seconds": 1234567.5, "tuning: keep": 0.7197613187783665}
    write_run(tmp_path / "c", [*results("cw"), result(2, "errored", explanation="long " * 90)], settings=settings)
    for arguments in (["runs", "list", "."], ["runs", "show", "c"], ["compare", "c", "runs/b"]):
        out = run(*arguments)[1]
        assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert "max_tokens 64, max_seconds 1234567.5, tuning: keep 0.72\n" in run("runs", "show", "c")[1]


def test_hostile_text_is_shown_as_plain_text(run, tmp_path):
    for name, status in (("c", "correct"), ("d", "wrong")):
        made = [result(0, status, question=HOSTILE, answer=HOSTILE, category=HOSTILE, explanation=HOSTILE)]
        write_run(tmp_path / name, [*made, result(1, "errored", explanation=HOSTILE)], model=HOSTILE)
    for arguments in (["runs", "list", "."], ["runs", "show", "c"], ["compare", "c", "d"]):
        code, out, err = run(*arguments)
        assert code == 0, err
        assert "red[bold]" in out
        assert not set(out) & set("\x1b\u202e")


def test_hostile_names_of_tasks_and_long_values_that_differ_are_shown(run, tmp_path):
    for name, model in (("c", "one"), ("d", "two")):
        write_run(tmp_path / name, results("c", task=HOSTILE), model=f"/home/{'long/' * 20}{model}/model")
    code, out, err = run("compare", "c", "d")
    assert (code, set(out) & set("\x1b\u202e")) == (0, set()), err
    assert re.search("model +….*/one/model -> ….*/two/model\n", out)


def test_who_judged_and_what_that_took_is_shown(run, tmp_path):
    judge = {"model": "strict", "revision": None, "dtype": "float32", "quantization": "nf4", "templates": {}}
    judged = {
        "status": "judged",
        "verdict": "correct",
        "usage": {"calls": 1, "prompt_tokens": 50, "completion_tokens": 2},
    }
    write_run(tmp_path / "c", [result(0, judge=judged), result(1, judge=judged), result(2, "unparsed")], judge=judge)
    out = run("runs", "show", "c")[1]
    assert re.search("judge +strict \\(float32, nf4\\): 2 calls, 100 tokens in, 4 out\n", out)
    assert "judge" not in run("runs", "show", "runs/b")[1]


def test_the_limit_of_a_run_is_shown(run, tmp_path):
    task = TaskIdentity(name="mine", version=1, sha256=DIGEST, data_sha256=DIGEST, n=2, limit=2, shots=4)
    write_run(tmp_path / "c", results("cc"), tasks=[task])
    assert "limit 2, shots 4" in run("runs", "show", "c")[1]
    code, _, err = run("runs", "show", str(write_run(tmp_path / "d", results("c"), tasks=[])))
    assert (code, err) == (0, "")


def test_why_a_run_cannot_be_read_and_what_is_a_control_is_listed(run, tmp_path):
    write_run(tmp_path / "runs" / "c", results("cc"), ablation="blank")
    with (tmp_path / "runs" / "b" / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / "run.json").write_text("{}\n")
    _, out, err = run("runs", "list")
    listed = {line.split()[0]: line for line in out.splitlines()}
    # Why is said below the table, which it would make so wide that nothing else has room.
    assert listed["runs/b"].split()[-3:] == ["unreadable", "large", "mine"]
    assert listed["runs/d"].split() == ["runs/d", "unreadable"]
    assert re.search("^unreadable: runs/b/samples.jsonl, line 7: no result of a sample", err, re.MULTILINE)
    assert re.search("^unreadable: runs/d/run.json is not what this version of cot reads", err, re.MULTILINE)
    assert "direct, blank" in listed["runs/c"]


def test_a_folder_whose_name_is_no_text_is_read(run, tmp_path):
    (tmp_path / "runs" / "b").rename(tmp_path / "runs" / "b\udcff")
    for arguments in (["runs", "list", "--json"], ["runs", "show", "runs/b\udcff", "--json"],
                      ["compare", "runs/a", "runs/b\udcff", "--json"]):  # fmt: skip
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "runs/b\udcff" in json.dumps(json.loads(out), ensure_ascii=False)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare", "runs/a", "runs/none"], 1, "no run at 'runs/none'; expected a folder with run.json"),
        (["compare", "runs/two", "runs/none"], 1, "no run at 'runs/none'; expected a folder with run.json"),
        (["compare", "runs/two", "runs/a"], 2, "'runs/two' has the strategies direct, cot; expected one of them"),
        (["compare", "runs/a", ""], 2, "got no text; expected the folder of a run, or FOLDER:STRATEGY"),
        (["report", "", "--md", "-"], 2, "got no text; expected the folder of a run, or FOLDER:STRATEGY"),
        (["compare", "runs/a:vote", "runs/b"], 2, "got the strategy 'vote' of 'runs/a'; expected one of: direct"),
        (["runs", "show", "runs"], 1, "no run at 'runs'"),
    ],
)
def test_a_wrong_command_line_is_one_line(run, tmp_path, arguments, code, message):
    write_run(tmp_path / "runs" / "two", [*results("c"), result(1, "wrong", strategy="cot")])
    found, out, err = run(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"error: {message}")
