import asyncio
import json

import pytest
from PIL import Image
from runs import PLAN, completion, script

from cot.engine import ScriptedEngine
from cot.image import from_pixels
from cot.planner.run import run
from cot.question import Question
from cot.trace.read import as_json, read
from cot.trace.record import Recorder
from cot.trace.redact import redact

QUESTION = "Which pet is on the sofa?"
LONG = "it's a \\ cat, " + "very " * 20 + "small"
BOXES = "1. [phrase] Where is the dog?\n2. [count] How many legs are in #1?\n3. [count] How many cars are there?\n"


def made(tmp_path, replies, *, strategy="direct", choices=()):
    image = from_pixels(Image.linear_gradient("L").resize((64, 48)), source="/home/me/secret.png")
    settings = {"trace_dir": "/home/me/traces", "calibration": "/home/me/calibration.json", "model": "embedded"}

    async def ask(recorder):
        question = Question(QUESTION, (image,), choices)
        await run(strategy, question, ScriptedEngine(replies), recorder=recorder, settings=settings)

    with Recorder(tmp_path) as recorder:
        asyncio.run(ask(recorder))
    return read(recorder.path)


def left(trace, what, *texts):
    """Which of the texts are in the redacted trace, as it would be exported."""
    redacted = as_json(redact(trace, frozenset({what}))) | {"path": ""}
    found = json.dumps(redacted, ensure_ascii=False)
    return [text for text in texts if json.dumps(text, ensure_ascii=False)[1:-1] in found]


@pytest.mark.parametrize("choice", ["a cat", LONG])
def test_messages_that_quote_the_choices_go_with_them(tmp_path, choice):
    trace = made(tmp_path, script(direct="a llama"), choices=(choice, "a dog"))
    assert "expected one of" in trace.calls[0].problem
    for what in ("prompts", "all"):
        assert left(trace, what, QUESTION, "a dog", choice[:6], "/home/me") == (
            ["/home/me"] if what == "prompts" else []
        )
    assert "a dog" in left(trace, "images", "a dog")
    assert left(trace, "prompts", "calibration.json", "/home/me/traces") == []


def test_messages_that_quote_nothing_stay(tmp_path):
    trace = made(tmp_path, script(plan="no plan"), strategy="decompose")
    (call,) = [call for call in redact(trace, frozenset({"prompts"})).calls if call.step == "plan"]
    assert call.problem == trace.calls[0].problem != "[redacted]"


def test_what_tools_say_of_images_goes_with_them(tmp_path):
    def reply(request):
        text = str(request.messages[-1].content[-1])
        if "[count]" in text:
            return completion(f"{BOXES}answer: #2 > #3" if PLAN[-7:] in text else "yes")
        said = {"Where is": "[0.1, 0.1, 0.5, 0.5]", "How many legs": "4", "How many cars": "1"}
        return completion(next((value for key, value in said.items() if text.startswith(key)), "no"))

    trace = made(tmp_path, reply, strategy="verify")
    (zoomed,) = [event.step for event in trace.steps if event.step.kind == "tool_use" and event.step.name == "zoom"]
    texts = ("secret.png", trace.started.images[0].sha256, zoomed.result)
    assert left(trace, "images", *texts) == []
    assert left(trace, "prompts", *texts) == list(texts)
    (hidden,) = [event.step for event in redact(trace, frozenset({"images"})).steps if event.seq and
                 event.step.kind == "tool_use" and event.step.name == "zoom"]  # fmt: skip
    assert (hidden.arguments["image"], hidden.arguments["left"]) == ("[redacted]", 0.1)
