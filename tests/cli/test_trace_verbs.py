import json
import re

import pytest
from runs import recorded, script

import cot.cli
from cot.cli import ask as ask_module
from cot.cli.trace_options import age, bytes_of, moment
from cot.engine import ScriptedEngine
from cot.errors import UsageError
from cot.trace.read import read

HOSTILE = "\x1b[31mhow\u202e many?"


@pytest.fixture
def cot_trace(tmp_path, capfd):
    """Runs `cot trace` over a folder of traces; gives the exit code, stdout and stderr."""

    def run(verb, *arguments):
        where = () if verb == "schema" else ("--trace-dir", str(tmp_path))
        code = cot.cli.main(["trace", verb, *map(str, arguments), *where])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_a_list_names_runs_for_the_other_verbs(cot_trace, tmp_path):
    path = recorded(tmp_path, text=HOSTILE, strategy="direct")
    code, out, err = cot_trace("list")
    assert (code, err) == (0, "")
    assert path.parent.name[-8:] in out
    assert re.search(r"direct +scripted +how many\? +yes", out)
    assert not set(out) & set("\x1b\u202e")
    code, out, _ = cot_trace("show", path.parent.name[-8:], "--json")
    assert (code, json.loads(out)["path"]) == (0, str(path))
    code, out, _ = cot_trace("list", "--json", "--text", "HOW", "--since", "1d")
    (row,) = json.loads(out)
    assert (row["question"], row["answer"], row["stop_reason"]) == (HOSTILE, "yes", "answered")


def test_an_empty_list_says_so(cot_trace, tmp_path):
    assert cot_trace("list")[::2] == (0, f"no trace in {tmp_path} yet\n")
    recorded(tmp_path)
    recorded(tmp_path)
    assert cot_trace("list", "--model", "qwen")[::2] == (0, f"no such trace in {tmp_path}\n")
    assert "there are more than 1; see them all" in cot_trace("list", "--limit", 1)[2]


def test_show_is_short_unless_it_is_to_be_full(cot_trace, tmp_path):
    recorded(tmp_path)
    assert "more lines: --full" in cot_trace("show", "last")[1]
    full = cot_trace("show", "last", "--full")[1]
    assert "Without a formula: answer: decide" in full
    assert "tokens: '" in full


def test_pages_are_written(cot_trace, tmp_path):
    a, b = recorded(tmp_path), recorded(tmp_path, strategy="direct")
    one, all_, diff = (tmp_path / name for name in ("one.html", "all.html", "diff.html"))
    assert cot_trace("html", a, "-o", one)[0] == 0
    assert cot_trace("html", tmp_path, "-o", all_)[0] == 0
    assert cot_trace("diff", a, b, "--html", diff)[0] == 0
    assert one.read_text().count("<article") == 1
    assert all_.read_text().count("<article") == 2
    assert "only in A" in diff.read_text()
    code, _, err = cot_trace("html", a, "-o", tmp_path / "no" / "such.html")
    assert (code, err[:18]) == (1, "error: cannot writ")


@pytest.mark.parametrize("command", [("html", "-o"), ("export", "--json"), ("export", "--otel")])
def test_neither_a_trace_nor_a_file_of_a_run_is_written_over(cot_trace, tmp_path, command):
    verb, option = command
    trace, run = recorded(tmp_path), tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "samples.jsonl"):
        (run / name).write_text("{}\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out, what in ((trace, "a trace"), (run / "samples.jsonl", f"a file of the run {run}")):
        code, said, err = cot_trace(verb, trace, option, out)
        assert (code, said, err.count("\n")) == (2, "", 1)
        named = out if verb == "html" else f"{option} {out}"
        assert err.startswith(f"error: got {named}, which is {what}; expected")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_page_of_many_leaves_out_what_cannot_be_read(cot_trace, tmp_path):
    good, bad, worse = recorded(tmp_path), recorded(tmp_path), recorded(tmp_path)
    lines = bad.read_text().splitlines(keepends=True)
    bad.write_text("".join([lines[0], "\x1b[31m\n", *lines[2:]]))
    page = tmp_path / "page.html"
    code, _, err = cot_trace("html", tmp_path, "-o", page)
    assert code == 0
    assert re.match(r"left out 1 trace that cannot be read: .*trace.jsonl, line 2: got text that is not JSON", err)
    assert page.read_text().count("<article") == 2
    worse.write_text("")
    good.write_text("no")
    code, _, err = cot_trace("html", tmp_path)
    assert (code, "left out 1 trace " in err, "there is no trace in" in err) == (1, True, True)
    for path in (good, bad, worse):
        path.write_text("no\n")
    assert "left out 3 traces" in cot_trace("html", tmp_path)[2]


def test_a_replay_says_whether_it_is_the_same(cot_trace, tmp_path):
    path = recorded(tmp_path)
    assert cot_trace("replay", path)[:2] == (0, "the same answer again: yes  (3 recorded replies, no model)\n")
    path.write_text(path.read_text().replace('"raw":"3","value":3', '"raw":"3","value":4'))
    code, out, _ = cot_trace("replay", path)
    assert (code, out.splitlines()[0]) == (1, "#1 How many apples are there?: differs in parsed")
    assert json.loads(cot_trace("replay", path, "--json")[1])["same"] is False


def test_a_live_replay_asks_another_model(cot_trace, tmp_path, monkeypatch):
    path = recorded(tmp_path)
    asked = []

    def load(settings):
        asked.append(settings)
        return ScriptedEngine(script(answers={"How many apples": "0", "How many cars": "1"}))

    monkeypatch.setattr(ask_module, "load_engine", load)
    path.write_text(path.read_text().replace('"model":"embedded"', '"model":"http://evil.example/v1"'))
    code, out, err = cot_trace("replay", path, "--live")
    assert (code, asked[-1].model) == (0, "embedded")
    assert "value: 3 → 0" in out
    new = err.removeprefix("trace: ").strip()
    assert read(new).finished.answer.text == "no"
    assert cot_trace("replay", path, "--live", "--model", "other", "--strategy", "direct")[0] == 0
    assert (asked[-1].model, asked[-1].strategy) == ("other", "direct")


def test_a_live_replay_asks_in_the_recorded_words(cot_trace, tmp_path, monkeypatch):
    first = '"settings":{'
    path = recorded(tmp_path, strategy="direct")
    assert path.read_text().count(first) == 1
    path.write_text(path.read_text().replace(first, f'{first}"system":"Answer like a pirate.",'))
    engines = []
    monkeypatch.setattr(
        ask_module, "load_engine", lambda settings: engines.append(ScriptedEngine(["no"])) or engines[-1]
    )
    monkeypatch.setenv("COT_SYSTEM", "Be brief.")
    code, out, err = cot_trace("replay", path, "--live")
    assert (code, engines[0].requests[0].messages[0].content) == (0, ("Answer like a pirate.",))
    assert "setting system" not in out
    assert read(err.removeprefix("trace: ").strip()).started.settings["system"] == "Answer like a pirate."


def test_a_live_replay_asks_with_another_template(cot_trace, tmp_path, monkeypatch):
    (tmp_path / "prompts" / "my").mkdir(parents=True)
    head = (
        "---\nname: my/answer\ndescription: d\ninputs: {question: {kind: text}, choices: {kind: list}}\noutput: text\n"
    )
    (tmp_path / "prompts" / "my" / "answer.jinja").write_text(head + "---\nSay: {{ question }}\n")
    monkeypatch.chdir(tmp_path)
    path = recorded(tmp_path, strategy="direct")
    engines = []
    monkeypatch.setattr(
        ask_module, "load_engine", lambda settings: engines.append(ScriptedEngine(["no"])) or engines[-1]
    )
    code, _, err = cot_trace("replay", path, "--live", "--templates", "direct/answer=my/answer")
    assert code == 0
    assert engines[0].requests[0].messages[-1].content[-1] == "Say: Are there more apples than cars?"
    note, made = err.splitlines()
    assert note == f"note: templates in {tmp_path / 'prompts'} come before the shipped ones"
    assert list(read(made.removeprefix("trace: ")).started.templates) == ["my/answer"]
    code, _, err = cot_trace("replay", path, "--live", "--templates", "direct/answer=my/answr")
    assert (code, len(engines), "no template 'my/answr', did you mean 'my/answer'?" in err) == (2, 1, True)


def test_exports_leave_out_what_they_are_told(cot_trace, tmp_path):
    path = recorded(tmp_path, source="secret.png")
    spans = json.loads(cot_trace("export", path, "--otel", "-")[1])
    assert len(spans["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 5
    out = tmp_path / "out.json"
    assert cot_trace("export", path, "--json", out, "--redact", "prompts", "--redact", "images")[0] == 0
    text = out.read_text()
    assert "secret.png" not in text
    assert str(tmp_path) not in text
    assert "more apples than cars" not in text


def test_pruning_says_what_it_does(cot_trace, tmp_path):
    path = recorded(tmp_path)
    code, out, err = cot_trace("prune", "--max-size", "1KiB", "--dry-run")
    assert (code, out.split(":")[0]) == (0, path.parent.name)
    assert err.startswith("would free ")
    assert path.exists()
    assert cot_trace("prune", "--older-than", "1d")[1] == ""
    assert cot_trace("prune", "--max-size", "1KiB")[2].startswith("freed ")
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--since", "soon"), "--since: got 'soon'; expected 2026-01-31"),
        (("list", "--stop-reason", "anwsered"), "--stop-reason: got 'anwsered'; expected one of answered, "),
        (("prune",), "got no bound; expected --older-than 30d"),
        (("prune", "--older-than", "30"), "--older-than: got '30'; expected a number and m, h, d or w"),
        (("prune", "--max-size", "1GB"), "--max-size: got '1GB'; expected a whole number and B, KiB"),
        (("export", "last"), "got nothing to write; expected --otel FILE"),
        (("export", "last", "--json", "-", "--content"), "got --content without --otel"),
        (("export", "last", "--otel", "a", "--json", "./a"), "got a for --otel and for --json; expected a file of its"),
        (("export", "last", "--json", "-", "--redact", "some"), "--redact: got 'some'; expected 'prompts', "),
        (("replay", "last", "--model", "x"), "got --model without --live"),
        (("replay", "last", "--templates", "a/b=c/d"), "got --templates without --live"),
        (("replay", "last", "--live", "--templates", "a"), "--templates: got 'a'; expected text like"),
        (("replay", "last", "--live", "--strategy", "dance"), "unknown strategy 'dance'"),
    ],
)
def test_wrong_usage_is_exit_code_2(cot_trace, tmp_path, arguments, message):
    recorded(tmp_path)
    code, _, err = cot_trace(*arguments)
    assert code == 2
    assert message in err


def test_an_unknown_strategy_is_told_where_no_trace_is_of_it(cot_trace, tmp_path):
    recorded(tmp_path)
    code, out, err = cot_trace("list", "--strategy", "dirct")
    assert (code, out) == (0, "")
    assert "; no strategy is called 'dirct', did you mean 'direct'?; known: direct, decompose, " in err
    assert "no strategy" not in cot_trace("list", "--strategy", "verify")[2]


def test_the_schema_is_printed(cot_trace, root):
    assert json.loads(cot_trace("schema")[1]) == json.loads((root / "docs" / "trace.schema.json").read_text())


def test_ages_dates_and_sizes():
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert (age("90m", ""), age("2w", "")) == (timedelta(minutes=90), timedelta(days=14))
    assert moment("2026-01-02T03:04", "", now=now) == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert moment("1d", "", now=now) == datetime(2026, 1, 30, tzinfo=UTC)
    assert (bytes_of("10B", ""), bytes_of("2KiB", "")) == (10, 2048)
    with pytest.raises(UsageError):
        moment("99999999d", "", now=now)
