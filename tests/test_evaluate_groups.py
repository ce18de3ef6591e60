"""Scores of groups of samples: from the task file to the summary, the tables, a comparison and a report."""

import asyncio
import json

import pytest
from PIL import Image

from cot.cli.eval_table import score_table
from cot.compare import choose, compare
from cot.engine import ScriptedEngine
from cot.errors import DataError, EngineError, TaskError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.report.collect import collect
from cot.report.lm_eval import lm_eval_results
from cot.report.markdown import markdown
from cot.report.page import report_page
from cot.task import load_task

TASK = """
name: pairs
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: '"yes"'
images: image
id: id
metric: pope
group_scores:
  fAcc: '[set, figure] | join("_")'
  qPair: 'set ~ "_" ~ number if set != "c" else ""'
"""


@pytest.fixture
def task(tmp_path):
    """Sets a, b, c of two figures with two questions each; question 0 of a figure is asked of the other too."""
    rows = []
    for name in "abc":
        for figure in "01":
            Image.new("RGB", (8, 6), "red").save(tmp_path / f"{name}{figure}.png")
            for number in "01":
                key = f"{name}{figure}{number}"
                row = {"id": key, "question": f"Is it {key}?", "set": name, "figure": figure, "number": number}
                rows.append({**row, "image": f"{name}{figure}.png"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK)
    return load_task(str(tmp_path / "task.yaml"))


def run(task, out, wrong=(), errored=()):
    def reply(request):
        asked = str(request.messages[-1].content[-1])
        if any(f"Is it {one}?" in asked for one in errored):
            return EngineError("gone")
        return "no" if any(f"Is it {one}?" in asked for one in wrong) else "yes"

    with RunFolder(out) as folder:
        return asyncio.run(evaluate(folder, [select(task)], ScriptedEngine(reply), Options(("direct",))))


def scores(summary):
    (part,) = summary.parts
    return {one.name: one for one in part.group_scores}


def test_a_group_counts_where_every_sample_is_correct(task, tmp_path):
    found = scores(run(task, tmp_path / "run", wrong=("a00",)))
    figures, pairs = found["fAcc"], found["qPair"]
    assert (figures.n, figures.scored, figures.right, figures.interval_method) == (6, 6, 5, "wilson")
    # Set c is in no pair. Pairs of a set share its figures, so that they are no independent samples.
    assert (pairs.n, pairs.right, pairs.score, pairs.interval_method) == (4, 3, 0.75, "clustered_bootstrap")
    assert pairs.interval[0] <= 0.75 <= pairs.interval[1]
    lines = map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())
    groups = {line["id"]: line["in_groups"] for line in lines}
    assert (groups["a01"], groups["c01"]) == ({"fAcc": "a_0", "qPair": "a_1"}, {"fAcc": "c_0"})


def test_a_group_of_which_a_sample_errored_has_no_score(task, tmp_path):
    summary = run(task, tmp_path / "run", wrong=("b00",), errored=("a00",))
    assert [(one.n, one.scored, one.right) for one in scores(summary).values()] == [(6, 5, 4), (4, 3, 2)]
    line = next(line for line in score_table([summary]).splitlines() if "pairs: fAcc" in line)
    assert line.split() == ["pairs:", "fAcc", "direct", "6", "80.0%", "[37.6,", "96.4]", "4", "1", "1"]


def test_two_runs_are_paired_by_group(task, tmp_path):
    run(task, tmp_path / "first", wrong=("a00", "b00"))
    run(task, tmp_path / "second", wrong=("b00", "c11"), errored=("c00",))
    (found,) = compare(choose(str(tmp_path / "first")), choose(str(tmp_path / "second"))).tasks
    figures, pairs = found.group_scores
    # Figure c0 errored in the second run. a0 became right, c1 wrong; b0 is wrong in both.
    assert (figures.name, figures.n, figures.better, figures.worse, figures.difference) == ("fAcc", 5, 1, 1, 0.0)
    assert (pairs.name, pairs.n, pairs.a, pairs.b, pairs.better) == ("qPair", 4, 0.5, 0.75, 1)
    assert pairs.interval[0] <= pairs.difference <= pairs.interval[1]


def test_reports_have_them(task, tmp_path):
    run(task, tmp_path / "first", wrong=("a00",))
    run(task, tmp_path / "second")
    report = collect([choose(str(tmp_path / name)) for name in ("first", "second")])
    text, page = markdown(report), report_page(report, images=False)
    assert "| pairs: qPair | scripted | 4 | 75.0% |" in text
    assert "| pairs: qPair | 4 | 75.0% | 100.0% | +25.0 |" in text
    assert page.count("pairs: fAcc") == 3
    one = collect([choose(str(tmp_path / "first"))])
    assert lm_eval_results(one)["results"]["pairs"]["qPair,direct"] == 0.75


def test_data_in_other_groups_is_other_data(task, tmp_path):
    before = select(task).identity.data_sha256
    rows = (tmp_path / "rows.jsonl").read_text().replace('"number": "1"', '"number": "2"')
    (tmp_path / "rows.jsonl").write_text(rows)
    assert select(load_task(str(tmp_path / "task.yaml"))).identity.data_sha256 != before


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("group_scores: {x y: id}", TaskError, "group_scores"),
        ("group_scores: {x: '[set'}", TaskError, "group_scores x: '\\[set' is no expression"),
        ("group_scores: {x: '[set]'}", DataError, "group_scores x is a list; expected text"),
        ("group_scores: {x: missing}", DataError, "missing"),
    ],
)
def test_a_group_score_that_cannot_be_is_told(task, tmp_path, line, error, message):
    (tmp_path / "task.yaml").write_text(TASK.split("group_scores")[0] + line)
    with pytest.raises(error, match=message):
        list(load_task(str(tmp_path / "task.yaml")).samples())
