"""`cot eval` with several controls and categories: one command, one table, a run for each control."""

import json

import pytest
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.engine import ScriptedEngine

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
category: kind
metric: exact
"""
PLAN = "1. [count] How many owls are there?\n2. [count] How many cats are there?\nanswer: #1 - #2"
ANSWERS = {"How many owls are there?": "3", "How many cats are there?": "1", "Is there an owl?": "yes"}
COLUMNS = "direct,decompose"


def reply(request):
    if request.messages[-1].content[0].pixels.getpixel((0, 0)) == (128, 128, 128):
        return "no"
    text = request.messages[-1].content[-1]
    if "[count]" in text:
        return PLAN if "How many more" in text else "1. [yes_no] Is there an owl?\nanswer: #1"
    return next((answer for start, answer in ANSWERS.items() if text.startswith(start)), "7")


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs `cot eval` over two images with a question of each of two kinds; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for colour in ("red", "blue"):
        Image.new("RGB", (8, 6), colour).save(f"{colour}.png")
        for kind, question, answer in (
            ("difference", "How many more owls than cats are there?", "2"),
            ("existence", "Is there an owl?", "yes"),
        ):
            rows.append({"kind": kind, "question": question, "answer": answer, "image": f"{colour}.png"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK)
    monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(reply))

    def ran(*arguments):
        code = cot.cli.main(["eval", "task.yaml", "--strategy", COLUMNS, "--out", "out", *arguments])
        return code, *capfd.readouterr()

    return ran


def cells(table):
    """The cells of each line; those of a score and its interval are one."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]


def test_categories_stand_by_strategy_with_intervals_and_tokens(run):
    code, out, err = run()
    assert code == 0, err
    by_category = cells(out.split("\n\n")[1])
    assert by_category[0] == ["task", "category", "n", "direct", "decompose"]
    assert by_category[1] == ["mine", "difference", "2", "0 [0, 66]", "100 [34, 100]"]
    assert by_category[2] == ["mine", "existence", "2", "100 [34, 100]", "100 [34, 100]"]
    assert by_category[3] == ["mine", "all", "4", "50 [15, 85]", "100 [51, 100]"]
    assert [row[1] for row in by_category[4:]] == ["tokens a sample", "faithfulness"]
    assert by_category[5] == ["mine", "faithfulness", "100.0%"]
    categories = json.loads(run("--json")[1])["parts"][0]["categories"]
    assert [(one["category"], one["n"], one["score"]) for one in categories] == [
        ("difference", 2, 1.0), ("existence", 2, 1.0),
    ]  # fmt: skip


def test_a_task_without_categories_has_one_table(run, tmp_path):
    (tmp_path / "task.yaml").write_text(TASK.replace("category: kind\n", ""))
    code, out, _ = run()
    assert code == 0
    assert "\n\n" not in out


def test_several_controls_share_one_table_and_each_is_a_run(run, tmp_path):
    code, out, err = run("--ablate", "none,blank,wrong-image,shuffle-steps")
    assert code == 0, err
    scores, by_category = (cells(table) for table in out.split("\n\n"))
    assert scores[0][:4] == ["task", "strategy", "ablation", "n"]
    assert [row[1:3] for row in scores[1:]] == [
        ["decompose", "none"], ["decompose", "blank"], ["decompose", "wrong-image"], ["decompose", "shuffle-steps"],
        ["direct", "none"], ["direct", "blank"], ["direct", "wrong-image"],
    ]  # fmt: skip
    assert by_category[0] == ["task", "category", "ablation", "n", "direct", "decompose"]
    difference = {row[2]: row[-1] for row in by_category if row[1] == "difference"}
    assert difference == {
        "none": "100 [34, 100]", "blank": "0 [0, 66]", "wrong-image": "100 [34, 100]", "shuffle-steps": "0 [0, 66]",
    }  # fmt: skip
    for control in ("none", "blank", "wrong-image", "shuffle-steps"):
        kept = json.loads((tmp_path / "out" / control / "run.json").read_text())
        assert kept["ablation"] == (None if control == "none" else control)
    assert "blank: skipped" not in err
    code, out, err = run("--ablate", "none,blank,wrong-image,shuffle-steps", "--json")
    assert "blank: skipped: 8 of 8 samples are there already" in err
    found = json.loads(out)
    assert [(one["ablation"], one["out"]) for one in found["runs"]] == [
        (None, "out/none"), ("blank", "out/blank"), ("wrong-image", "out/wrong-image"),
        ("shuffle-steps", "out/shuffle-steps"),
    ]  # fmt: skip


def test_samples_are_looked_at_again_only_where_a_control_begins(run, tmp_path):
    assert run("--ablate", "none,blank")[0] == 0
    (tmp_path / "blue.png").unlink()
    code, out, err = run("--ablate", "none,blank")
    assert code == 0, err
    code, out, err = run("--ablate", "none,random-crop")
    assert (code, out) == (1, "")
    assert f"rows.jsonl, line 3: the image '{tmp_path / 'blue.png'}' does not exist" in err
    assert not (tmp_path / "out" / "random-crop").exists()


def test_one_control_is_the_run_itself(run, tmp_path):
    code, out, err = run("--ablate", "blank")
    assert code == 0
    assert "so these scores are controls" in err
    assert out.split()[:3] == ["task", "strategy", "n"]
    assert (tmp_path / "out" / "run.json").exists()
    code, out, err = run("--ablate", "none,blank")
    assert (code, out) == (1, "")
    assert err == "error: out is a run, and several controls are runs below a folder; name another with --out\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ablate", "none,noise"], "got --ablate noise; expected some of: none, blank, wrong-image, random-crop"),
        (["--ablate", ""], "got --ablate ''; expected some of: none, blank, wrong-image, random-crop"),
        (["--ablate", "blank,blank"], "got --ablate blank,blank; expected each name once"),
        (["--ablate", "none,blank", "--gate", "x.json"], "got --gate and --ablate none,blank; expected one control"),
    ],
)
def test_wrong_controls_are_one_line(run, tmp_path, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()
