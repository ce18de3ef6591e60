import importlib.util
import json
import re
from pathlib import Path

import pytest
from runs import recorded, script

import cot.trace
from cot.errors import EngineError
from cot.planner.run import STRATEGIES
from cot.trace.event import SCHEMA
from cot.trace.read import as_json
from cot.trace.schema import json_schema

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(FIXTURES.glob("version-*.jsonl"))


def test_the_committed_schema_is_current(root):
    committed = json.loads((root / "docs" / "trace.schema.json").read_text("utf-8"))
    assert committed == json_schema(), "run: cot trace schema > docs/trace.schema.json"


def test_what_runs_write_fits_the_schema(root, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    schema = jsonschema.Draft202012Validator(json_schema())
    paths = [recorded(tmp_path, strategy=strategy) for strategy in STRATEGIES]
    paths += [recorded(tmp_path, script(plan=EngineError("the model is gone"))), VERSIONS[-1]]
    for line in (line for path in paths for line in path.read_text("ascii").splitlines()):
        schema.validate(json.loads(line))
        assert not schema.is_valid(json.loads(line) | {"schema": SCHEMA + 1})
        assert not schema.is_valid(json.loads(line) | {"dance": 1})


def test_every_version_has_a_fixture_that_is_read():
    assert [path.stem for path in VERSIONS] == [f"version-{number}" for number in range(1, SCHEMA + 1)]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_what_was_written_once_is_read_for_ever(path):
    trace = cot.trace.read(path)
    after_plan = ["step"] * 3 + ["call", "step"] * 2 + ["step"] * 3
    kinds = ["run_started", "call", *after_plan, "note", "run_finished"]
    assert [event.event for event in trace.events] == kinds
    assert trace.started.question == "Are there more apples than cars?"
    assert {event.step.kind for event in trace.steps} == {
        "sub_question", "sub_answer", "reasoning", "tool_use", "summary", "final_answer",
    }  # fmt: skip
    assert trace.finished.answer.value is True
    assert (trace.calls[1].value, trace.calls[1].measured.usage["cached_tokens"]) == (3, 10)
    json.dumps(as_json(trace))


def test_the_fixture_holds_every_field_of_the_schema():
    written = {}
    for line in VERSIONS[-1].read_text("ascii").splitlines():
        event = json.loads(line)
        written.setdefault(event["event"], set()).update(event)
        if event["event"] == "step":
            written.setdefault(event["step"]["kind"], set()).update(event["step"])
    for definition in json_schema()["$defs"].values():
        properties = definition["properties"]
        named = properties.get("event") or properties.get("kind")
        if named:
            assert set(properties) <= written[named["const"]]


def examples(root):
    return re.findall("```python\n(.*?)```", (root / "docs" / "trace.md").read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_page_run(root, monkeypatch, capsys):
    typed, table = examples(root)
    monkeypatch.chdir(FIXTURES)
    typed = typed.replace("run/trace.jsonl", VERSIONS[-1].name)
    table = table.replace("run/trace.jsonl", VERSIONS[-1].name)
    exec(compile(typed, "docs/trace.md", "exec"), {})
    assert "yes" in capsys.readouterr().out
    if importlib.util.find_spec("pandas"):
        exec(compile(table, "docs/trace.md", "exec"), {})
        assert "sub_question 1" in capsys.readouterr().out
