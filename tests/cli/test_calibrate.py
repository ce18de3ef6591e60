"""`cot calibrate`, over a scripted model whose confidence means something, though not what it says."""

import asyncio
import contextlib
import json
import os
import random
import re

import pytest
from PIL import Image
from runs import completion

import cot.cli
from cot.cli import calibrate as calibrate_module
from cot.config import user_file
from cot.engine import EngineInfo, ScriptedEngine
from cot.errors import EngineError
from cot.evaluate.calibration import _numbered
from cot.evaluate.select import select
from cot.planner.calibration_file import read_entries
from cot.shipped import prompts_folder
from cot.task import load_task

TASK = """
name: photos
version: 1
data: {loader: csv, path: rows.csv}
question: question
answers: answer
images: image
metric: exact
"""
INFO = EngineInfo("scripted", "sha256:aa", "none", "none", "none", 0)
N = 160


def reply(request):
    """Says 90% of what is right in half of the cases, and plans that count right."""
    text = request.messages[-1].content[-1]
    if "Split the question" in text:
        return completion("1. [count] How many a?\n2. [count] How many b?\nanswer: #1 + #2")
    if text.startswith("How many"):
        return completion("1", probability=0.95)
    number = int(text.split()[2])
    sure = number % 8 < 4
    right = sure or random.Random(number).random() < 0.3
    return completion("2" if right else "3", probability=0.99 if sure else 0.9)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command line where `task.yaml` has 160 samples; gives the exit code, stdout and stderr.

    script: what answers, or an `engine` in its place.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.yaml").write_text(TASK)
    rows = [f"Is it {number} now?,2,{number}.png" for number in range(N)]
    (tmp_path / "rows.csv").write_text("\n".join(["question,answer,image", *rows]))
    for number in range(N):
        Image.new("RGB", (8, 6), "red").save(tmp_path / f"{number}.png")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")

    def ran(*arguments, script=reply, engine=None):
        made = engine or ScriptedEngine(script, info=INFO)
        monkeypatch.setattr(calibrate_module, "load_engine", lambda settings: made)
        code = cot.cli.main(["calibrate", *arguments])
        return code, *capfd.readouterr()

    return ran


def test_it_fits_tells_what_it_is_worth_and_how_to_go_back(run, tmp_path):
    path = user_file().parent / "calibration.json"
    code, out, err = run("embedded", "--task", "task.yaml", "--max-cost", "9")
    assert code == 0, err
    entry = read_entries(path)["embedded"]
    assert (entry.revision, entry.quantization) == ("sha256:aa", "none")
    assert entry.calibrated(0.9, "direct") < 0.6 < entry.calibrated(0.99, "direct")
    assert 0.9 < entry.keep <= 0.99
    head, direct, *_ = [line.split() for line in out.splitlines()]
    assert head == ["confidence", "fitted", "checked", "error", "before", "after"]
    assert direct[:3] == ["direct", "80", "80"]
    assert float(direct[4]) < float(direct[3]) / 2
    assert "confidences stay as they are" not in out
    assert "route, on what was not fitted to: 100.0% right at" in out
    assert f"keep: 0.5 -> {entry.keep:g}" in out
    assert f"wrote {path}\nto go back: rm {path}" in err
    before = path.read_text()
    (tmp_path / "other").write_text("mine")
    path.with_name("calibration.json.before").symlink_to(tmp_path / "other")
    code, out, err = run("embedded", "--task", "task.yaml", "--max-cost", "9", "--quiet")
    assert (code, err) == (0, f"wrote {path}\nto go back: mv {path}.before {path}\n")
    assert "nothing changed" in out
    assert path.with_name("calibration.json.before").read_text() == before
    assert (tmp_path / "other").read_text() == "mine"
    own = tmp_path / "prompts" / "direct" / "answer.jinja"
    own.parent.mkdir(parents=True)
    own.write_text((prompts_folder() / "direct" / "answer.jinja").read_text())
    err = run("embedded", "--task", "task.yaml", "--max-cost", "9", "--limit", "20", "--quiet")[2]
    assert err.startswith(f"note: templates in {tmp_path / 'prompts'} come before the shipped ones\n")


def test_what_is_to_be_done_is_told_first_and_then_how_long_it_takes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate_module, "SECONDS_BETWEEN_LINES", 0.0)
    _, _, err = run("m", "--task", "task.yaml", "--no-votes", "--concurrency", "1", "--out", "mine.json")
    first, *lines = err.splitlines()
    assert first == "calibrating m into mine.json: 160 samples, each asked directly and by steps"
    assert re.fullmatch(r"159/160 samples  [\d.]+/s  0:0\d left", lines[158])
    _, _, err = run("--task", "task.yaml", "--limit", "1")
    told = f"calibrating embedded into {user_file().parent / 'calibration.json'}: 1 sample, each asked directly, by"
    assert err.startswith(f"{told} steps and by votes\n")


@pytest.mark.parametrize(
    ("model", "said"),
    [("nothing", "no model folder at 'nothing'"), ("http://u:secret@host/v1", "was given with a user")],
)
def test_a_model_that_is_not_there_is_told_before_its_samples_are_drawn(run, monkeypatch, model, said):
    monkeypatch.setattr("cot.train.held_out.calibration_samples", lambda: pytest.fail("samples are drawn"))
    code, out, err = run(model)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert "secret" not in err


def test_a_scale_that_does_not_hold_is_left_out_and_that_is_said(run):
    def misleading(request):
        """Right about every other image of those that are fitted to, and as sure of all."""
        text = request.messages[-1].content[-1]
        if "Split the question" in text:
            return completion("no plan")
        return completion("2" if int(text.split()[2]) % 4 == 0 else "3", probability=0.9)

    code, out, err = run("m", "--task", "task.yaml", "--no-votes", script=misleading)
    assert code == 0, err
    why = "direct: confidences stay as they are: a scale does not lower the error on images that it was not fitted to"
    assert why in out
    assert "direct_slope" not in out


@pytest.mark.parametrize(
    ("stream", "form", "wanted"), [("stdout", "--json", 1), ("stdout", "--quiet", 1), ("stderr", "--json", 0)]
)
def test_what_was_found_is_kept_though_nobody_reads_of_it(run, tmp_path, monkeypatch, stream, form, wanted):
    reader, writer = os.pipe()
    os.close(reader)
    unread = os.fdopen(writer, "w")
    monkeypatch.setattr(f"sys.{stream}", unread)
    code = run("m", "--task", "task.yaml", "--no-votes", "--limit", "80", "--out", "mine.json", form)[0]
    with contextlib.suppress(BrokenPipeError):
        unread.close()
    assert code == wanted
    assert read_entries(tmp_path / "mine.json").keys() == {"m"}


def test_a_model_that_cannot_ask_in_other_words_is_given_one_round(run, tmp_path):
    def abstains(request):
        text = request.messages[-1].content[-1]
        assert "[count]" not in text or "Split the question" in text, "asked for other words"
        return completion("unknown") if text.startswith("How many") else reply(request)

    code, _, err = run("m", "--task", "task.yaml", "--no-votes", "--rounds", "1", "--out", "mine.json", script=abstains)
    assert code == 0, err
    assert read_entries(tmp_path / "mine.json")["m"].rounds == 1
    assert run("m", "--task", "task.yaml", "--rounds", "9")[0] == 2


def test_how_many_are_in_flight_is_checked_first(run):
    code, _, err = run("m", "--task", "task.yaml", "--concurrency", "0")
    assert (code, err) == (2, "error: got --concurrency 0; expected at least 1\n")


@pytest.mark.parametrize("cost", ["0.5", "nan"])
def test_a_cost_that_direct_alone_exceeds_is_refused_before_anything_is_asked(run, cost):
    def never(request):
        raise AssertionError("the model was asked")

    code, _, err = run("m", "--task", "task.yaml", "--max-cost", cost, script=never)
    assert code == 2
    assert f"got '{cost}' for '--max-cost'" in err


def test_one_object(run, tmp_path):
    code, out, err = run("m", "--task", "task.yaml", "--no-votes", "--out", "my own/mine.json", "--json")
    found = json.loads(out)
    assert (code, found["n"], found["left_out"], found["out"]) == (0, N, 0, "my own/mine.json")
    assert err.endswith("to go back: rm 'my own/mine.json'\n")
    assert [one["source"] for one in found["honesty"]] == ["direct", "steps"]
    assert found["tuning"] == read_entries(tmp_path / "my own" / "mine.json")["m"].tuning.model_dump()


def test_no_image_is_in_both_halves_whatever_task_shows_it(tmp_path, run):
    (tmp_path / "other.yaml").write_text(TASK.replace("photos", "others") + "only: question[6:8] != '0 '\n")
    selections = [select(load_task(str(tmp_path / name))) for name in ("task.yaml", "other.yaml")]
    halves = {}
    for sample, _, number in _numbered(selections):
        halves.setdefault(sample.images[0].name, set()).add(number % 2)
    assert {len(half) for half in halves.values()} == {1}
    assert len(halves) == N


def test_what_a_judge_scores_is_refused_before_anything_is_asked(tmp_path, run):
    (tmp_path / "task.yaml").write_text(TASK.replace("metric: exact", "metric: judge"))
    code, _, err = run("--task", "task.yaml", script=lambda request: pytest.fail("nothing is asked"))
    assert (code, "got photos, which a judge scores" in err) == (2, True)


def test_without_probabilities_there_is_nothing_to_fit(run):
    code, out, err = run("--task", "task.yaml", "--no-votes", script=lambda request: "2")
    assert (code, out) == (1, "")
    assert "error: the engine gives no probabilities" in err


def test_a_fault_of_the_program_costs_one_sample(run):
    def faulty(request):
        if request.messages[-1].content[-1].startswith("Is it 7 now?"):
            raise ValueError("a fault")
        return reply(request)

    code, out, err = run("m", "--task", "task.yaml", "--no-votes", "--limit", "80", "--out", "mine.json", script=faulty)
    assert (code, "route, on what was not fitted to" in out) == (0, True)
    assert "note: 1 sample failed, and is in no figure, the first with: " in err


def test_that_too_many_samples_failed_is_told_with_why(run):
    def failing(request):
        raise EngineError("no memory is left")

    code, out, err = run("m", "--task", "task.yaml", "--no-votes", "--limit", "80", script=failing)
    assert (code, out) == (1, "")
    assert "error: 80 of 80 samples failed, the first with: " in err
    assert "no memory is left; too few are left to fit to" in err


class Hanging(ScriptedEngine):
    """Answers as `reply` does, and never about samples from the 100th on."""

    hung = 0

    async def complete(self, request):
        found = re.match("Is it ([0-9]+) now", request.messages[-1].content[-1])
        if found and int(found[1]) >= 100:
            self.hung += 1
            await asyncio.Event().wait()
        return await super().complete(request)


def test_time_that_runs_out_on_a_model_that_hangs_is_no_wrong_answer(run, monkeypatch):
    monkeypatch.setenv("COT_MAX_SECONDS", "2")
    engine = Hanging(reply, info=INFO)
    arguments = ("m", "--task", "task.yaml", "--no-votes", "--concurrency", "8", "--json")
    code, out, err = run(*arguments, "--out", "mine.json", engine=engine)
    assert code == 0, err
    found = json.loads(out)
    assert (found["n"], found["left_out"]) == (100, 60)
    assert engine.hung < 20, "a model that is gone is asked no more"
    whole = json.loads(run(*arguments, "--out", "whole.json", "--limit", "100")[1])
    assert "nothing came back from the model" in found["failure"]
    assert found == whole | {"left_out": 60, "failure": found["failure"], "out": "mine.json"}


def test_too_few_samples_are_too_few(run):
    code, _, err = run("--task", "task.yaml", "--no-votes", "--limit", "40")
    assert code == 1
    assert "got 20 samples to fit to and 20 to check on; expected at least 30 of each" in err


def test_a_file_that_is_no_calibration_is_told_before_anything_is_asked(run, tmp_path):
    (tmp_path / "mine.json").write_text("[]")
    code, _, err = run("--task", "task.yaml", "--out", "mine.json", script=[])
    assert code == 2
    assert "mine.json" in err


def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(run, tmp_path):
    code, out, err = run("--task", "task.yaml", "--out", "task.yaml/mine.json", script=[])
    assert (code, out) == (2, "")
    assert "task.yaml/mine.json cannot be written" in err
    (tmp_path / "mine.json.before").mkdir()
    code, _, err = run("--task", "task.yaml", "--out", "mine.json", script=[])
    assert (code, "mine.json.before is a folder" in err) == (2, True)
    assert run("--task", "task.yaml", "--no-votes", "--limit", "40", "--out", "new/mine.json")[0] == 1
    assert list((tmp_path / "new").iterdir()) == [], "nothing is left where nothing came of it"
