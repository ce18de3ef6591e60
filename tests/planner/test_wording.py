import pytest
from PIL import Image

from cot.engine import Message, ScriptedEngine
from cot.errors import PromptError, UsageError
from cot.image import from_pixels
from cot.planner.run import run
from cot.planner.wording import Wording, check_template, read_templates, show_templates
from cot.question import Question

RED = from_pixels(Image.new("RGB", (4, 3), "red"), source="red.png")
HEAD = "---\nname: my/answer\ndescription: d\ninputs: {inputs}\noutput: {output}\n---\nSay: {{{{ question }}}}\n"
INPUTS = "{question: {kind: text}, choices: {kind: list}}"


@pytest.fixture
def my_template(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts" / "my").mkdir(parents=True)

    def write(name="answer", inputs=INPUTS, output="text"):
        text = HEAD.format(inputs=inputs, output=output).replace("my/answer", f"my/{name}")
        (tmp_path / "prompts" / "my" / f"{name}.jinja").write_text(text)

    return write


async def test_a_system_message_and_a_template_in_place_of_another(my_template):
    my_template()
    engine = ScriptedEngine(["red"])
    wording = Wording(system="One word.", templates=read_templates("direct/answer=my/answer"))
    await run("direct", Question("which colour?", (RED,)), engine, wording=wording)
    (request,) = engine.requests
    assert request.messages == (Message("system", ("One word.",)), Message("user", (RED, "Say: which colour?")))


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"output": "count"}, "its output is count, expected text"),
        ({"inputs": "{question: {kind: text}}"}, "it has no input 'choices' of the kind list"),
        ({"inputs": INPUTS[:-1] + ", mood: {kind: text, required: true}}"}, "it needs the input 'mood'"),
    ],
)
def test_a_template_that_does_not_fit_is_refused(my_template, how, problem):
    my_template("other", **how)
    with pytest.raises(UsageError, match=problem):
        check_template("direct/answer", "my/other", language="en")


def test_a_template_that_is_not_there(my_template):
    with pytest.raises(PromptError, match="no template 'my/answr'"):
        check_template("direct/answer", "my/answr", language="en")


def test_templates_as_text():
    found = read_templates("a/b=c/d,e/f=g/h")
    assert (found, show_templates(found), read_templates("")) == ({"a/b": "c/d", "e/f": "g/h"}, "a/b=c/d,e/f=g/h", {})
