"""`cot eval --shots` from the command line: with a scripted model, a tiny local one, and a server."""

import json
from pathlib import Path

import pytest
import tiny_models
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.engine import ScriptedEngine

TASK = """
name: mine
version: 1
data: {loader: csv, path: asked.csv}
question: question
answers: answer
images: image
metric: exact
"""
SHOTS = "shots: {data: {loader: csv, path: solved.csv}}\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs `cot eval` on four questions, with twelve solved ones; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name, n, first in (("asked", 4, 0), ("solved", 12, 100)):
        lines = ["image,question,answer"]
        for number in range(first, first + n):
            Image.new("RGB", (28, 28), (number, 0, 0)).save(tmp_path / f"{number}.png")
            lines.append(f"{number}.png,red?,yes")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "task.yaml").write_text(TASK + SHOTS)

    def ran(*arguments, engine=None):
        if engine:
            monkeypatch.setattr(eval_run, "load_engine", lambda settings: engine)
        code = cot.cli.main(["eval", "task.yaml", "--strategy", "direct", *arguments])
        return code, *capfd.readouterr()

    return ran


def results(out):
    return [json.loads(line) for line in (Path(out) / "samples.jsonl").read_text().splitlines()]


def scripted():
    return ScriptedEngine(lambda request: "yes")


def test_every_question_stands_behind_solved_ones(run, capfd):
    engine = scripted()
    code, _, err = run("--shots", "3", "--out", "a", engine=engine)
    assert (code, len(engine.requests)) == (0, 4)
    assert {len(request.messages) for request in engine.requests} == {7}
    # What is said of the embedded model's training holds for it alone, and is the default's.
    assert "has only learned to look at one image at a time" in err
    code, _, err = run("--shots", "2", "--out", "a", engine=scripted())
    assert code == 1
    assert err.splitlines()[-1].startswith("error: a holds another run: --shots of mine was 3 and is 2;")
    assert cot.cli.main(["runs", "show", "a"]) == 0
    assert "shots 3" in " ".join(capfd.readouterr().out.split())


def test_check_looks_at_the_examples_too(run):
    code, out, _ = run("--shots", "3", "--check")
    assert (code, out.split(";")[0]) == (0, "mine: 4 samples, each behind 3 examples")
    Path("solved.csv").write_text("image,question,answer\nnone.png,a,b\n")
    code, _, err = run("--shots", "3", "--check")
    assert (code, err.splitlines()[-1].partition(":")[0]) == (1, "error")
    assert "solved.csv, line 2: the image" in err
    assert run("--check")[0] == 0


@pytest.mark.parametrize(
    ("task", "shots", "message"),
    [
        (TASK, "1", "task.yaml does not say where examples for --shots come from; add for example `shots: {data:"),
        (TASK + SHOTS, "33", "got --shots 33; expected 0 to 32"),
        (TASK + SHOTS, "-1", "got --shots -1; expected 0 to 32"),
        (TASK + SHOTS, "13", "images in its `shots`: 12; expected at least 13, one for each example"),
    ],
)
def test_what_cannot_be_is_one_line_before_a_model_is_loaded(run, tmp_path, task, shots, message):
    (tmp_path / "task.yaml").write_text(task)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").touch()
    code, out, err = run("--shots", shots, "--model", "broken", "--out", "a")
    assert (code, out) in {(1, ""), (2, "")}
    assert err.splitlines()[-1].startswith("error: ")
    assert message in err
    assert not Path("a").exists()


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A real model with random weights: 4 tokens an image, a context of 256."""
    return str(tiny_models.llava(tmp_path_factory.mktemp("llava")))


def test_a_local_model_computes_the_examples_once(run, llava):
    code, _, err = run("--shots", "2", "--model", llava, "--device", "cpu", "--out", "a", "--concurrency", "1")
    found = results("a")
    assert {result["status"] for result in found} <= {"correct", "wrong", "unparsed"}, (code, err)
    usage = [result["usage"] for result in found]
    assert [one["image_tokens"] for one in usage] == [12] * 4
    shared = [one["cached_tokens"] for one in usage]
    assert shared[0] == 0
    # All but the question's own turn, which begins with its image.
    assert all(0.6 * usage[0]["prompt_tokens"] < one < usage[0]["prompt_tokens"] for one in shared[1:])
    code, _, _ = run("--model", llava, "--device", "cpu", "--out", "without")
    without = [result["usage"]["prompt_tokens"] for result in results("without")]
    assert max(without) < min(one["prompt_tokens"] for one in usage)


def test_a_context_that_is_too_short_errors_and_says_so(run, llava):
    code, out, err = run("--shots", "12", "--model", llava, "--device", "cpu", "--out", "a", "--json")
    (part,) = json.loads(out)["parts"]
    assert (code, part["score"], part["counts"]["errored"]) == (1, None, 4)
    assert "Traceback" not in err
    for result in results("a"):
        assert result["explanation"].startswith("answer: prompt too long for ")
        assert "its context is 256 including the answer" in result["explanation"]
        assert result["explanation"].endswith("(asked with --shots 12)")
