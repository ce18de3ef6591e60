"""From templates to what an engine is asked: messages, constraints, and the language of a chain."""

import pytest
from PIL import Image

from cot.answer import constraint_for
from cot.engine import Choices, JsonSchema, Message, Regex
from cot.image import from_pixels
from cot.planner.asking import messages, output_constraint, transcript
from cot.planner.plan import PLAN_PATTERN
from cot.planner.run import run
from cot.planner.wording import Wording
from cot.prompt import load_template, parse_template
from cot.shipped import prompts_folder

RED = from_pixels(Image.new("RGB", (4, 3), "red"), source="red.png")


def template(more, body="{{ question }}"):
    head = f"name: a/b\ndescription: d\ninputs: {{question: {{kind: text}}, wants: {{kind: text}}}}\n{more}\n"
    return parse_template(f"---\n{head}---\n{body}", name="a/b", open_image=lambda path: RED)


def test_shipped_templates_are_one_turn_with_the_images_first():
    rendered = load_template("direct/answer").render(question="q")
    assert messages(rendered, [RED]) == (Message("user", (RED, "q\nAnswer briefly.")),)


def test_examples_are_turns_and_images_stand_where_they_are_put():
    more = "examples: [{image: a.png, inputs: {question: one}, output: '1'}, {inputs: {question: two}, output: '2'}]"
    rendered = template(more, "Look: {{ images }}{{ question }}").render(question="q")
    assert messages(rendered, [RED, RED]) == (
        Message("user", ("Look:", RED, "one")),
        Message("assistant", ("1",)),
        Message("user", ("Look:", "two")),
        Message("assistant", ("2",)),
        Message("user", ("Look:", RED, RED, "q")),
    )


@pytest.mark.parametrize("images", [[RED], []])
@pytest.mark.parametrize("body", ["{{ question }} {{ images }}", "{{ images }} {{ question }}", "A {{ images }} b"])
def test_nothing_is_sent_as_text_where_none_stands_behind_the_images(body, images):
    rendered = template("", body).render(question="q")
    turns = messages(rendered, images)
    assert "" not in turns[-1].content
    assert not images or transcript(turns) == rendered.transcript


@pytest.mark.parametrize(
    ("output", "inputs", "constraint"),
    [
        ("text", {}, None),
        ("count", {}, constraint_for("count")),
        ("plan", {}, Regex(PLAN_PATTERN)),
        ("wants", {"wants": "yes_no"}, Choices(("yes", "no", "unknown"))),
        ("choice", {"choices": ["a", "b"]}, Choices(("a", "b", "unknown"))),
        ("{json_schema: {type: object}}", {}, JsonSchema('{"type": "object"}')),
    ],
)
def test_outputs_are_constraints(output, inputs, constraint):
    assert output_constraint(template(f"output: {output}").matter, inputs) == constraint


async def test_a_chain_speaks_its_language(engine, question):
    scripted = engine("1. [count] How many apples are there?\nanswer: #1", {"How many apples": "3"})
    outcome = await run("decompose", question("苹果多吗？"), scripted, wording=Wording("zh"))
    texts = [request.messages[-1].content[-1] for request in scripted.requests]
    assert texts[0].startswith("把问题拆成")
    assert texts[1] == "How many apples are there?\n写数字，不知道就写 unknown："
    assert (outcome.answer.value, [note for note in outcome.notes if "translation" in note]) == (3, [])


async def test_a_chain_says_where_it_falls_back_to_english(engine, question):
    outcome = await run("direct", question(), engine("", direct="yes"), wording=Wording("fr"))
    assert "direct/answer has no translation into 'fr'; the English one is used" in outcome.notes


async def test_a_projects_template_is_the_one_that_is_asked(engine, question, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts" / "direct").mkdir(parents=True)
    source = (prompts_folder() / "direct" / "answer.jinja").read_text("utf-8")
    changed = source.replace("Answer briefly.", "Be brief.").replace("max_tokens: 64", "max_tokens: 9\nstop: ['.']")
    (tmp_path / "prompts" / "direct" / "answer.jinja").write_text(changed)
    scripted = engine("", direct="yes")
    await run("direct", question("Is it?"), scripted)
    (request,) = scripted.requests
    assert request.messages[-1].content[-1] == "Is it?\nBe brief."
    assert (request.max_tokens, request.stop) == (9, (".",))
