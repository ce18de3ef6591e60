"""`cot eval`, and docs/tasks.md from its first line to its last."""

import csv
import json
import re
import shlex
import zlib
from pathlib import Path

import pytest
from eval_runs import results
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.cli.eval_tasks import check_data
from cot.engine import ScriptedEngine
from cot.errors import EngineError, UsageError


def reply(request):
    text = request.messages[-1].content[-1]
    return "cat" if "animal" in text else "2" if "How many" in text else "yes"


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command line with a scripted model; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def ran(*arguments, script=reply):
        monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(script))
        code = cot.cli.main(["eval", *arguments])
        return code, *capfd.readouterr()

    return ran


@pytest.fixture
def guide(root, tmp_path):
    """Saves what docs/tasks.md saves, with the pictures that it names; gives the commands."""
    text = (root / "docs" / "tasks.md").read_text()
    for name, block in re.findall(r"as\s`([\w/.-]+)`[^`]*?:\n\n((?:    .*\n|\n)+)", text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(line[4:] + "\n" for line in block.rstrip("\n").split("\n")))
        if path.suffix == ".csv":
            for row in csv.DictReader(path.read_text().splitlines()):
                colour = zlib.crc32(row["image"].encode()).to_bytes(4)[:3]
                Image.new("RGB", (8, 6), tuple(colour)).save(path.parent / row["image"])
    for name, block in re.findall(r"to\sthe\send\sof\s`([\w/.-]+)`:\n\n((?:    .*\n|\n)+)", text):
        with (tmp_path / name).open("a") as file:
            file.writelines(line[4:] + "\n" for line in block.rstrip("\n").split("\n"))
    for kind in ("cat", "dog"):
        (tmp_path / "animals" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 6), "red").save(tmp_path / "animals" / kind / "1.png")
    return [shlex.split(line) for line in re.findall(r"^    \$ cot eval (.*)$", text, re.MULTILINE)]


def test_every_command_of_the_guide_runs(run, guide, root):
    assert len(guide) == 6
    for command in guide:
        code, out, err = run(*command)
        assert code == 0, err
        assert out
    assert "skipped: 6 of 6 samples" in run(*guide[1])[2]
    assert run(*guide[0])[1].strip() in (root / "docs" / "tasks.md").read_text()


def test_the_group_score_of_the_guide_is_one_of_its_task(run, guide, root, tmp_path):
    section = (root / "docs" / "tasks.md").read_text().split("### Scores of groups\n")[1].split("\n###")[0]
    with (tmp_path / "photos" / "task.yaml").open("a") as file:
        file.writelines(line[4:] + "\n" for line in section.splitlines() if line.startswith("    "))
    code, out, _ = run("photos/task.yaml", "--strategy", "direct", "--out", "a")
    assert code == 0
    assert out.splitlines()[2].split()[:5] == ["photos:", "consistent", "direct", "2", "50.0%"]


def test_the_table_and_the_object(run, guide, tmp_path):
    code, out, err = run("photos/task.yaml", "--strategy", "direct", "--out", "a")
    assert code == 0
    head, row = out.splitlines()
    assert head.split()[:5] == ["task", "strategy", "n", "score", "95%"]
    assert row.split()[:4] == ["photos", "direct", "3", "66.7%"]
    assert "run: a" in err
    code, out, err = run("photos/task.yaml", "--strategy", "direct", "--out", "a", "--json", "--quiet")
    found = json.loads(out)
    assert (code, err, found["out"], found["complete"]) == (0, "", "a", True)
    assert found["parts"][0]["counts"]["correct"] == 2
    assert "unparsed" in found["score_definition"].lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["popes"], "unknown task 'popes', did you mean 'pope'?"),
        (
            ["photos/task.yaml", "--strategy", "direct,magic"],
            "unknown strategy 'magic'; known: direct",
        ),
        (["photos/task.yaml", "--strategy", ""], "unknown strategy ''"),
        (["photos/task.yaml", "--strategy", "cot,cot"], "expected at least one, each once, of: direct"),
        (["photos/task.yaml", "--concurrency", "0"], "got --concurrency 0"),
        (["photos/task.yaml", "--limit", "0"], "got --limit 0; expected a whole number of at least 1"),
        (["photos/task.yaml", "--limit", "9" * 30], "got --limit 9999"),
        (["photos/task.yaml", "--shuffle"], "--shuffle without --limit"),
        (
            ["scenes", "--limit", "1", "--data", "photos"],
            "got --data photos; expected a task whose data has a relative path",
        ),
        (["scenes", "shapes", "--check", "--data", "photos"], "that of scenes, shapes has none; leave --data out"),
        (["photos/task.yaml", "--data", ""], "got no text; expected a path"),
        (["photos/task.yaml", "--gate", ""], "got no text; expected a path"),
    ],
)
def test_a_wrong_command_line_is_one_line(run, guide, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert message in err


def test_nothing_scored_exits_1(run, guide):
    code, out, err = run("photos/task.yaml", "--strategy", "direct", "--out", "a", script=lambda r: EngineError("gone"))
    assert code == 1
    assert "3 samples errored" in err
    assert " - " in out


def test_interrupted_it_can_go_on(run, guide):
    count = []

    def script(request):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return "yes"

    arguments = ["photos/task.yaml", "--strategy", "direct", "--out", "a", "--concurrency", "1"]
    code, out, err = run(*arguments, script=script)
    assert (code, out) == (130, "")
    assert "1 of 3 samples is in a; the same command goes on" in err
    assert "Traceback" not in err
    code, out, err = run(*arguments)
    assert code == 0
    assert "skipped: 1 of 3" in err
    assert len(Path("a/samples.jsonl").read_text().splitlines()) == 3


def test_progress_has_rate_score_and_time_left(run, guide, monkeypatch):
    from cot.cli import eval_output

    monkeypatch.setattr(eval_output, "SECONDS_BETWEEN_LINES", 0.0)
    err = run("photos/task.yaml", "--strategy", "direct", "--out", "a", "--concurrency", "1")[2]
    assert re.search(r"2/3 [\d.]+/s 0:0\d left photos direct \d+\.\d% \[", err)


def test_the_time_left_is_told_once_there_is_something_to_go_by(monkeypatch, capfd):
    """Loading and the first batch take 60 s, and each further batch of four samples two: two samples a second."""
    from cot.cli import eval_output

    now = 100.0
    monkeypatch.setattr(eval_output, "SECONDS_BETWEEN_LINES", 1.0)
    monkeypatch.setattr(eval_output.time, "monotonic", lambda: now)
    output = eval_output.EvalOutput(as_json=True, quiet=False, concurrency=4)
    output.started(206, 100)
    for made, later in zip(results("cwcwcwcwcwcw"), (60, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0), strict=True):
        now += later
        output.finished(made)
    told = re.findall(r"^(\d+)/206 (.*)mine", capfd.readouterr().err, re.MULTILINE)
    assert told == [("101", ""), ("105", "2.0/s 0:50 left "), ("109", "2.0/s 0:48 left ")]


def test_what_is_asked_in_english_in_spite_of_a_language_is_told(run, guide, root, tmp_path):
    command = ["photos/task.yaml", "--strategy", "direct", "--language"]
    assert "note: there are no templates in 'fr'; all is asked in English\n" in run(*command, "fr", "--out", "a")[2]
    for language in ("zh", "en"):
        assert "English" not in run(*command, language, "--out", language)[2]
    own = tmp_path / "prompts" / "de" / "direct" / "answer.jinja"
    own.parent.mkdir(parents=True)
    own.write_text((root / "prompts" / "direct" / "answer.jinja").read_text())
    err = run(*command, "de", "--out", "b")[2]
    assert f"note: templates in {tmp_path / 'prompts'} come before the shipped ones\n" in err
    assert "note: without a translation into 'de', and asked in English: cot/answer, cot/reason, decompose/" in err
    assert "direct/answer" not in err


def test_a_run_of_more_tasks_says_which_they_were(run, guide):
    command = ["--strategy", "direct", "--out", "a"]
    assert run("photos/task.yaml", "animals.yaml", *command)[0] == 0
    told = "error: a holds another run: tasks was ['animals', 'photos'] and is ['photos']; run it as it was, or name"
    assert run("photos/task.yaml", *command)[2].startswith(told)


def test_check_looks_at_the_data_and_asks_nothing(run, guide, tmp_path):
    def script(request):
        raise AssertionError("a model was asked")

    code, out, err = run("photos/task.yaml", "--check", script=script)
    assert (code, err) == (0, "")
    assert out == "photos: 3 samples; the first: 'How many owls are there?' -> ['2']\n"
    assert not (tmp_path / "runs").exists()
    (tmp_path / "photos" / "porch.png").write_bytes(b"no image")
    code, out, err = run("photos/task.yaml", "--check", script=script)
    assert code == 1
    assert "questions.csv, line 2: image " in err
    assert out.startswith("photos: 3 samples, 1 image cannot be opened; the first")
    (tmp_path / "photos" / "porch.png").unlink()
    code, out, err = run("photos/task.yaml", "--check", script=script)
    assert code == 1
    assert out == "photos: 2 rows are wrong\n"
    assert err.count("porch.png' does not exist") == 2
    Image.new("RGB", (8, 6)).save(tmp_path / "photos" / "porch.png")
    (tmp_path / "photos" / "street.png").unlink()
    assert run("photos/task.yaml", "--check", script=script)[1] == "photos: 1 row is wrong\n"


@pytest.mark.parametrize(
    ("more", "named"),
    [(["--gate", "gone.json"], "--gate"), (["--json"], "--json"), (["--gate", "x", "--json"], "--gate and --json")],
)
def test_check_refuses_what_it_does_not_look_at(run, guide, more, named):
    code, out, err = run("photos/task.yaml", "--check", *more)
    assert (code, out) == (2, "")
    assert err == f"error: got --check with {named}; expected --check without: it asks nothing, and tells in words\n"


def test_check_tells_what_is_missing_of_every_task(run, guide, tmp_path):
    with (tmp_path / "photos" / "task.yaml").open("a") as file:
        file.write("published_n: 4\n")
    code, out, err = run("gone.yaml", "pope", "photos/task.yaml", "--check", "--data", "photos")
    assert code == 2
    assert out.startswith("photos: 3 samples, and not the 4 that are published; the first")
    assert "error: gone.yaml is no file" in err
    assert f"error: pope: {tmp_path / 'photos' / 'coco_pope_random.json'} does not exist" in err
    assert "--data; what it needs: POPE, random negatives. Put coco_pope_random.json of https://github.com/" in err
    assert run("photos/task.yaml", "--check", "--limit", "2")[0] == 0


def test_a_folder_of_data_is_refused_where_no_task_reads_it(tmp_path):
    hub, fixed, both = (tmp_path / f"{name}.yaml" for name in ("hub", "fixed", "both"))
    row = "name: a\nversion: 1\nquestion: q\nanswers: a\nimages: i\nmetric: exact\n"
    hub.write_text(f"{row}data: {{loader: hugging-face, path: 'hf://owner/name'}}\n")
    fixed.write_text(f"{row}data: {{loader: csv, path: '{tmp_path / 'rows.csv'}'}}\n")
    both.write_text(f"{hub.read_text()}shots: {{data: {{loader: csv, path: examples.csv}}}}\n")
    with pytest.raises(UsageError, match=f"got --data mine; expected .* that of scenes, {hub}, {fixed} has none"):
        check_data(["scenes", str(hub), str(fixed)], Path("mine"))
    for names in (["scenes", "pope"], [str(both)], ["gone.yaml"]):
        check_data(names, Path("mine"))
    check_data(["scenes"], None)


def test_a_task_without_its_data_tells_where_that_is_from(run):
    code, out, err = run("pope", "--limit", "5")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.endswith("COCO's folder val2014 into one folder, and name it with --data.\n")
    assert "what it needs: POPE, random negatives. Put coco_pope_random.json of https://github.com/" in err


def test_a_name_that_is_a_folder_is_told_the_task_in_it(run, guide):
    for name in ("photos", "photos/task"):
        assert f"unknown task '{name}', did you mean 'photos/task.yaml'?" in run(name)[2]


def test_a_run_is_told_of_only_once_it_begins(run, guide, monkeypatch, capfd):
    def refuse(settings):
        raise EngineError("no such device")

    command = ["photos/task.yaml", "--strategy", "direct", "--out", "a"]
    assert run(*command)[2].startswith("run: a\n")
    assert run(*command, "--judge-model", "embedded")[2].startswith("error: got --judge-model, and none")
    assert run(*command, "--seed", "1")[2].startswith("error: a holds another run")
    monkeypatch.setattr(eval_run, "load_engine", refuse)
    assert cot.cli.main(["eval", *command]) == 1
    assert capfd.readouterr().err == "error: no such device\n"
    assert cot.cli.main(["eval", *command, "--limit", "2"]) == 1
    refused = "error: a holds another run: --limit of photos was not given and is 2; run it as it was"
    assert capfd.readouterr().err.startswith(refused)


def test_nothing_is_said_of_a_run_that_cannot_begin(run, guide, tmp_path):
    (tmp_path / "photos" / "porch.png").unlink()
    code, out, err = run("photos/task.yaml", "--out", "a")
    assert (code, out, err.count("\n"), Path("a").exists()) == (1, "", 1, False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "got --judge-model ''; expected the name of a model, as for --model"),
        (" ", "got --judge-model ' '; expected the name of a model"),
        ("nothing", "no model folder at 'nothing'"),
    ],
)
def test_a_judge_that_is_not_there_is_told_before_anything_is_loaded(run, guide, monkeypatch, capfd, name, said):
    monkeypatch.setattr(eval_run, "load_engine", lambda settings: pytest.fail("a model is loaded"))
    task = Path("photos/task.yaml")
    task.write_text(re.sub(r"^metric:\n(?:  .*\n)*", "metric: judge\n", task.read_text(), flags=re.MULTILINE))
    code = cot.cli.main(["eval", "photos/task.yaml", "--judge-model", name, "--out", "a"])
    assert (code, capfd.readouterr().err.startswith(f"error: {said}")) == (2, True)


def test_a_model_that_is_not_there_is_told_before_any_sample_is_looked_at(run, guide, tmp_path):
    (tmp_path / "photos" / "porch.png").unlink()
    code, out, err = run("photos/task.yaml", "--model", "nothing", "--out", "a")
    assert (code, out, err.startswith("error: no model folder at 'nothing'")) == (2, "", True)
    assert not Path("a").exists()
