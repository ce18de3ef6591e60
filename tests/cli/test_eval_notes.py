"""What `cot eval` says at the end of samples that have no answer, or no score."""

import json

import pytest
from eval_runs import results
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.cli.eval_output import EvalOutput
from cot.engine import Candidate, Completion, ScriptedEngine, Usage
from cot.evaluate import Options, Summary, Tally
from cot.evaluate.asking import Asking
from cot.evaluate.gate import fallen
from cot.evaluate.judge import Judged
from cot.planner.budget import Budget


def summary_of(results, metric):
    tally = Tally(lambda task: metric)
    tally.take(results)
    return Summary(complete=True, model="tiny", tasks=(), parts=tally.parts())


@pytest.fixture
def notes(tmp_path, capfd):
    """Prints the end of a run of these results; gives the notes of stderr."""

    def noted(made, **budget):
        summary = summary_of(made, "exact")
        options = Options(("direct",), Asking(Budget(**budget)))
        EvalOutput(as_json=True, quiet=False).result([(summary, tmp_path)], tmp_path, options)
        return [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]

    return noted


def test_samples_without_an_answer_that_a_budget_stopped_are_told_by_budget(notes):
    made = [
        *results("cu"),
        *results("uu", stop_reason="budget_seconds", strategy="cot"),
        *results("uc", stop_reason="budget_steps", strategy="vote"),
        *results("uuu", stop_reason="budget_tokens", strategy="verify"),
    ]
    assert notes(made, max_seconds=0.5, max_tokens=1_000_000) == [
        "note: 2 samples ran out of --max-seconds 0.5 without an answer and count as 0; raise it, into another --out",
        "note: 3 samples ran out of --max-tokens 1000000 without an answer and count as 0; raise it, into another"
        " --out",
        "note: 1 sample ran out of --max-steps 32 without an answer and counts as 0; raise it, into another --out",
    ]


def test_an_answer_that_was_there_when_a_budget_ran_out_is_not_told(notes):
    assert notes(results("cw", stop_reason="budget_steps")) == []
    assert notes(results("u", stop_reason="budget_steps", answer="a cat")) == []
    assert notes(results("e", stop_reason="budget_seconds"))[0].startswith("note: 1 sample errored")


@pytest.mark.parametrize(
    ("failed", "unsure", "said"),
    [
        (1, 0, ["note: 1 sample errored and is in no score; --retry-errors does it again"]),
        (3, 0, ["note: 3 samples errored and are in no score; --retry-errors does them again"]),
        (
            1,
            2,
            [
                "note: 3 samples errored and are in no score; --retry-errors does 1 of them again",
                "note: mine direct: the judge gave 2 answers no verdict; they count as errored, and --retry-errors does"
                " not ask again",
            ],
        ),
        (
            0,
            1,
            [
                "note: 1 sample errored and is in no score",
                "note: mine direct: the judge gave 1 answer no verdict; it counts as errored, and --retry-errors does"
                " not ask again",
            ],
        ),
    ],
)
def test_retrying_is_offered_only_for_what_is_done_again(notes, failed, unsure, said):
    made = [*results("c" + "e" * failed), *results("e" * unsure, judge=Judged(status="unsure", verdict="unsure"))]
    assert sum(one.failed for one in made) == failed
    assert notes(made) == said


def test_the_gate_offers_retrying_only_for_what_is_done_again():
    def summed(made):
        return summary_of(made, "judge")

    unsure = [*results("c"), *results("e", judge=Judged(status="unsure", verdict="unsure"))]
    (line,) = fallen(summed(results("cc")), summed(unsure))
    assert line == "mine direct has a score of 1 samples; the baseline has one of 2: 1 errored"


def test_a_run_tells_what_its_budget_stopped(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    rows = ({"question": f"Is it {number}?", "answer": "yes"} for number in range(3))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, version: 1, data: {loader: jsonl, path: rows.jsonl}, question: question, answers: answer,"
        " images: '\"red.png\"', metric: exact}"
    )
    cut = Completion((Candidate("", "length"),), Usage(9, 1, 1))
    monkeypatch.setattr(
        eval_run, "load_engine", lambda settings: ScriptedEngine(lambda r: cut if "Is it 0" in str(r) else "yes")
    )
    command = ["eval", "mine.yaml", "--strategy", "direct", "--out", "a", "--max-tokens", "1"]
    for arguments in (command, [*command, "--json"]):
        assert cot.cli.main(arguments) == 0
        out, err = capfd.readouterr()
        assert "note: 1 sample ran out of --max-tokens 1 without an answer and counts as 0" in err
    assert json.loads(out)["parts"][0]["stopped"] == {"tokens": 1}
