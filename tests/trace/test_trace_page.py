import dataclasses
import json
import re
import subprocess

import pytest
from browser import BROWSER
from html_pages import HOSTILE, assert_safe
from PIL import Image
from runs import recorded, script

from cot.errors import TraceError
from cot.step import FinalAnswer, SubAnswer, ToolUse
from cot.trace.diff import diff_traces
from cot.trace.event import OriginalImage, StepTaken
from cot.trace.otel import otlp_json
from cot.trace.page import diff_page, traces_page
from cot.trace.read import read


def test_one_trace_shows_all_of_it(tmp_path):
    trace = read(recorded(tmp_path))
    found = assert_safe(traces_page([trace]))
    assert not found.all("script")
    text = " ".join(found.texts.values())
    for call in trace.calls:
        assert call.prompt in text
        assert call.raw in text
    for part in ("Are there more apples than cars?", "#1", "count", "90%", "81%", "from #1 #2", "red.png, 64 x 48"):
        assert part in " ".join(text.split())
    assert len([e for e in found.all("rect") if e["class"] in ("prefill", "decode")]) == 6
    assert found.all("use") == [{"href": f"#i{trace.started.images[0].sha256}"}]
    assert str(tmp_path) not in traces_page([trace.redacted(frozenset({"images"}))])


def test_a_region_that_a_tool_looked_at_lies_on_its_image_alone(tmp_path):
    trace = read(recorded(tmp_path))
    first = trace.started.images[0]
    images = (first, first.model_copy(update={"source": "blue.png"}))
    edges = {"left": 0.5, "top": 0, "right": 1, "bottom": 1}
    named = ToolUse(name="zoom", arguments={"image": "blue.png", **edges}, result="")
    events = (trace.started.model_copy(update={"images": images}), StepTaken(step=named))
    # One that names no image may be of any.
    unnamed = (events[0], StepTaken(step=named.model_copy(update={"arguments": edges})))
    for what, shown in (
        (events, ["picture", "picture", "region"]),
        (unnamed, ["picture", "region", "picture", "region"]),
    ):
        found = assert_safe(traces_page([dataclasses.replace(trace, events=what)]))
        assert [e["class"] for tag, e in found.elements if tag != "text" and e.get("class") in shown] == shown


def test_how_sure_an_engine_without_probabilities_is_nobody_says(tmp_path):
    def unsure(event):
        step = getattr(event, "step", None)
        if isinstance(step, SubAnswer | FinalAnswer):
            return event.model_copy(update={"step": step.model_copy(update={"confidence": 0.0})})
        update = {"confidence": None, "tokens": ()} if event.event == "call" else {}
        if event.event == "run_finished":
            update = {"answer": event.answer.model_copy(update={"confidence": 0.0})}
        return event.model_copy(update=update)

    sure = read(recorded(tmp_path))
    trace = dataclasses.replace(sure, events=tuple(map(unsure, sure.events)))
    small = assert_safe(traces_page([trace])).texts["small"]
    assert "%" not in small
    assert "from #1 #2" in small
    assert "cot.confidence" in json.dumps(otlp_json(sure))
    assert "cot.confidence" not in json.dumps(otlp_json(trace))
    changes = {change.name: change.a for pair in diff_traces(trace, sure).pairs for change in pair.changes}
    assert changes["confidence"] == ""


def with_alternatives(trace, text):
    """The trace with an image that was another one, and this text beside the first token of each call."""
    started = trace.started
    image = started.images[0].model_copy(update={"original": OriginalImage(mode=text, width=9, height=9)})
    events = [started.model_copy(update={"images": (image,)})]
    for event in trace.events[1:]:
        update = {"alternatives": (((text, -3.0),),)} if event.event == "call" else {}
        events.append(event.model_copy(update=update))
    return dataclasses.replace(trace, events=tuple(events))


def test_what_else_was_likely_and_what_it_was_made_with(tmp_path):
    found = assert_safe(traces_page([with_alternatives(read(recorded(tmp_path)), "CMYK")]))
    text = " ".join(" ".join(found.texts.values()).split())
    assert "64 x 48 (was 9 x 9 CMYK)" in text
    assert "in place of" in text
    assert "5%" in text
    assert "templatesdecompose/plan " in text


def test_hostile_text_stays_text(tmp_path):
    replies = script(plan=HOSTILE, direct=HOSTILE)
    trace = read(recorded(tmp_path, replies, text=HOSTILE, source=HOSTILE))
    trace = with_alternatives(trace, HOSTILE)
    found = assert_safe(traces_page([trace, trace]))
    assert "document.title='owned'" in found.texts["h1"]
    assert "\\x1b[31m\\u202e" in found.texts["h1"]
    assert_safe(diff_page(diff_traces(trace, read(recorded(tmp_path)))))


def test_several_traces_have_an_index_and_share_images(tmp_path):
    traces = [read(recorded(tmp_path)), read(recorded(tmp_path, strategy="direct"))]
    found = assert_safe(traces_page(traces))
    assert [e["href"] for e in found.all("a")] == ["#t1", "#t2"]
    assert [e["id"] for e in found.all("article")] == ["t1", "t2"]
    assert len(found.all("image")) == 1
    assert len(found.all("use")) == 2


def test_a_page_that_no_browser_opens_is_refused(tmp_path, monkeypatch):
    traces = [read(recorded(tmp_path)), read(recorded(tmp_path, strategy="direct"))]
    whole = len(traces_page(traces))
    monkeypatch.setattr("cot.trace.page.MAX_PAGE_CHARACTERS", whole)
    assert len(traces_page(traces)) == whole
    for most in (whole - 1, 10):
        monkeypatch.setattr("cot.trace.page.MAX_PAGE_CHARACTERS", most)
        with pytest.raises(TraceError, match="which few browsers open; name fewer, or leave their images out with"):
            traces_page(traces)


@pytest.mark.parametrize(
    ("damage", "why"),
    [("gone", "no such image beside"), ("empty", "cannot be opened"), ("other", "cannot be opened"),
     ("swapped", "holds another image"), ("path", "is no hash")],
)  # fmt: skip
def test_images_are_shown_only_if_they_are_the_recorded_ones(tmp_path, damage, why):
    trace = read(recorded(tmp_path))
    path = trace.image_path(trace.started.images[0])
    if damage == "path":
        trace.path.write_text(trace.path.read_text().replace(path.stem, "../images/" + path.stem))
    else:
        path.write_bytes(b"" if damage != "other" else read(recorded(tmp_path / "b")).path.read_bytes())
        if damage == "gone":
            path.unlink()
        if damage == "swapped":
            Image.new("RGB", (2, 2)).save(path)
    found = assert_safe(traces_page([read(trace.path)]))
    assert not found.all("use")
    assert re.search(f"image: .*{why}", found.texts["p"])


def test_a_torn_trace_is_shown(tmp_path):
    path = recorded(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    text = assert_safe(traces_page([read(path)])).texts["p"]
    assert "cut short" in text
    assert "Its end was not recorded" in text


def test_regions_lie_on_the_image(tmp_path):
    path = recorded(tmp_path)
    text = (
        path.read_text().replace('"wants":"count"', '"wants":"region"').replace('"value":3,', '"value":"0 0.5 0.5 1",')
    )
    path.write_text(text)
    (region,) = [e for e in assert_safe(traces_page([read(path)])).all("rect") if e["class"] == "region"]
    assert [float(region[name]) for name in ("x", "y", "width", "height")] == [0, 24, 32, 24]


def test_what_is_redacted_is_not_in_the_page(tmp_path):
    trace = with_alternatives(read(recorded(tmp_path, source="secret.png")), "three cars")
    pages = {what: traces_page([trace.redacted(frozenset({what}))]) for what in ("prompts", "images", "all")}
    assert "How many cups" not in pages["prompts"]
    assert "more apples than cars" not in pages["prompts"]
    assert "data:image" in pages["prompts"]
    for what in ("images", "all"):
        assert "data:image" not in pages[what]
        assert "secret.png" not in pages[what]
        assert trace.started.images[0].sha256[:16] not in pages[what]
    assert "cars" not in pages["all"]
    assert "recorded without prompts, images and answers" in pages["all"]
    for page in pages.values():
        assert_safe(page)


def opened(page, tmp_path):
    """What Chromium makes of a page: its elements as text. Fails for a word on its console or a request to a host."""
    file, log = tmp_path / "page.html", tmp_path / "net.json"
    file.write_text(page, "utf-8")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={tmp_path / 'user'}",
               "--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", file.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "CONSOLE" not in done.stderr
    # An event a line; a browser that is killed at its end may leave the last bracket out.
    begun = [line for line in log.read_text().splitlines() if re.search('"url":"(?:https?|wss?|ftp):', line)]
    # What a browser looks up for itself, such as its updates, has no origin.
    assert not [line for line in begun if '"initiator":"' in line and '"initiator":"not an origin"' not in line]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_a_request_of_a_page_is_found(tmp_path):
    with pytest.raises(AssertionError, match=r"picture\.test"):
        opened('<img src="http://picture.test/x.png">', tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_in_a_browser_nothing_hostile_runs_and_the_search_does(tmp_path):
    replies = script(plan=HOSTILE, direct=HOSTILE)
    traces = [read(recorded(tmp_path, replies, text=HOSTILE)), read(recorded(tmp_path, strategy="direct"))]
    found = opened(traces_page(traces), tmp_path)
    assert "2 of 2" in found
    assert "<title>cot traces</title>" in found


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_a_browser_is_told_of_what_is_not_allowed(tmp_path):
    for harm in ("<script>1</script>", "<img src='http://127.0.0.1:9/x.png'>", "<body onload='document.title=1'>"):
        with pytest.raises(AssertionError):
            opened(traces_page([read(recorded(tmp_path))]).replace("<body>", f"<body>{harm}", 1), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_a_trace_of_a_thousand_steps_opens(tmp_path):
    trace = read(recorded(tmp_path))
    call, step = trace.calls[1], trace.steps[2]
    middle = [e for n in range(500) for e in (call.model_copy(update={"step": f"sample {n}"}), step)]
    long = dataclasses.replace(trace, events=(trace.events[0], *middle, *trace.events[-2:]))
    found = opened(traces_page([long]), tmp_path)
    assert "sample 0" in found
    assert "sample 499" in found
