"""`cot eval --shots` with a server: what it is sent, and what its refusal comes to."""

import json
from pathlib import Path

import pytest
from PIL import Image

import cot.cli

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: asked.jsonl}
question: question
answers: answer
images: image
metric: exact
shots: {data: {loader: jsonl, path: solved.jsonl}}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `cot eval` with a server, on two questions behind one solved one."""
    monkeypatch.chdir(tmp_path)
    for name in ("red", "green", "blue"):
        Image.new("RGB", (8, 6), name).save(f"{name}.png")
    rows = [{"question": "Is it red?", "image": f"{name}.png", "answer": "yes"} for name in ("red", "green")]
    Path("asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("solved.jsonl").write_text('{"question": "Is it blue?", "image": "blue.png", "answer": "very"}\n')
    Path("task.yaml").write_text(TASK)

    def ran(url):
        command = ["eval", "task.yaml", "--strategy", "direct", "--shots", "1", "--concurrency", "1", "--model", url]
        code = cot.cli.main([*command, "--out", "out"])
        return code, [json.loads(line) for line in Path("out/samples.jsonl").read_text().splitlines()]

    return ran


def test_a_server_gets_them_as_turns_with_their_images(run, serve, model):
    server = serve(model(text="yes"))
    code, found = run(server.url)
    assert (code, [result["status"] for result in found]) == (0, ["correct", "correct"])
    first, second = (body["messages"] for body in server.bodies)
    assert [turn["role"] for turn in first] == ["user", "assistant", "user"]
    assert [part["type"] for part in first[0]["content"]] == ["image_url", "text"]
    assert first[0]["content"][1]["text"] == "Is it blue?\nAnswer briefly."
    assert "very" in json.dumps(first[1])
    # The same to the letter, so that a server that remembers beginnings finds it again.
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_a_server_whose_context_is_too_short_errors_the_samples(run, serve, model):
    class Short(model):
        def __call__(self, asked, wire):
            if asked.path == "/v1/chat/completions":
                return wire.json({"error": {"message": "maximum context length is 64 tokens"}}, 400)
            return super().__call__(asked, wire)

    code, found = run(serve(Short()).url)
    assert (code, [result["status"] for result in found]) == (1, ["errored", "errored"])
    assert "maximum context length is 64 tokens" in found[0]["explanation"]
    assert found[0]["explanation"].endswith("(asked with --shots 1)")
