import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from runs import recorded, script

from cot.errors import EngineError, TraceError
from cot.trace.event import Note, RunStarted
from cot.trace.listing import UNFINISHED, UNREADABLE, Listed, Wanted, list_traces
from cot.trace.read import find_trace, read_trace
from cot.trace.record import Recorder

STARTED = RunStarted(question="How many dogs?", images=(), strategy="direct", seed=0)


def write(trace_dir, name, *lines):
    folder = trace_dir / name
    folder.mkdir(parents=True)
    (folder / "trace.jsonl").write_bytes(b"".join(lines))
    return folder / "trace.jsonl"


def line(event):
    return json.dumps({"schema": 1, **event.model_dump(mode="json")}).encode() + b"\n"


def test_a_run_is_listed_as_it_was(tmp_path):
    path = recorded(tmp_path)
    finished = read_trace(path).finished
    (listed,) = list_traces(tmp_path)
    assert listed == Listed(
        str(path), listed.started_at, "Are there more apples than cars?", "scripted", "decompose", "answered", "yes",
        finished.measured.usage["completion_tokens"], finished.measured.seconds["total"],
    )  # fmt: skip
    assert abs(datetime.now(UTC) - listed.started_at) < timedelta(minutes=10)


def test_newest_first_and_only_what_is_wanted(tmp_path):
    for day, question in ((1, "one"), (3, "three"), (2, "two")):
        write(tmp_path, f"2026010{day}-120000-0000000{day}", line(STARTED.model_copy(update={"question": question})))
    assert [listed.question for listed in list_traces(tmp_path)] == ["three", "two", "one"]
    assert [listed.question for listed in list_traces(tmp_path, limit=2)] == ["three", "two"]
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert [listed.question for listed in list_traces(tmp_path, Wanted(since=noon))] == ["three", "two"]
    assert [listed.question for listed in list_traces(tmp_path, Wanted(until=noon))] == ["one"]
    assert [listed.question for listed in list_traces(tmp_path, Wanted(text="THREE"))] == ["three"]
    assert not list(list_traces(tmp_path / "nowhere"))


def test_of_one_second_the_one_that_was_written_last_comes_first_and_is_the_last(tmp_path):
    asked = {
        "first": "20260101-120000-ffffffff",
        "third": "20260101-120000-00000000",
        "second": "20260101-120000-88888888",
    }
    for age, question in enumerate(("first", "second", "third")):
        path = write(tmp_path, asked[question], line(STARTED.model_copy(update={"question": question})))
        os.utime(path, (age, age))
    write(tmp_path, "20251231-120000-ffffffff", line(STARTED.model_copy(update={"question": "before"})))
    listed = list(list_traces(tmp_path))
    assert [one.question for one in listed] == ["third", "second", "first", "before"]
    assert find_trace("last", tmp_path) == listed[0].path


def test_each_filter_holds(tmp_path):
    recorded(tmp_path, strategy="direct", text="Is it red?")
    recorded(tmp_path, script(plan=EngineError("the model is gone")))
    for wanted, count in (
        (Wanted(strategy="direct"), 1),
        (Wanted(strategy="dir"), 0),
        (Wanted(stop_reason="error"), 1),
        (Wanted(model="SCRIPT"), 2),
        (Wanted(model="qwen"), 0),
        (Wanted(text="YES"), 1),
        (Wanted(text="red", strategy="decompose"), 0),
    ):
        assert len(list(list_traces(tmp_path, wanted))) == count, wanted


@pytest.mark.parametrize(
    ("lines", "stop_reason"),
    [
        ((b"",), UNFINISHED),
        ((b"not json\n",), UNREADABLE),
        ((b"[" * 100_000 + b"\n",), UNREADABLE),
        ((b'{"schema": 1, "event": "run_started", "question": 3, "engine": []}\n',), UNFINISHED),
        ((line(STARTED), line(Note(text="x" * 50_000))), UNFINISHED),
        ((line(STARTED), b'{"schema": 1, "event": "run_finished", "stop_reas'), UNFINISHED),
        ((line(STARTED.model_copy(update={"question": "x" * 50_000})), line(Note(text="y"))), UNFINISHED),
    ],
)
def test_damaged_and_unfinished_traces_are_listed(tmp_path, lines, stop_reason):
    write(tmp_path, "20260101-120000-00000000", *lines)
    (listed,) = list_traces(tmp_path)
    assert (listed.stop_reason, listed.answer) == (stop_reason, "")


def test_a_long_last_line_is_found(tmp_path):
    path = recorded(tmp_path, script(direct="z" * 30_000), strategy="direct")
    (listed,) = list_traces(tmp_path)
    assert listed.answer == read_trace(path).finished.answer.text


def test_what_is_no_run_is_passed_over(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with Recorder(tmp_path) as recorder:
        recorder.record(STARTED)
    assert [listed.path for listed in list_traces(tmp_path)] == [recorder.path]
    with pytest.raises(TraceError, match="cannot read the folder"):
        list(list_traces(tmp_path / "file"))
