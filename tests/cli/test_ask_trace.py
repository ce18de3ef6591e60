import json

import pytest

import cot.cli
from cot.step import FinalAnswer, SubQuestion
from cot.trace.event import RunFinished, RunStarted, StepTaken
from cot.trace.record import Recorder

pytestmark = pytest.mark.no_replay("events that no run made")


@pytest.fixture
def traces(tmp_path):
    answer = FinalAnswer(text="\x1b[31mthree", value=3, raw="3", confidence=0.5)
    with Recorder(tmp_path / "traces") as recorder:
        recorder.record(RunStarted(question="How many?", images=(), strategy="direct", seed=0))
        recorder.record(StepTaken(step=SubQuestion(id=1, text="How many?", wants="count")))
        recorder.record(RunFinished(answer=answer, stop_reason="answered"))
    return recorder


def show(capfd, *arguments):
    code = cot.cli.main(["trace", "show", *arguments])
    out, err = capfd.readouterr()
    return code, out, err


def test_a_trace_is_shown_by_folder_file_and_last(traces, capfd, monkeypatch):
    shown = {show(capfd, str(path)) for path in (traces.folder, traces.path)}
    shown.add(show(capfd, "last", "--trace-dir", str(traces.folder.parent)))
    monkeypatch.setenv("COT_TRACE_DIR", str(traces.folder.parent))
    shown.add(show(capfd, "last"))
    ((code, out, err),) = shown
    assert (code, err) == (0, "")
    assert "question: How many?" in out
    assert "#1 How many?" in out
    assert "\x1b" not in out


def test_json_is_all_events(traces, capfd):
    code, out, _ = show(capfd, str(traces.path), "--json")
    found = json.loads(out)
    assert (code, found["torn"]) == (0, False)
    assert [event["event"] for event in found["events"]] == ["run_started", "step", "run_finished"]


def test_a_torn_trace_is_shown_and_said(traces, capfd):
    traces.path.write_bytes(traces.path.read_bytes()[:-30])
    code, out, _ = show(capfd, str(traces.path))
    assert code == 0
    assert "the last line was cut short" in out


@pytest.mark.parametrize("name", ["last", "nothing"])
def test_no_trace_is_exit_code_1(name, tmp_path, capfd):
    code, out, err = show(capfd, name, "--trace-dir", str(tmp_path))
    assert (code, out) == (1, "")
    assert "no trace" in err


def test_a_pipe_gets_whole_lines(tmp_path, capfd):
    question = "How many? " * 30
    with Recorder(tmp_path) as recorder:
        recorder.record(RunStarted(question=question, images=(), strategy="direct", seed=0))
    _, out, _ = show(capfd, str(recorder.path))
    assert question.strip() in out
