"""`cot prompts compare`: two templates over a task, with a scripted model."""

import json
import re

import pytest
from PIL import Image

import cot.cli
from cot.cli import prompts_compare as compare_module
from cot.engine import ScriptedEngine
from cot.errors import EngineError

TASK = """
name: photos
version: 1
data: {loader: csv, path: rows.csv}
question: question
answers: answer
images: image
metric: exact
"""
TEMPLATE = """---
name: {name}
description: d
inputs:
  question: {{kind: text, required: true}}
  choices: {{kind: list, default: []}}{more}
output: text
max_tokens: 8
---
{{{{ question }}}} One word:
"""


def reply(request):
    text = request.messages[-1].content[-1]
    number = int(text.split()[2])
    worded = text.endswith("One word:")
    return "yes" if (number < 6) == worded or number == 9 else "no"


@pytest.fixture
def compare(tmp_path, monkeypatch, capfd):
    """Runs `cot prompts compare` over ten samples of five images; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.yaml").write_text(TASK)
    rows = [f"Is it {number} now?,yes,{number // 2}.png" for number in range(10)]
    (tmp_path / "rows.csv").write_text("\n".join(["question,answer,image", *rows]))
    for number in range(5):
        Image.new("RGB", (8, 6), "red").save(tmp_path / f"{number}.png")
    (tmp_path / "prompts" / "direct").mkdir(parents=True)
    for name in ("answer", "short"):
        text = TEMPLATE.format(name=f"direct/{name}", more="")
        (tmp_path / "prompts" / "direct" / f"{name}.jinja").write_text(text)
    (tmp_path / "prompts" / "direct" / "other.jinja").write_text(
        TEMPLATE.format(name="direct/other", more="\n  seen: {kind: text, required: true}")
    )

    def run(*arguments, script=reply):
        engine = ScriptedEngine(script)
        monkeypatch.setattr(compare_module, "load_engine", lambda settings: engine)
        code = cot.cli.main(["prompts", "compare", *arguments])
        return code, *capfd.readouterr(), engine

    return run


def test_the_difference_and_what_flipped(compare):
    code, out, err, engine = compare("shipped:direct/answer", "direct/answer", "--task", "task.yaml", "--out", "c")
    assert code == 0, err
    first, second, difference, *flips = out.splitlines()
    assert first == "A  40.0%  shipped:direct/answer"
    assert second == "B  70.0%  direct/answer"
    assert difference.startswith("B - A  +30.0 points, 95% [")
    assert difference.endswith("10 samples: 6 better, 3 worse")
    assert len(flips) == 9
    assert flips[0] == "+ 1: Is it 0 now? yes: no -> yes"
    assert len(engine.requests) == 20
    # Both runs are kept, so the same command asks nothing again.
    code, again, _, engine = compare("shipped:direct/answer", "direct/answer", "--task", "task.yaml", "--out", "c")
    assert (code, again, engine.requests) == (0, out, [])


def test_what_errored_on_a_side_is_counted_and_in_no_figure(compare):
    def script(request):
        text = request.messages[-1].content[-1]
        return EngineError("gone") if "Is it 0 now?" in text and "One word" in text else reply(request)

    code, out, err, _ = compare("shipped:direct/answer", "direct/answer", "--task", "task.yaml", script=script)
    assert (code, "9 samples: 5 better, 3 worse" in out) == (0, True)
    assert "note: 1 sample errored on a side, and is in no figure\n" in err


def test_interrupted_it_can_go_on(compare):
    count = []

    def script(request):
        count.append(1)
        if len(count) == 15:
            raise KeyboardInterrupt
        return reply(request)

    command = ("shipped:direct/answer", "direct/answer", "--task", "task.yaml")
    code, out, err, _ = compare(*command, script=script)
    assert (code, out) == (130, "")
    place = re.search(r"^stopped; the same command with --out (runs/compare-\S+) goes on$", err, re.MULTILINE)[1]
    code, out, _, engine = compare(*command, "--out", place)
    assert (code, out.splitlines()[1]) == (0, "B  70.0%  direct/answer")
    assert len(engine.requests) <= 10


def test_a_template_of_another_name_takes_the_place_of_the_first(compare):
    code, out, _, engine = compare("shipped:direct/answer", "direct/short", "--task", "task.yaml", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["a"], found["b"]) == (0.4, 0.7)
    assert found["difference"]["n"] == 10
    assert found["difference"]["interval"][0] <= found["difference"]["mean"] == pytest.approx(0.3)
    assert sum(flip["change"] for flip in found["flipped"]) == 3
    asked = [request.messages[-1].content[-1] for request in engine.requests]
    assert sum(text.endswith("One word:") for text in asked) == 10


def test_the_template_that_the_strategy_asks_with_may_be_the_second_one(compare):
    code, out, err, _ = compare("direct/short", "shipped:direct/answer", "--task", "task.yaml", "--json")
    assert code == 0, err
    assert (json.loads(out)["a"], json.loads(out)["b"]) == (0.7, 0.4)


def test_two_templates_of_ones_own_are_put_in_place_of_a_step(compare, tmp_path):
    plainer = (tmp_path / "prompts" / "direct" / "short.jinja").read_text().replace(" One word:", "")
    (tmp_path / "prompts" / "direct" / "plain.jinja").write_text(plainer.replace("direct/short", "direct/plain"))
    names = ("direct/plain", "direct/short", "--task", "task.yaml", "--json")
    code, out, err, engine = compare(*names)
    assert (code, out, engine.requests) == (2, "", [])
    assert "direct asks with neither direct/plain nor direct/short; name the template in whose place" in err
    code, out, err, _ = compare(*names, "--step", "direct/answer")
    assert code == 0, err
    assert (json.loads(out)["a"], json.loads(out)["b"]) == (0.4, 0.7)
    assert (
        "got --step direct/none; the strategy direct asks with: direct/answer"
        in compare(*names, "--step", "direct/none")[2]
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("direct/answer", "project:direct/answer"), "which are one file"),
        (("direct/answer", "direct/other"), "direct/other needs the input 'seen'"),
        (("direct/answer", "cot/reason2"), "no template 'cot/reason2'"),
        (("cot/answer", "direct/answer"), "direct/answer lacks the inputs reasoning"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_asked(compare, names, message):
    code, out, err, engine = compare(*names, "--task", "task.yaml")
    assert code != 0
    assert (out, engine.requests) == ("", [])
    assert message in err


def test_what_a_judge_scores_is_refused_before_anything_is_asked(compare, tmp_path):
    (tmp_path / "task.yaml").write_text(TASK.replace("metric: exact", "metric: judge"))
    code, out, err, engine = compare("shipped:direct/answer", "direct/answer", "--task", "task.yaml", "--out", "c")
    assert (code, out, engine.requests) == (2, "", [])
    assert "got photos, which a judge scores; expected a task with a metric that asks no model" in err
    assert not (tmp_path / "c").exists()
