"""`cot eval` with a server that hangs: that is a failure of the server, and no answer that cannot be read."""

import json
import re
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

import cot.cli

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: '"a cat"'
images: '"red.png"'
id: id
metric: exact
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A task of 20 questions, and two seconds for each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COT_MAX_SECONDS", "2")
    Image.new("RGB", (8, 6), "red").save("red.png")
    Path("rows.jsonl").write_text("".join(f'{{"id": {n}, "question": "What is {n}?"}}\n' for n in range(20)))
    Path("task.yaml").write_text(TASK)


class Hanging:
    """Answers until it was asked so often, then holds every request without a byte, until it is let go."""

    def __init__(self, model, after):
        self.model, self.after, self.hangs = model, after, True
        self.stop = threading.Event()
        self.calls = 0

    def __call__(self, asked, wire):
        if asked.path.endswith("/chat/completions"):
            self.calls += 1
            if self.hangs and self.calls > self.after:
                self.stop.wait(20)
                return
        self.model(asked, wire)


@pytest.fixture
def hanging(serve, model):
    made = []

    def start(after):
        made.append(Hanging(model(text="a cat", owner="vllm"), after))
        return made[-1], serve(made[-1])

    yield start
    for one in made:
        one.stop.set()


def evaluated(server, *more):
    return cot.cli.main(["eval", "task.yaml", "--strategy", "direct", "--out", "out", "--model", server.url, *more])


def results():
    return [json.loads(line) for line in Path("out/samples.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_a_server_that_hangs_stops_the_run_which_goes_on_later(folder, hanging, capfd, concurrency):
    handler, server = hanging(after=3)
    begun = time.monotonic()
    assert evaluated(server, "--concurrency", concurrency) == 1
    assert time.monotonic() - begun < 60
    err = capfd.readouterr().err
    assert "stopped: nothing came back from" in err
    # Where several are in flight, their time may run out before the first of them is looked at.
    assert re.search(r"for [5-8] samples in a row", err)
    assert "--retry-errors" in err
    found = results()
    assert [one["status"] for one in found].count("correct") == 3
    assert {one["status"] for one in found} == {"correct", "errored"}
    silent = next(one for one in found if one["status"] == "errored")
    assert (silent["score"], silent["stop_reason"]) == (None, "budget_seconds")
    assert silent["explanation"].startswith("nothing came back from the model: answer: the time was up")
    handler.hangs = False
    assert evaluated(server, "--retry-errors", "--json") == 0
    (part,) = json.loads(capfd.readouterr().out)["parts"]
    assert (part["n"], part["counts"]["correct"]) == (20, 20), part


def test_a_slow_answer_is_the_samples_own(folder, serve, model, capfd):
    """One question takes too long while others are answered: no failure of the server."""
    waiting = threading.Event()

    def text(body):
        if "What is 7?" in json.dumps(body):
            waiting.wait(6)
        else:
            time.sleep(0.2)
        return "a cat"

    server = serve(model(text=text, owner="vllm"))
    assert evaluated(server, "--concurrency", "2", "--json") == 0
    waiting.set()
    (part,) = json.loads(capfd.readouterr().out)["parts"]
    assert (part["counts"]["unparsed"], part["counts"]["errored"], part["counts"]["correct"]) == (1, 0, 19)


def test_a_model_that_is_as_slow_every_time_is_no_silent_one(folder, serve, model, monkeypatch, capfd):
    """Each answer takes most of the time that there is; a second call in a sample is then cut off."""
    monkeypatch.setenv("COT_MAX_SECONDS", "3")
    Path("rows.jsonl").write_text('{"id": 1, "question": "What is 1?"}\n{"id": 2, "question": "What is 2?"}\n')
    server = serve(model(text=lambda body: (time.sleep(2), "It is a cat.")[1], owner="vllm"))
    code = cot.cli.main(["eval", "task.yaml", "--strategy", "cot", "--out", "out", "--model", server.url,
                         "--concurrency", "1"])  # fmt: skip
    assert code == 0, capfd.readouterr().err
    assert [one["status"] for one in results()] == ["unparsed", "unparsed"]
    assert {one["stop_reason"] for one in results()} == {"budget_seconds"}


def test_a_judge_that_hangs_stops_the_run_too(folder, serve, model, hanging, capfd):
    Path("task.yaml").write_text(TASK.replace("exact", "judge"))
    _, judges = hanging(after=0)
    answers = serve(model(text="a kitten", owner="vllm"))
    assert evaluated(answers, "--judge-model", judges.url, "--concurrency", "4") == 1
    assert "stopped: nothing came back from" in capfd.readouterr().err
    assert {one["status"] for one in results()} == {"errored"}
