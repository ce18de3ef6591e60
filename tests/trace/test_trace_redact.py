import asyncio
import dataclasses
import json
import math
import re

import pytest
from PIL import Image
from runs import PLAN, completion, script

from cot.engine import ScriptedEngine, TokenLogprob
from cot.errors import EngineError, TraceError, UsageError
from cot.image import from_pixels
from cot.planner.run import STRATEGIES, run
from cot.planner.wording import Wording
from cot.question import Earlier, Example, Exchange, Question
from cot.replay import replay
from cot.step import FinalAnswer, ToolUse
from cot.trace.event import Note, RunStarted, StepTaken, TracedImage
from cot.trace.read import as_json, read
from cot.trace.record import Recorder
from cot.trace.redact import Redaction, What, whats

QUESTION = "Which pet is on the sofa?"
LONG = "it's a \\ cat, " + "very " * 20 + "small"
BOXES = "1. [phrase] Where is the dog?\n2. [count] How many legs are in #1?\n3. [count] How many cars are there?\n"
WORDS = {"prompts": "prompts", "images": "images", "all": "prompts, images and answers"}
SECRET = "xyzzy"
NUMBER = "471100815913"
"""No time, probability or hash has such digits by chance."""

PICTURE = from_pixels(Image.linear_gradient("L").resize((64, 48)).convert("RGB"), source="/home/me/plugh.png")
SHOWN = from_pixels(Image.radial_gradient("L").resize((64, 48)).convert("RGB"), source="/home/me/plugh-2.png")


def made(folder, replies, *, strategy="direct", redact="none", question=None, system=""):
    settings = {"trace_dir": "/home/me/traces", "calibration": "/home/me/calibration.json", "model": "embedded"}

    async def ask(recorder):
        await run(
            strategy, question or Question(QUESTION, (PICTURE,)), ScriptedEngine(replies), recorder=recorder,
            settings=settings, wording=Wording(system=system),
        )  # fmt: skip

    with Recorder(folder, redact=whats(redact)) as recorder:
        asyncio.run(ask(recorder))
    return read(recorder.path)


def stored(folder):
    """Names and bytes of all that lies in a store."""
    return b"\n".join(
        str(path.relative_to(folder)).encode() + b"\n" + (path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    ).lower()


def asked(choices=()):
    """A question whose every part holds the secret, behind an example and something that was said before."""
    return Question(
        f"Is the {SECRET} of {NUMBER} there?", (PICTURE,), choices,
        Earlier((Exchange(f"Was {SECRET} here?", f"{SECRET} was"),)),
        (Example(f"Is {SECRET} here?", (SHOWN,), f"a {SECRET}"),),
    )  # fmt: skip


def repeating(text, plan=f"1. [text] Where is {SECRET}?\n2. [count] How many {SECRET} are there?\nanswer: decide"):
    """Replies of a model that says the secret wherever it can: in plans, answers, tokens and alternatives."""

    def reply(request):
        said = plan if "[count]" in str(request.messages[-1].content[-1]) else text
        found = completion(said)
        (candidate,) = found.candidates
        others = ((SECRET, math.log(0.05)), ("xyz", math.log(0.01)), ("zy", math.log(0.01)), (NUMBER, math.log(0.01)))
        pieces = tuple(TokenLogprob(piece, -0.1, others) for piece in re.findall("xyz|zy|.", said, re.DOTALL))
        return dataclasses.replace(found, candidates=(dataclasses.replace(candidate, logprobs=pieces[:16]),))

    return reply


@pytest.mark.parametrize("what", ["prompts", "all"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "replies",
    [repeating(f"A {SECRET}, {NUMBER} of them."), repeating(NUMBER), repeating("yes", PLAN), repeating("", "no xyzzy"),
     script(plan=f"{SECRET}, I say", direct=EngineError(f"the server says {SECRET}")),
     script(plan=EngineError(f"{SECRET} is too long"), direct=f"{SECRET}?")],
)  # fmt: skip
def test_no_prompt_is_left_in_the_store(tmp_path, strategy, replies, what):
    for choices in ((), (f"a {SECRET}", f"no {SECRET}")):
        made(tmp_path, replies, strategy=strategy, redact=what, question=asked(choices), system=f"Say {SECRET}.")
    found = stored(tmp_path)
    # Half of the secret is a token of its own.
    assert b"run_finished" in found
    assert not [word for word in (b"xyz", NUMBER.encode(), b"which pet", b"/home/me/traces") if word in found]
    assert not re.search(rb'"prompt_sha256":"[0-9a-f]', found)
    assert (b"plugh" in found) == (what == "prompts")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("what", ["images", "all", "prompts,images"])
def test_no_image_is_left_in_the_store(tmp_path, strategy, what):
    def reply(request):
        text = str(request.messages[-1].content[-1])
        if "[count]" in text:
            return completion(f"{BOXES}answer: #2 > #3" if PLAN[-7:] in text else "yes")
        said = {"Where is": "[0.1, 0.1, 0.5, 0.5]", "How many legs": "4", "How many cars": "1"}
        return completion(next((value for key, value in said.items() if text.startswith(key)), "no"))

    trace = made(tmp_path, reply, strategy=strategy, redact=what, question=asked())
    found = stored(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["trace.jsonl"]
    names = [text for image in (PICTURE, SHOWN) for text in (image.source, image.sha256, f"[image {image.sha256[:8]}")]
    assert not [name for name in (*names, "plugh") if name.encode() in found]
    assert not re.search(rb'"result":"[0-9a-f]{64}"', found)
    assert (trace.started.images[0].width, trace.started.images[0].height) == (64, 48)
    assert (SECRET.encode() in found) == (what == "images")


def test_what_was_left_out_is_said_and_what_was_answered_stays(tmp_path):
    trace = made(tmp_path, script(), strategy="decompose", redact="prompts")
    assert trace.left_out == {"prompts"}
    assert [(step.value, step.raw) for step in (event.step for event in trace.steps) if step.kind == "sub_answer"] == [
        (3, "3"), (1, "1"),
    ]  # fmt: skip
    assert trace.finished.answer.value is True
    assert [call.value for call in trace.calls] == ["[redacted]", 3, 1]
    assert (trace.calls[1].tokens[0][0], trace.calls[0].tokens[0][0]) == ("3", "[redacted]")
    assert (trace.started.settings["redact"], trace.started.images[0].source) == ("prompts", PICTURE.source)
    assert trace.image_path(trace.started.images[0]).exists()
    assert trace.redacted(frozenset({"images"})).started.settings["redact"] == "prompts,images"
    assert trace.redacted(frozenset({"all"})).finished.answer.value == "[redacted]"
    assert read(trace.path).redacted(frozenset()).left_out == {"prompts"}


@pytest.mark.parametrize("what", ["prompts", "images", "all"])
def test_what_was_left_out_of_the_store_is_what_is_left_out_of_exports(tmp_path, what):
    whole = made(tmp_path, script(), strategy="decompose")
    without = made(tmp_path, script(), strategy="decompose", redact=what)

    def plain(trace):
        return [event.model_dump(exclude={"measured"}) for event in trace.events]

    assert plain(whole.redacted(whats(what))) == plain(without)


@pytest.mark.parametrize("what", ["prompts", "images", "all"])
def test_what_was_left_out_cannot_be_asked_again(tmp_path, what):
    trace = made(tmp_path, script(), strategy="decompose", redact=what)
    with pytest.raises(TraceError, match=f"was recorded without {WORDS[what]}, so it cannot be asked again"):
        asyncio.run(replay(trace))


@pytest.mark.parametrize(
    ("said", "stays"),
    [("3", True), ("1,234.5", True), ("Yes", True), ("unknown", True), ("[0.1, 0.2, 0.3, 1]", True), ("", True),
     ("12", False), ("a 3", False), ("是", False), ("🦓", False), ("１２", False), ("1e5", False)],
)  # fmt: skip
def test_of_what_was_said_only_what_nobody_can_read_a_prompt_from_stays(said, stays):
    redaction = Redaction(frozenset({"prompts"}))
    redaction(RunStarted(question="Are there 12, 🦓?", images=(), strategy="direct", seed=0))
    step = redaction(StepTaken(step=ToolUse(name="t", arguments={"a": said}, result=said))).step
    assert (step.arguments["a"], step.result) == ((said, said) if stays else ("[redacted]",) * 2)


@pytest.mark.parametrize(
    ("question", "said"),
    [("Which locker is #4711?", "#4711"), ("Which ticket is #4711?", "4711"), ("Who has 0171 234 567?", "0171234567"),
     ("Is it 4111-1111?", "41111111"), ("Is it 41111111?", "4111 1111"), ("What opens with PIN 0042?", "42"),
     ("Call 0171 234, 5 times?", "0171234"), ("What ends at 12:34?", "1234"), ("Is it 0171\u2013234?", "0171 + 234"),
     ("Which is \uff14\uff17\uff11\uff11?", "4711"), ("Who was born on 31.12.1999?", "1999"),
     ("Which has 1,000 seats?", "1000"), ("Are there three dogs?", "3"), ("Is it twenty-one?", "21"),
     ("Is PIN four seven one one?", "4711"), ("Who was born in nineteen ninety-nine?", "1999"),
     ("Are there two thousand three hundred and five?", "2305"), ("Is it 3 million, or a dozen?", "3000000"),
     ("Is it 3 million, or a dozen?", "12"), ("What is on the third floor?", "3"), ("有二十一只狗吗？", "21"),
     ("有两只狗吗", "2"), ("有三万五千吗？", "35000"), ("一九九九年?", "1999"),
     ("Is it \u0664\u0667\u0661\u0661?", "4711"), ("Is it oh-thirty\tone?", "31"),
     ("F\u0130VE dogs?", "5"), ("f\u0131ve dogs?", "5"), ("SI\u0307X dogs?", "6"),
     ("What is the sum of ten and five?", "10"), ("What is the sum of two hundred and five?", "200"),
     ("Is it ten thousand and five?", "10005"), ("Is it ten thousand and five?", "10000"),
     ("Is it bus ten one?", "10"), ("Is it bus twenty one?", "20"), ("Is it bus twenty one?", "21"),
     ("Is it 2500 thousand?", "2500000"), ("Is it 1000 thousand?", "1000000"), ("Is it 1.5 million?", "1500000"),
     ("Is it 1,250 thousand?", "1250000"), ("Is it 3,5 million?", "3500000"), ("有3,5万吗？", "35000"),
     ("Is it 1.250 thousand?", "1250000"), ("Is it 1.250,5 thousand?", "1250500"),
     ("Is it twelve hundred thousand?", "1200000"),
     ("Is this Louis XIV?", "14"), ("Who won Super Bowl XLIX?", "49"), ("Built in MCMXCIV?", "1994"),
     ("Is this World War \u2161?", "2"), ("Is it two hundred dozen?", "2400"),
     ("Is it five hundred five hundred?", "500"),
     ("Is it 3 million two hundred thousand and six?", "3200006"), ("Is it 2 thousand 500?", "2500"),
     ("有两万五吗？", "25000"), ("有2万5吗？", "25000"), ("有一百一十五吗？", "115"),
     ("有三千二百零五万吗？", "32050000"),
     ("Is it " + "million " * 2000 + "?", "1000000")],
)  # fmt: skip
def test_a_number_of_the_question_goes_however_it_is_written(question, said):
    redaction = Redaction(frozenset({"prompts"}))
    redaction(RunStarted(question=question, images=(), strategy="direct", seed=0))
    step = redaction(StepTaken(step=FinalAnswer(text=said, value=said, raw=said, confidence=1))).step
    assert (step.text, step.value, step.raw) == ("[redacted]",) * 3


def test_a_formula_stays_unless_a_number_of_the_question_is_in_it():
    redaction = Redaction(frozenset({"prompts"}))
    redaction(RunStarted(question="Are there 12 more?", images=(), strategy="decompose", seed=0))
    for formula, stays in (("#1 - #12", True), ("#1 - #2 = 12", False)):
        step = redaction(StepTaken(step=ToolUse(name="t", arguments={"expression": formula}, result=3))).step
        assert step.arguments["expression"] == (formula if stays else "[redacted]")
        by_steps = FinalAnswer(text="3", value=3, raw=formula, confidence=1, source="steps")
        assert redaction(StepTaken(step=by_steps)).step.raw == (formula if stays else "[redacted]")


def test_a_hash_in_the_question_is_no_image(tmp_path):
    key, made_by_zoom = "ab" * 32, "cd" * 32
    redaction = Redaction(frozenset({"prompts"}))
    redaction(RunStarted(question=f"Is {key} there?", images=(), strategy="direct", seed=0))
    step = redaction(StepTaken(step=ToolUse(name="t", arguments={"a": key}, result=made_by_zoom))).step
    assert (step.arguments["a"], step.result) == ("[redacted]", made_by_zoom)


@pytest.mark.parametrize(
    ("earlier", "said"),
    [("Is there a \u21164711?", "4711"), ("Who has 0171\u2013234?", "0171234"), ("有三只猫吗？", "3")],
)
def test_a_number_that_was_said_before_goes_too(earlier, said):
    redaction = Redaction(frozenset({"prompts"}))
    settings = {"earlier": Earlier((Exchange(earlier, "yes"),)).as_text(), "system": "Say {yes}."}
    redaction(RunStarted(question="And now?", images=(), strategy="direct", seed=0, settings=settings))
    step = redaction(StepTaken(step=FinalAnswer(text=said, value=said, raw=said, confidence=1))).step
    assert (step.text, step.value, step.raw) == ("[redacted]",) * 3


@pytest.mark.parametrize(
    ("question", "said"),
    [("Is someone often at tennis?", "1"), ("Is someone often at tennis?", "10"), ("Are there twenty-one?", "1"),
     ("Are there twenty-one?", "20"), ("What is the sum of ten and five?", "15"), ("Is it bus ten one?", "11"),
     ("Is it 2500 thousand?", "502000"), ("有两万五吗？", "20005"), ("有二十只狗吗？", "10"),
     ("DID I MIX IT?", "1"), ("Is it a mix of ii and C?", "2"), ("What does IIII mean?", "4")],
)  # fmt: skip
def test_a_number_that_no_words_of_the_question_name_stays(question, said):
    redaction = Redaction(frozenset({"prompts"}))
    redaction(RunStarted(question=question, images=(), strategy="direct", seed=0))
    assert redaction(StepTaken(step=FinalAnswer(text=said, value=said, raw=said, confidence=1))).step.raw == said


@pytest.mark.parametrize("choice", ["a cat", LONG])
def test_messages_that_quote_the_choices_go_with_them(tmp_path, choice):
    question = Question(QUESTION, (PICTURE,), (choice, "a dog"))
    trace = made(tmp_path, script(direct="a llama"), question=question)
    assert "expected one of" in trace.calls[0].problem

    def left(what, *texts):
        found = json.dumps(as_json(trace.redacted(frozenset({what}))) | {"path": ""}, ensure_ascii=False)
        return [text for text in texts if json.dumps(text, ensure_ascii=False)[1:-1] in found]

    assert left("prompts", QUESTION, "a dog", "llama", choice[:6], "/home/me") == ["/home/me"]
    assert left("all", QUESTION, "a dog", "llama", choice[:6], "/home/me") == []
    assert left("images", "a dog", "llama", "/home/me") == ["a dog", "llama"]


def test_messages_that_name_no_image_stay_without_images():
    redaction = Redaction(frozenset({"images"}))
    image = {"source": "-", "sha256": "0" * 64, "width": 1, "height": 1}
    redaction(RunStarted(question="", images=(image,), strategy="direct", seed=0))
    assert redaction(Note(text="well - this is said")).text == "well - this is said"


@pytest.mark.parametrize("text", ["", "some", "prompts, images", "none,all"])
def test_what_cannot_be_left_out_is_said(text):
    with pytest.raises(UsageError, match="expected 'prompts', 'images', 'all', or several: 'prompts,images'"):
        whats(text)
    assert whats("none") == frozenset()
    assert whats("prompts,images") == {"prompts", "images"}


@pytest.mark.parametrize(
    ("what", "sample", "kept"),
    [
        ("images", "secret.png", False),
        ("images", "secret", False),
        ("images", "VD/Secret/0", False),
        ("images", "me/0", False),
        ("images", "secretary", True),
        ("images", "17", True),
        ("images", "cat", True),
        ("prompts", "cat", False),
        ("prompts", "is-there-a-cat", False),
        ("prompts", "secret", True),
        ("prompts", "17", True),
        ("prompts", "3", False),
        ("all", "secret/cat", False),
    ],
)
def test_a_sample_that_is_called_as_its_image_or_question_has_no_name(what: What, sample: str, kept: bool) -> None:
    image = TracedImage(source="/home/me/secret.png", sha256="a" * 64, width=1, height=1)
    started = RunStarted(
        question="Is there a cat by 3 dogs?", choices=(), images=(image,), strategy="direct", seed=0, templates={},
        settings={"task": "t", "sample": sample}, engine={}, versions={},
    )  # fmt: skip
    event = Redaction(frozenset({what}))(started)
    assert isinstance(event, RunStarted)
    assert event.settings == {"task": "t", "sample": sample if kept else "[redacted]", "redact": what}
