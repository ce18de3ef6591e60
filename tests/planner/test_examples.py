"""Solved questions before the one that is asked: who gets to see them, in what words, and what a trace keeps."""

import json

import pytest
from PIL import Image

from cot.engine import Message, ScriptedEngine
from cot.errors import TraceError
from cot.image import from_pixels
from cot.planner.asking import messages, transcript
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.planner.wording import Wording
from cot.prompt import parse_template
from cot.question import Example, Question
from cot.replay import recorded_question
from cot.trace.read import read_trace
from cot.trace.record import Recorder

RED, BLUE, GREEN = (from_pixels(Image.new("RGB", (4, 3), c), source=f"{c}.png") for c in ("red", "blue", "green"))
EXAMPLES = (
    Example("What colour is it?", (RED,), "red"),
    Example("Which?", (RED, BLUE), "both", ("one", "both")),
)
SHOWN = (
    Message("user", (RED, "What colour is it?\nAnswer briefly.")),
    Message("assistant", ("red",)),
    Message("user", (RED, BLUE, "Which?\nChoices: one, both. Answer with one of them.")),
    Message("assistant", ("both",)),
)
PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: {}"


def reply(request):
    text = request.messages[-1].content[-1]
    if "Split the question" in text:
        return PLAN.format("decide")
    return "2" if "Number or unknown" in text else "green"


async def asked(strategy, script=reply, **how):
    """What each request shows before its own turn, by the last line of that turn."""
    engine = ScriptedEngine(script)
    question = Question("What is it?", (GREEN,), examples=EXAMPLES)
    outcome = await run(strategy, question, engine, **how)
    assert outcome.stop_reason == "answered", outcome.notes
    return [(r.messages[-1].content[-1].splitlines()[-1], r.messages[:-1]) for r in engine.requests]


async def test_direct_shows_them_as_turns_in_its_own_words():
    assert await asked("direct") == [("Answer briefly.", SHOWN)]


async def test_reasoning_is_asked_for_without_them_and_the_answer_behind_them():
    (_, nothing), (_, shown) = await asked("cot")
    assert (nothing, shown) == ((), SHOWN)


async def test_a_decision_is_made_behind_them_and_neither_plans_nor_facts():
    assert [shown for _, shown in await asked("decompose")] == [(), (), (), SHOWN]


async def test_a_computed_answer_has_no_use_for_them():
    def script(request):
        found = reply(request)
        return PLAN.format("#1 + #2") if found.startswith("1.") else found

    assert [shown for _, shown in await asked("decompose", script)] == [(), (), ()]


async def test_every_vote_is_cast_behind_them():
    found = await asked("vote", tuning=Tuning(samples=3))
    assert [shown for _, shown in found] == [SHOWN] * len(found)
    assert len(found) > 1


@pytest.mark.parametrize("strategy", ["route", "verify"])
async def test_the_direct_answer_of_a_strategy_that_plans_is_given_behind_them(strategy):
    found = await asked(strategy)
    assert [shown for _, shown in found[:2]] == [SHOWN, ()]


async def test_an_own_strategy_shows_them_where_it_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prompts" / "look"
    folder.mkdir(parents=True)
    (folder / "strategy.yaml").write_text(
        "description: d\nsteps: [{name: see}, {name: say, takes: {seen: see}}, {name: short}]\nanswer: LAST\n"
    )
    head = "---\nname: look/{}\ndescription: d\ninputs: {{question: {{kind: text, required: true}}{}}}\n---\n"
    (folder / "see.jinja").write_text(head.format("see", "") + "{{ question }} Look.")
    (folder / "short.jinja").write_text(head.format("short", "") + "{{ question }} Be short.")
    taken = ", seen: {kind: text, required: true}"
    (folder / "say.jinja").write_text(head.format("say", taken) + "{{ seen }} {{ question }}")
    strategy = folder / "strategy.yaml"
    strategy.write_text(strategy.read_text().replace("LAST", "say"))
    # It needs what an example does not have, so that the words are those of a direct question.
    assert [shown for _, shown in await asked("look")] == [(), SHOWN]
    strategy.write_text(strategy.read_text().replace("answer: say", "answer: short"))
    ((_, shown),) = await asked("look")
    assert [turn.content[-1] for turn in shown] == ["What colour is it? Be short.", "red", "Which? Be short.", "both"]


async def test_they_are_in_the_language_of_the_prompt():
    ((_, shown),) = await asked("direct", wording=Wording("zh"))
    assert shown[0].content[-1].startswith("What colour is it?\n")
    assert shown[0].content[-1] != SHOWN[0].content[-1]


async def test_they_stand_behind_those_of_the_template(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts" / "direct").mkdir(parents=True)
    (tmp_path / "prompts" / "direct" / "answer.jinja").write_text(
        "---\nname: direct/answer\ndescription: d\ninputs: {question: {kind: text}, choices: {kind: list}}\n"
        'examples: [{inputs: {question: "First?"}, output: own}]\n---\n{{ question }}'
    )
    with Recorder(tmp_path / "traces") as recorder:
        ((_, shown),) = await asked("direct", recorder=recorder)
    assert [turn.content[-1] for turn in shown] == ["First?", "own", "What colour is it?", "red", "Which?", "both"]


@pytest.fixture
async def trace(tmp_path):
    """Of a question behind examples; that it replays, the tests see to with every trace."""
    with Recorder(tmp_path / "traces") as recorder:
        await asked("cot", recorder=recorder)
    return read_trace(recorder.path)


async def test_a_trace_holds_them_and_gives_them_back(trace):
    assert trace.calls[1].prompt.count("assistant: ") == 2
    question = recorded_question(trace)
    assert [(e.question, e.answer, e.choices) for e in question.examples] == [
        (e.question, e.answer, e.choices) for e in EXAMPLES
    ]
    assert [[image.sha256 for image in e.images] for e in question.examples] == [
        [image.sha256 for image in e.images] for e in EXAMPLES
    ]
    started = trace.started.model_copy(update={"settings": {"examples": "[3]"}})
    broken = type(trace)(**{**vars(trace), "events": (started, *trace.events[1:])})
    with pytest.raises(TraceError, match="holds examples that no run has"):
        recorded_question(broken)


@pytest.mark.parametrize("what", ["prompts", "images"])
async def test_what_is_left_out_of_a_trace_is_left_out_of_them_too(trace, what):
    said = json.dumps(trace.redacted(frozenset({what})).started.model_dump(mode="json"))
    assert RED.sha256 not in said or what == "prompts"
    assert "What colour" not in said
    assert "blue.png" not in said


@pytest.mark.parametrize("body", ["{{ question }}", "Look: {{ images }} {{ question }}"])
@pytest.mark.parametrize("examples", ["", "examples: [{inputs: {question: a}, output: b}]\n"])
def test_messages_have_the_transcript_of_their_prompt(body, examples):
    head = f"name: a/b\ndescription: d\ninputs: {{question: {{kind: text}}}}\n{examples}"
    template = parse_template(f"---\n{head}---\n{body}", name="a/b")
    rendered = template.render(question="q")
    more = rendered.behind([template.shot({"question": "c"}, (RED, BLUE), "d")])
    for prompt in (rendered, more):
        for images in ((), (GREEN,), (GREEN, RED)):
            assert transcript(messages(prompt, images, "a system message")) == prompt.transcript
    assert more.sha256 != rendered.sha256
