import asyncio
import dataclasses
import hashlib
import json
import math
import re

import pytest
from PIL import Image
from replayed import Replays
from runs import PLAN, recorded, script

from cot.engine import Candidate, Completion, TokenLogprob
from cot.errors import EngineError, ImageError, TraceError, UnfitReplyError
from cot.image import ImageLimits, load_image
from cot.planner.budget import Budget
from cot.prompt import Template
from cot.replay import replay
from cot.trace.event import Note, OriginalImage
from cot.trace.page import traces_page
from cot.trace.read import read
from cot.trace.record import Recorder

UNFIT = UnfitReplyError("got 'Hm'", text="Hm", usage={"prompt_tokens": 9, "completion_tokens": 1, "calls": 1})


def again(trace):
    return asyncio.run(replay(trace))


@pytest.mark.parametrize(
    ("options", "replies"),
    [
        ({}, None),
        ({"strategy": "direct"}, None),
        ({"strategy": "direct", "choices": ("yes", "no")}, None),
        ({}, script(plan="no plan")),
        ({}, script(answers={"How many apples": "unknown"}, direct="three of them")),
        ({}, script(answers={"How many apples": EngineError("the model is gone")})),
        ({}, script(plan=EngineError("the model is gone"))),
        ({}, script(plan=UNFIT, direct=UNFIT)),
        ({}, script(plan=UNFIT, direct="three")),
        ({}, script(answers={"How many apples": UNFIT})),
        ({"strategy": "vote"}, script(direct=UNFIT)),
        ({}, script(plan=PLAN.replace("#1 > #2", "decide"))),
        ({}, script(plan="1. [count] How many apples?\n2. [count] How many apples?\nanswer: #1 + #2")),
        ({"budget": Budget(max_tokens=30)}, None),
        ({"budget": Budget(max_steps=1)}, None),
    ],
)
def test_a_run_comes_to_the_same(tmp_path, options, replies):
    found = again(read(recorded(tmp_path, replies, **options)))
    assert found.differences == ()


def test_a_run_with_exchanged_answers_comes_to_the_same(tmp_path):
    trace = made(tmp_path, exchange_answers=True)
    assert "sub-answers of one kind were exchanged" in [e.text for e in trace.events if isinstance(e, Note)]
    assert again(trace).differences == ()


def test_alternatives_and_what_an_image_was_come_back(tmp_path):
    others = TokenLogprob("yes", math.log(0.6), (("no", math.log(0.3)), ("maybe", math.log(0.05))))
    trace = made(tmp_path, lambda request: Completion((Candidate("yes", "stop", (others,)),)), strategy="direct")
    started = trace.started
    was = started.images[0].model_copy(update={"original": OriginalImage(mode="CMYK", width=3, height=4)})
    events = (started.model_copy(update={"images": (was,)}), *trace.events[1:])
    found = again(dataclasses.replace(trace, events=events))
    assert found.differences == ()
    assert trace.calls[0].alternatives == (others.others,)
    assert found.diff.b.calls[0].alternatives == (others.others,)
    assert found.diff.b.started.images == (was,)


def made(tmp_path, *arguments, **options):
    return read(recorded(tmp_path, *arguments, **options))


def test_a_changed_template_is_named(tmp_path, monkeypatch):
    trace = made(tmp_path)
    render = Template.render

    def changed(self, **inputs):
        found = render(self, **inputs)
        if self.matter.name != "decompose/sub_answer":
            return found
        text = f"Please: {found.text}"
        return dataclasses.replace(
            found, text=text, template_sha256="f" * 64, sha256=hashlib.sha256(text.encode()).hexdigest()
        )

    monkeypatch.setattr(Template, "render", changed)
    found = again(trace)
    assert found.differences[0].startswith(
        "sub_question 1: the prompt is not the recorded one: the template decompose/sub_answer has changed ("
    )
    assert found.differences[-1] == "ended: answered when recorded, error now"


def test_a_changed_prompt_is_shown_from_where_it_differs(tmp_path):
    trace = made(tmp_path, strategy="direct")
    events = [json.loads(line) for line in trace.path.read_text().splitlines()]
    call = next(event for event in events if event["event"] == "call")
    call["prompt"], call["prompt_sha256"] = call["prompt"].replace("apples", "pears"), "0" * 64
    trace.path.write_text("".join(json.dumps(event) + "\n" for event in events))
    found = again(read(trace.path))
    assert found.differences[0].startswith("answer: the prompt is not the recorded one from character ")
    assert "'pears than cars?" in found.differences[0]


def test_a_reply_that_was_cut_short_of_its_constraint_is_so_again(tmp_path):
    cut = Completion((Candidate("1. [count] How", "length", (TokenLogprob("1", -0.1),), satisfied=False),))
    trace = made(tmp_path, script(plan=cut))
    assert "before it was what the constraint wants" in trace.calls[0].problem
    assert again(trace).differences == ()


def test_an_image_is_read_however_large_it_was_kept(tmp_path, monkeypatch):
    trace = made(tmp_path, strategy="direct")
    # A kept PNG of a photograph of 30 MB has more bytes than a file that is asked about may have.
    monkeypatch.setattr(load_image, "__defaults__", (ImageLimits(max_bytes=1, max_pixels=1),))
    assert again(trace).differences == ()
    assert "data:image/png" in traces_page([trace])
    with pytest.raises(ImageError):
        load_image(trace.image_path(trace.started.images[0]))


def test_changed_parsing_is_told_step_by_step(tmp_path):
    trace = made(tmp_path)
    trace.path.write_text(trace.path.read_text().replace('"raw":"3","value":3', '"raw":"3","value":4'))
    found = again(read(trace.path))
    assert found.differences == ("#1 How many apples are there?: differs in parsed",)


def test_a_killed_run_replays_up_to_its_end(tmp_path):
    trace = made(tmp_path)
    lines = trace.path.read_text().splitlines(keepends=True)
    trace.path.write_text("".join(lines[:5]))
    found = again(read(trace.path))
    assert any("the recording is not finished" in difference for difference in found.differences)


def test_a_run_that_ran_out_of_time_ends_so_again(tmp_path):

    trace = made(tmp_path, script(plan=TimeoutError()))
    assert trace.finished.stop_reason == "budget_seconds"
    assert again(trace).differences == ()


@pytest.mark.parametrize("damage", ["gone", "other", "no hash"])
def test_the_recorded_image_is_wanted(tmp_path, damage):
    trace = made(tmp_path)
    path = trace.image_path(trace.started.images[0])
    if damage == "gone":
        path.unlink()
    elif damage == "other":
        Image.new("RGB", (8, 8)).save(path)
    else:
        sha256 = trace.started.images[0].sha256
        trace.path.write_text(trace.path.read_text().replace(sha256, "../../secret"))
    with pytest.raises(TraceError, match="is not beside it|holds another image"):
        again(read(trace.path))


@pytest.mark.parametrize("changed", ["budget", "step"])
def test_numbers_that_no_run_has_are_an_error_or_nothing(tmp_path, changed):
    trace = made(tmp_path)
    pattern, new = {
        "budget": (r'"max_seconds":[0-9.]+', f'"max_seconds":{10**400}'),
        "step": (r'"step":"sub_question 1"', f'"step":"sub_question {"9" * 5000}"'),
    }[changed]
    text, n = re.subn(pattern, new, trace.path.read_text())
    assert n == 1
    trace.path.write_text(text)
    if changed == "budget":
        with pytest.raises(TraceError, match="holds a budget that no run has"):
            again(read(trace.path))
    else:
        assert again(read(trace.path)).differences


def test_an_unknown_strategy_is_said(tmp_path):
    trace = made(tmp_path)
    trace.path.write_text(trace.path.read_text().replace('"strategy":"decompose"', '"strategy":"dance"', 1))
    with pytest.raises(TraceError, match="made by the strategy 'dance'"):
        again(read(trace.path))


@pytest.mark.parametrize("settings", ['"language":"../en"', '"language":7', '"tuning: keep":7', '"tuning: dance":1'])
def test_what_no_run_has_is_said(tmp_path, settings):
    trace = made(tmp_path)
    trace.path.write_text(trace.path.read_text().replace('"language":"en"', settings))
    with pytest.raises(TraceError, match="names the language|a tuning that no run has"):
        again(read(trace.path))


@pytest.mark.no_replay("one is made to come to something else")
def test_every_trace_of_the_tests_is_replayed(tmp_path, monkeypatch):
    """The hook in conftest.py tells of a trace that comes to something else."""
    replays = Replays()
    monkeypatch.setattr(Recorder, "close", lambda recorder: replays.close(recorder))
    recorded(tmp_path)
    assert (replays.count, replays.differences) == (1, [])
    monkeypatch.setattr("cot.replay.engine._candidate", lambda call: Candidate("no", "stop"))
    recorded(tmp_path, strategy="direct")
    assert replays.count == 2
    assert any("answer: " in difference for difference in replays.differences)
