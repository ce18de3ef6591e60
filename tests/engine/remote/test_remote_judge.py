"""`cot eval` with one server that answers and another that judges."""

import json
from pathlib import Path

from PIL import Image

import cot.cli
from cot.cli.eval_run import _for_judge as for_judge
from cot.settings import Settings

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: '"a cat"'
images: '"red.png"'
metric: judge
"""


def test_a_server_judges(serve, model, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    Path("rows.jsonl").write_text('{"question": "What is it?"}\n')
    Path("task.yaml").write_text(TASK)
    answers = serve(model(text="a kitten", owner="vllm", pages={"/version": {"version": "0.12.0"}}))
    judges = serve(model(text="correct", owner="vllm", pages={"/version": {"version": "0.12.0"}}, models=("judge",)))
    command = ["eval", "task.yaml", "--strategy", "direct", "--out", "out", "--model", answers.url]
    code = cot.cli.main(command)
    assert code == 2
    assert "the task mine is scored by a judge; name its model with --judge-model" in capfd.readouterr().err
    code = cot.cli.main([*command, "--judge-model", judges.url, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    (part,) = json.loads(out)["parts"]
    assert (part["score"], part["judged"]) == (1.0, {"judged": 1})
    (body,) = judges.bodies
    (turn,) = body["messages"]
    assert "Given answer: a kitten" in json.dumps(turn)
    assert "image_url" not in json.dumps(turn)
    assert '"correct", "incorrect", "unsure"' in json.dumps(body)
    definition = json.loads(Path("out/run.json").read_text())
    assert "judge" in definition["judge"]["model"]


def test_settings_of_the_local_model_are_not_for_a_server_that_judges():
    local = Settings(model="embedded", quantize="nf4", kv_memory="1GiB", compile=True, seed=3)
    assert for_judge(local, "http://localhost:9/v1") == Settings(model="http://localhost:9/v1", seed=3)
    assert for_judge(local, "some/judge") == local.model_copy(update={"model": "some/judge"})
