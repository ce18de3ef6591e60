import importlib.util
import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from runs import recorded, script

import cot.trace
from cot.errors import EngineError
from cot.planner.run import STRATEGIES
from cot.trace.diff import diff_traces
from cot.trace.event import SCHEMA
from cot.trace.listing import list_traces
from cot.trace.otel import otlp_json
from cot.trace.page import traces_page
from cot.trace.read import as_json
from cot.trace.schema import json_schema
from cot.trace.show import trace_tree

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


def test_what_a_version_did_not_have_is_not_known():
    old, new = (cot.trace.read(FIXTURES / f"version-{number}.jsonl") for number in (1, 2))
    assert (old.started.templates, old.started.images[0].original) == ({}, None)
    assert not any(call.alternatives for call in old.calls)
    assert set(new.started.templates) == {"decompose/plan", "decompose/sub_answer", "direct/answer"}
    assert new.started.images[0].original.mode == "RGBA"
    assert new.calls[1].scored_tokens[0] == ("3", new.calls[1].tokens[0][1], (("4", -2.5), ("unknown", -4.0)))


@pytest.mark.parametrize(
    ("problem", "cut"),
    [
        ("the text was cut short after 8 tokens, before it was what the constraint wants", True),
        ("server http://h answered 'Are', cut short; expected what fits Regex", True),
        ("the text was cut short after 8 tokens", False),
        (None, False),
    ],
)
def test_what_only_a_problem_told_is_read_from_it(tmp_path, problem, cut):
    lines = VERSIONS[1].read_text("ascii").splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"problem": problem})
    (tmp_path / "trace.jsonl").write_text("\n".join(lines) + "\n")
    trace = cot.trace.read(tmp_path)
    assert [call.cut for call in trace.calls] == [cut, False, False]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_every_version_is_listed_and_shown(path, tmp_path):
    run = tmp_path / "20260131-120000-0a1b2c3d"
    run.mkdir()
    (run / "trace.jsonl").write_bytes(path.read_bytes())
    (listed,) = list_traces(tmp_path)
    assert (listed.stop_reason, listed.answer, listed.tokens) == ("answered", "yes", 20)
    trace = cot.trace.read(run)
    shown = StringIO()
    Console(file=shown, width=200).print(trace_tree(trace, full=True))
    assert "answer: yes" in shown.getvalue()
    assert "Are there more apples than cars?" in traces_page([trace])
    assert diff_traces(trace, cot.trace.read(VERSIONS[-1])).same_steps
    assert otlp_json(trace)["resourceSpans"]


def test_the_fixture_holds_every_field_of_the_schema():
    written = {}
    for line in VERSIONS[-1].read_text("ascii").splitlines():
        event = json.loads(line)
        written.setdefault(event["event"], set()).update(event)
        if event["event"] == "step":
            written.setdefault(event["step"]["kind"], set()).update(event["step"])
        for image in event.get("images", ()):
            written["TracedImage"], written["OriginalImage"] = set(image), set(image["original"])
        written["Measured"] = set(event["measured"])
    for name, definition in json_schema()["$defs"].items():
        properties = definition["properties"]
        named = properties.get("event") or properties.get("kind") or {"const": name}
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
