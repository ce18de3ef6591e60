"""`cot eval SUITE` and `--gate`."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.engine import ScriptedEngine
from cot.engine.scripted import SCRIPTED_INFO

TASK = """
name: {name}
version: 1
data: {{loader: jsonl, path: {name}.jsonl}}
question: question
answers: answer
images: image
metric: exact
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command line in a folder with the tasks `first` and `second`, of 20 and 10 samples."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    for name, n in (("first", 20), ("second", 10)):
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name))
        rows = ({"question": f"{name} {k}?", "answer": "yes", "image": "red.png"} for k in range(n))
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def ran(*arguments, right=lambda question: True):
        def script(request):
            question = request.messages[-1].content[-1].split("?")[0].split()[-2:]
            return "yes" if right((question[0], int(question[1]))) else "no"

        monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(script))
        code = cot.cli.main(["eval", *arguments, "--quiet"])
        return code, *capfd.readouterr()

    return ran


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """The suite `both`, with the first five of `second`."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "both.yaml").write_text(
        "name: both\nstrategies: [direct, cot]\ntasks: {first.yaml: null, second.yaml: 5}\n"
    )
    monkeypatch.setattr("cot.task.suite.suites_folder", lambda: tmp_path / "suites")
    monkeypatch.setattr("cot.task.suite.suite_names", lambda: ("both",))


def parts(out):
    return [(part["task"], part["strategy"], part["n"]) for part in json.loads(out)["parts"]]


def test_a_suite_runs_its_tasks_with_its_limits_and_strategies(run, suite):
    code, out, _ = run("both", "--json")
    assert code == 0
    assert parts(out) == [("first", "cot", 20), ("first", "direct", 20), ("second", "cot", 5), ("second", "direct", 5)]
    _, out, _ = run("both", "--strategy", "direct", "--limit", "3", "--json")
    assert parts(out) == [("first", "direct", 3), ("second", "direct", 3)]


@pytest.fixture
def baseline(run):
    """Half of `first` right, all of `second`: intervals [30, 70] and [72, 100]."""
    code, _, _ = run("first.yaml", "second.yaml", "--strategy", "direct", "--out", "b", right=half_of_first)
    assert code == 0
    return "b/summary.json"


def half_of_first(question):
    name, number = question
    return name == "second" or number % 2 == 0


def test_the_same_scores_pass(run, baseline):
    code, _, err = run("first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline, right=half_of_first)
    assert (code, err) == (0, "")


def test_a_score_below_its_interval_fails_and_is_named(run, baseline):
    code, out, err = run(
        "first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline,
        right=lambda question: question[0] == "second" or question[1] < 5,
    )  # fmt: skip
    assert code == 1
    assert err == "gate: first direct fell to 25.0%; the baseline is 50.0% [29.9, 70.1]\n"
    assert "second" in out


def test_the_last_bit_of_a_sum_fails_nothing(run, baseline):
    kept = json.loads(Path(baseline).read_text())
    for part in kept["parts"]:
        part["interval"] = [part["score"] + 1e-12, 1.0 + 1e-12]
    Path(baseline).write_text(json.dumps(kept))
    code, _, err = run("first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline, right=half_of_first)
    assert (code, err) == (0, "")


def test_two_tasks_of_one_name_are_refused(run, tmp_path):
    (tmp_path / "again.yaml").write_text((tmp_path / "first.yaml").read_text())
    code, _, err = run("first.yaml", "again.yaml", "--strategy", "direct")
    assert (code, "two of the tasks are called 'first'" in err) == (2, True)


def test_a_score_of_fewer_samples_fails(run, baseline):
    def right(question):
        if question[1] == 0 and question[0] == "second":
            raise ValueError("a fault")
        return half_of_first(question)

    code, _, err = run("first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline, right=right)
    assert code == 1
    assert "gate: second direct has a score of 9 samples; the baseline has one of 10: 1 errored" in err
    assert "1 errored; --retry-errors does 1 again" in err


def test_a_lower_score_within_the_interval_passes(run, baseline):
    code, _, err = run(
        "first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline,
        right=lambda question: question[1] < 8,
    )  # fmt: skip
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first.yaml"], "the baseline has second direct, which is not run"),
        (["first.yaml", "second.yaml", "--limit", "5"], "the baseline has 20 samples of first, and not those 5"),
        (["first.yaml", "second.yaml", "--ablate", "blank"], "with the ablation None, and this run is with blank"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_it_is_run(run, baseline, tmp_path, arguments, message):
    code, out, err = run(*arguments, "--strategy", "direct", "--gate", baseline, "--out", "now")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "now").exists()


def test_a_baseline_that_is_none(run, tmp_path, root):
    for name, text in (("gone.json", None), ("other.json", (root / "evals/baselines/families.json").read_text())):
        if text:
            (tmp_path / name).write_text(text)
        code, _, err = run("first.yaml", "--gate", name)
        assert code == 2
        assert err.startswith(f"error: got --gate {name}, which ")
        assert "summary.json" in err
        assert "Errno" not in err


@pytest.mark.parametrize(
    ("score", "said"), [(None, "which has no score with an interval for"), (float("nan"), "which is no summary.json")]
)
def test_a_baseline_with_a_score_that_is_none_lets_nothing_pass(run, baseline, tmp_path, score, said):
    kept = json.loads((tmp_path / baseline).read_text())
    kept["parts"][0]["score"] = score
    (tmp_path / baseline).write_text(json.dumps(kept))
    code, out, err = run("first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline)
    assert (code, out) == (2, "")
    assert said in err


def test_a_task_without_a_score_is_below_the_gate(run, baseline, tmp_path):
    (tmp_path / "red.png").write_bytes(b"no image")
    code, _, err = run("first.yaml", "second.yaml", "--strategy", "direct", "--gate", baseline)
    assert code == 1
    assert "gate: first direct has no score; the baseline is 50.0%" in err


def test_a_baseline_by_another_judge_is_refused_before_anything_is_asked(run, tmp_path, monkeypatch, capfd):
    (tmp_path / "first.yaml").write_text(TASK.format(name="first").replace("exact", "judge"))
    arguments = ("first.yaml", "--strategy", "direct", "--limit", "5")
    asked = []

    def load(settings):
        """Named as it is asked for; a judge says that all is correct."""

        def script(request):
            asked.append(settings.model)
            return "yes" if settings.model == "embedded" else "correct"

        return ScriptedEngine(script, info=dataclasses.replace(SCRIPTED_INFO, model=settings.model))

    monkeypatch.setattr(eval_run, "load_engine", load)
    monkeypatch.setattr(eval_run, "check_model", lambda settings: None)

    def judged(by, *more):
        asked.clear()
        return cot.cli.main(["eval", *arguments, "--judge-model", by, "--quiet", *more])

    assert judged("strict", "--out", "b") == 0
    kept = Path("b/summary.json")
    assert json.loads(kept.read_text())["judge"]["model"] == "strict"
    assert judged("strict", "--gate", str(kept)) == 0
    assert asked.count("strict") == 5
    assert judged("kind", "--gate", str(kept), "--out", "now") == 2
    assert (asked, (tmp_path / "now").exists()) == ([], False)
    summary = json.loads(kept.read_text())
    other = summary["judge"] | {"templates": {"judge/verdict": "0" * 64}}
    for judge, said in (
        (other, "judged by strict with another judge/verdict than this run"),
        (summary["judge"] | {"quantization": "nf4"}, "judged by strict of the quantization nf4, and this run is"),
        (summary["judge"] | {"revision": "a1"}, "revision a1, and this run is by the revision that is not told"),
        (summary["judge"] | {"dtype": "int4"}, "expected a --device that gives it the same, or make a new baseline"),
        (None, "the baseline does not say who judged its answers"),
    ):
        kept.write_text(json.dumps(summary | {"judge": judge}))
        assert judged("strict", "--gate", str(kept)) == 2
        assert said in capfd.readouterr().err
