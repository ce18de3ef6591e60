import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cot.errors import TraceError
from cot.image import from_pixels, load_image
from cot.step import FinalAnswer, SubQuestion, ToolUse
from cot.trace.event import SCHEMA, Call, Event, Note, OriginalImage, RunFinished, RunStarted, StepTaken, TracedImage
from cot.trace.read import MAX_LINE_BYTES, find_trace, read_trace
from cot.trace.record import Recorder

pytestmark = pytest.mark.no_replay("events that no run made")

HASH = "0" * 64
ANSWER = FinalAnswer(text="3", value=3, raw="3", confidence=0.5)
EVENTS: list[Event] = [
    RunStarted(
        question="How many? 狗\u2028\x1b[31m",
        images=(
            TracedImage(
                source="a.png", sha256=HASH, width=8, height=6, original=OriginalImage(mode="P", width=6, height=8)
            ),
        ),
        strategy="direct",
        seed=0,
        templates={"direct/answer": HASH},
    ),
    Call(
        step="answer",
        template="direct/answer",
        template_sha256=HASH,
        prompt="How many?",
        prompt_sha256=HASH,
        max_tokens=64,
        raw="3",
        value=3,
        finish_reason="stop",
        confidence=0.5,
        tokens=(("3", -0.5), ("", 0.0)),
        alternatives=((("4", -1.5), ("狗", -4.0)), ()),
    ),
    StepTaken(step=SubQuestion(id=1, text="How many?", wants="count")),
    StepTaken(step=ANSWER),
    Note(text="a note\nof two lines"),
    RunFinished(answer=ANSWER, stop_reason="answered"),
]


@pytest.fixture
def recorded(tmp_path):
    with Recorder(tmp_path) as recorder:
        for event in EVENTS:
            recorder.record(event)
    return recorder.path


def test_what_was_recorded_is_read_back(recorded):
    trace = read_trace(recorded)
    skipped = {"seq", "measured"}
    assert [event.model_dump(exclude=skipped) for event in trace.events] == [
        event.model_dump(exclude=skipped) for event in EVENTS
    ]
    assert [event.seq for event in trace.events] == list(range(len(EVENTS)))
    times = [event.measured.at_seconds for event in trace.events]
    assert times == sorted(times)
    assert not trace.torn
    assert recorded.read_bytes().isascii()


def test_each_event_is_on_disk_before_the_next(tmp_path):
    with Recorder(tmp_path) as recorder:
        for number, event in enumerate(EVENTS, 1):
            recorder.record(event)
            assert len(read_trace(recorder.path).events) == number


def test_images_are_kept_once_and_read_back(tmp_path):
    image = from_pixels(Image.effect_noise((20, 10), 50).convert("RGB"), source="noise")
    with Recorder(tmp_path) as recorder:
        recorder.add_image(image)
        recorder.add_image(image)
        recorder.record(EVENTS[0])
    (path,) = recorder.folder.glob("images/*")
    assert path.name == f"{image.sha256}.png"
    assert load_image(path).sha256 == image.sha256


def test_a_run_that_recorded_nothing_leaves_nothing(tmp_path):
    with Recorder(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_runs_never_share_a_folder(tmp_path):
    recorders = [Recorder(tmp_path) for _ in range(20)]
    assert len({recorder.folder for recorder in recorders}) == 20
    for recorder in recorders:
        recorder.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="--trace-dir"):
        Recorder(tmp_path / "file" / "traces")


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_trace_cut_at_any_byte_is_read_up_to_there(recorded, data):
    whole = recorded.read_bytes()
    cut = recorded.with_name("cut.jsonl")
    length = data.draw(st.integers(0, len(whole)))
    cut.write_bytes(whole[:length])
    trace = read_trace(cut)
    assert trace.events == read_trace(recorded).events[: len(trace.events)]
    # A last line that only lacks its line break is whole.
    complete = sum(end <= length for end, byte in enumerate(whole) if byte == ord("\n"))
    assert len(trace.events) == complete
    assert trace.torn == (length > 0 and whole[length - 1 : length] != b"\n" and whole[length : length + 1] != b"\n")


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_bytes_break_the_reader(tmp_path, data):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(data)
    reason = ""
    events: tuple[Event, ...] = ()
    try:
        events = read_trace(path).events
    except TraceError as error:
        reason = str(error)
    assert not events
    assert not reason or str(path) in reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json\n", "line 1: got text that is not JSON"),
        (b"[" * 100_000 + b"\n", "line 1: got text that is not JSON"),
        (
            b'{"schema": 4, "event": "note", "text": "x"}\n',
            "got trace format '4'; this version of cot reads formats 1 to 3",
        ),
        (b'{"schema": 4, "event": "note", "text": "x"}', "got trace format '4'"),
        (b'{"schema": 0, "event": "note", "text": "x"}\n', "got trace format '0'"),
        (b'{"schema": true, "event": "note", "text": "x"}\n', "got trace format 'True'"),
        (b'{"schema": 1.0, "event": "note", "text": "x"}\n', "got trace format '1.0'"),
        (b'{"event": "note", "text": "x"}\n', "got trace format 'None'"),
        (b'{"schema": 1, "event": "dance"}\n', "line 1: got an event with a wrong field"),
        (b'{"schema": 1, "event": "note"}\n', "note.text"),
        (b'{"schema": 1, "event": "note", "text": "x", "extra": 1}\n', "note.extra"),
        (b'{"schema": 1, "event": "note", "text": "x", "seq": NaN}\n', "note.seq"),
        (b'{"schema": 1, "event": "note", "text": "x", "seq": ' + b"9" * 5000 + b"}\n", "not JSON"),
        (b'"text"\n', "got trace format"),
        (b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"x" * (MAX_LINE_BYTES + 1), "more than 4,194,304 bytes"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path, line, reason):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(line)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert reason in str(caught.value)


def test_what_is_too_large_is_refused(recorded, monkeypatch):
    # `cot.trace.read` is the function.
    monkeypatch.setattr(sys.modules["cot.trace.read"], "MAX_TRACE_BYTES", recorded.stat().st_size - 1)
    with pytest.raises(TraceError, match="got more than [0-9,]+ bytes; no trace is that large"):
        read_trace(recorded)


def test_damage_in_the_middle_is_not_passed_over(recorded):
    lines = recorded.read_bytes().splitlines(keepends=True)
    recorded.write_bytes(b"".join([lines[0], lines[1][:40] + b"\n", *lines[2:]]))
    with pytest.raises(TraceError, match="line 2"):
        read_trace(recorded)


def test_traces_are_found(recorded, tmp_path):
    for name in (str(recorded), str(recorded.parent)):
        assert find_trace(name, tmp_path / "nowhere") == recorded
    older = tmp_path / "20200101-000000-ffffffff"
    older.mkdir()
    (older / "trace.jsonl").write_bytes(recorded.read_bytes())
    assert find_trace("last", tmp_path) == recorded
    for name in (str(tmp_path / "nothing"), "~no-such-user/trace", "a" * 5000, "nul\0byte"):
        with pytest.raises(TraceError, match="no trace at"):
            find_trace(name, tmp_path)
    with pytest.raises(TraceError, match="there is no trace in .* yet"):
        find_trace("last", tmp_path / "nowhere")


def test_lines_say_their_schema(recorded):
    assert all(json.loads(line)["schema"] == SCHEMA for line in recorded.read_text("ascii").splitlines())


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (0, {"settings": {"a": [[1]]}}),
        (0, {"engine": {"a": {"b": 1}}}),
        (0, {"settings": {"a": float("nan")}}),
        (1, {"constraint": {"a": [["b"]]}}),
        (1, {"confidence": 1.5}),
        (1, {"value": float("inf")}),
        (0, {"images": [{"source": "a", "sha256": HASH, "width": 10**400, "height": 1}]}),
        (0, {"images": [{"source": "a", "sha256": HASH, "width": 1, "height": -1}]}),
        (0, {"seed": 10**400}),
        (1, {"measured": {"usage": {"prompt_tokens": 10**400}}}),
        (1, {"measured": {"seconds": {"queue": 1e308}}}),
        (1, {"measured": {"at_seconds": -1e308}}),
        (3, {"step": {**ANSWER.model_dump(), "value": float("inf")}}),
    ],
)
def test_what_no_run_records_is_refused(recorded, line, changes):
    lines = recorded.read_text("ascii").splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    recorded.write_text("\n".join(lines))
    with pytest.raises(TraceError, match=f"line {line + 1}: got an event with a wrong field"):
        read_trace(recorded)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count writes")
@pytest.mark.parametrize("characters", [1, 8_000, 300_000])
def test_an_event_is_one_write(tmp_path, characters):
    def writes():
        return int(re.search("syscw: ([0-9]+)", Path("/proc/self/io").read_text())[1])

    with Recorder(tmp_path) as recorder:
        before = writes()
        recorder.record(Note(text="x" * characters))
        recorder.record(Note(text="y" * characters))
        assert writes() - before == 2


def test_what_cannot_be_written_is_said(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.close()
    with pytest.raises(TraceError, match="cannot write to .*free some space"):
        recorder.record(EVENTS[0])


@pytest.mark.parametrize("text", ["NaN and Infinity", "狗\u2028\x00", '"}\n{"'])
def test_words_that_look_like_something_else_are_kept(tmp_path, text):
    with Recorder(tmp_path) as recorder:
        recorder.record(Note(text=text))
    assert recorder.path.read_bytes().isascii()
    assert [event.text for event in read_trace(recorder.path).events] == [text]


def test_texts_that_utf8_cannot_hold_are_written_with_escapes(tmp_path):
    odd = "caf\udce9 狗 NaN"
    step = ToolUse(name="zoom", arguments={"image": odd}, result=odd)
    with Recorder(tmp_path) as recorder:
        recorder.record(EVENTS[0].model_copy(update={"settings": {"model": odd}}))
        recorder.record(StepTaken(step=step))
    started, taken = read_trace(recorder.path).events
    escaped = "caf\\udce9 狗 NaN"
    assert started.settings == {"model": escaped}
    assert taken.step == ToolUse(name="zoom", arguments={"image": escaped}, result=escaped)
    assert recorder.path.read_bytes().isascii()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_not_written(tmp_path, number):
    with Recorder(tmp_path) as recorder:
        with pytest.raises(ValueError, match="not JSON compliant"):
            recorder.record(EVENTS[1].model_copy(update={"confidence": number}))
        recorder.record(EVENTS[0])
    (event,) = read_trace(recorder.path).events
    assert event.seq == 0
