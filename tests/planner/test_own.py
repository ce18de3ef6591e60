"""Users' own strategies: folders of templates with a `strategy.yaml`."""

from importlib.metadata import EntryPoint

import pytest
import step_tools
from PIL import Image, ImageDraw, ImageFont

import cot.cli
from cot.engine import Regex, ScriptedEngine
from cot.engine.local import LocalEngine
from cot.errors import PromptError, UsageError
from cot.evaluate.define import template_hashes
from cot.image import from_pixels, load_image
from cot.planner.budget import Budget
from cot.planner.names import check_strategy, strategy_names
from cot.planner.run import run
from cot.prompt import parse_template
from cot.prompt.find import replaced
from cot.question import Question
from cot.shipped import weights_folder
from cot.tools import find
from cot.trace.read import read_trace
from cot.trace.record import Recorder

TEMPLATE = """---
name: careful/{name}
description: d
inputs: {{{inputs}}}
output: {output}
max_tokens: 16
---
{body}
"""
LOOK = {"inputs": "question: {kind: text, required: true}", "output": "text", "body": "Look: {{ question }}"}
COUNT = {"inputs": "", "output": "count", "body": "How many?"}
ANSWER = {
    "inputs": "question: {kind: text}, seen: {kind: text, required: true}, number: {kind: text, default: none}",
    "output": "text",
    "body": "{{ seen }} and {{ number }}. {{ question }}",
}
STEPS = """description: Looks and counts, then answers.
steps:
  - name: look
  - name: count
  - name: answer
    takes: {seen: look, number: count}
answer: answer
"""


@pytest.fixture
def careful(tmp_path, monkeypatch):
    """Writes the strategy `careful` into `./prompts`; `steps` is its YAML."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prompts" / "careful"
    folder.mkdir(parents=True)

    def write(steps=STEPS, **templates):
        for name, parts in {"look": LOOK, "count": COUNT, "answer": ANSWER, **templates}.items():
            (folder / f"{name}.jinja").write_text(TEMPLATE.format(name=name, **parts))
        (folder / "strategy.yaml").write_text(steps)

    return write


def script(completion, **changed):
    said = {"Look": "a basket", "How": "3", "a basket": "three apples"} | changed

    def reply(request):
        text = request.messages[-1].content[-1]
        found = next((answer for key, answer in said.items() if text.startswith(key)), "directly")
        return completion(found)

    return ScriptedEngine(reply)


async def test_steps_follow_each_other_as_the_file_says(careful, question, completion):
    careful()
    engine = script(completion)
    outcome = await run("careful", question("What is it?"), engine)
    assert (outcome.answer.value, outcome.stop_reason, outcome.answer.supports) == ("three apples", "answered", (1, 2))
    assert outcome.answer.confidence == pytest.approx(0.9)
    asked = [request.messages[-1].content[-1] for request in engine.requests]
    assert asked == ["Look: What is it?", "How many?", "a basket and 3. What is it?"]
    kinds = [step.kind for step in outcome.steps]
    assert sorted(kinds[:-1]) == ["sub_answer", "sub_answer", "sub_question", "sub_question"]
    questions = {step.id: step.wants for step in outcome.steps if step.kind == "sub_question"}
    assert questions == {1: "text", 2: "count"}


@pytest.mark.parametrize(("step", "asked"), [("look", "Peer: What?"), ("answer", "Peer: a basket")])
async def test_what_stands_in_place_of_a_step_while_two_are_compared_is_asked_with(
    careful, question, completion, step, asked
):
    careful()
    parts = {"look": LOOK | {"body": "Peer: {{ question }}"}, "answer": ANSWER | {"body": "Peer: {{ seen }}"}}[step]
    source = TEMPLATE.format(name=step, **parts).replace("careful/", "elsewhere/")
    engine = script(completion, Peer="a basket")
    with replaced(f"careful/{step}", parse_template(source, name=f"elsewhere/{step}")):
        outcome = await run("careful", question("What?"), engine)
    assert outcome.stop_reason == "answered"
    assert asked in [request.messages[-1].content[-1] for request in engine.requests]


async def test_answers_are_held_to_their_kind_and_to_the_choices(careful, question, completion):
    careful()
    engine = script(completion, **{"a basket": "apples"})
    outcome = await run("careful", question("Which?", ["apples", "cars"]), engine)
    assert outcome.answer.value == "apples"
    held = [type(request.constraint).__name__ for request in engine.requests]
    assert held == ["NoneType", "Regex", "Choices"]


async def test_what_the_answer_does_not_rest_on_is_not_asked(careful, question, completion):
    careful(STEPS.replace(", number: count", ""))
    engine = script(completion)
    outcome = await run("careful", question(), engine)
    assert (outcome.answer.value, len(engine.requests)) == ("three apples", 2)


async def test_a_step_that_comes_to_nothing_is_said_and_the_question_asked_directly(careful, question, completion):
    careful()
    outcome = await run("careful", question(), script(completion, How="unknown"))
    assert (outcome.answer.value, outcome.stop_reason) == ("directly", "answered")
    said = [step.text for step in outcome.steps if step.kind == "reasoning"]
    assert said == ["The question is asked directly: the step count came to nothing: the model does not know."]


async def test_an_answer_that_cannot_be_read_is_unparsed(careful, question, completion):
    careful(answer=ANSWER | {"output": "number"})
    outcome = await run("careful", question(), script(completion))
    assert (outcome.answer.value, outcome.stop_reason) == (None, "unparsed")


async def test_json_stays_text(careful, question, completion):
    schema = "{json_schema: {type: object}}"
    careful(look=LOOK | {"output": schema}, answer=ANSWER | {"output": schema})
    outcome = await run("careful", question(), script(completion, Look='{"a": 1}', **{'{"a': '{"b": 2}'}))
    assert outcome.answer.value == '{"b": 2}'


async def test_a_template_may_be_one_that_ships(careful, question, completion):
    careful("description: d\nsteps: [{name: ask, template: direct/answer}]\n")
    outcome = await run("careful", question("Is it?"), script(completion))
    assert outcome.answer.value == "directly"


@pytest.mark.parametrize("name", ["template", "inputs", "parse", "step", "constraint", "n", "sampling", "with_images"])
async def test_an_input_may_have_any_name(careful, question, completion, name):
    answer = {"inputs": f"{name}: {{kind: text}}", "output": "text", "body": f"{{{{ {name} }}}}!"}
    careful(STEPS.replace("seen: look, number: count", f"{name}: look"), answer=answer)
    outcome = await run("careful", question(), script(completion, **{"a basket!": "three apples"}))
    assert (outcome.answer.value, outcome.usage.calls) == ("three apples", 2)


async def test_a_step_is_called_by_all_its_words_wherever_the_images_stand(careful, question, completion):
    careful(
        look=LOOK | {"body": "Look: {{ question }}\n{{ images }}"}, count=COUNT | {"body": "How {{ images }} many?"}
    )
    engine = ScriptedEngine(lambda request: completion("3"))
    outcome = await run("careful", question("Which?"), engine)
    asked = [step.text for step in outcome.steps if step.kind == "sub_question"]
    assert sorted(asked) == ["How\nmany?", "Look: Which?"]
    assert [step.asked for step in outcome.steps if step.kind == "sub_answer"] == asked


async def test_the_budget_holds(careful, question, completion):
    careful()
    outcome = await run("careful", question(), script(completion), Budget(max_tokens=3))
    assert outcome.stop_reason == "budget_tokens"


async def test_with_too_few_steps_the_question_is_asked_directly(careful, question, completion):
    careful()
    outcome = await run("careful", question(), script(completion), Budget(max_steps=2))
    assert (outcome.answer.value, outcome.stop_reason, outcome.usage.calls) == ("directly", "budget_steps", 1)
    assert outcome.notes == ("careful needs 3 steps, and the budget has 2",)
    careful(STEPS.replace(", number: count", ""))
    outcome = await run("careful", question(), script(completion), Budget(max_steps=2))
    assert (outcome.answer.value, outcome.stop_reason) == ("three apples", "answered")


def test_it_is_listed_and_counts_in_what_defines_a_run(careful):
    careful()
    assert strategy_names()[-1] == "careful"
    hashes = template_hashes("en", ["careful"])
    assert {"careful/look", "careful/strategy.yaml", "direct/answer"} <= set(hashes)
    assert "careful/look" not in template_hashes("en", ["direct"])
    with pytest.raises(UsageError, match="'carefull', did you mean 'careful'.; known: direct.*route, careful"):
        check_strategy("carefull")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("takes:", "gets:"), r"strategy.yaml: steps.2.gets: there is no such key; expected description"),
        (("seen: look", "seen: see"), r"step 'answer' takes from 'see'; expected an earlier step: look, count"),
        (("seen: look", "sight: look"), r"careful/answer has no text input 'sight'; its text inputs: question, seen"),
        (("seen: look, ", ""), r"careful/answer needs 'seen'; say which step it takes it from"),
        (("name: count", "name: look"), r"step 'look': the name is taken"),
        (("answer: answer", "answer: end"), r"got the answer 'end'; expected a step: look, count, answer"),
        (("name: count", "name: amount"), r"no template 'careful/amount'"),
        (("name: count", "name: Count it"), r"steps.1.name"),
        (("description", "- description"), r"is not YAML"),
        (("description: Looks", "name: d\nname: Looks"), r"'name' in line 2 is there already"),
        ((STEPS, "- look"), r"careful/strategy.yaml: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(careful, change, message):
    careful(STEPS.replace(*change))
    with pytest.raises(PromptError, match=message) as caught:
        check_strategy("careful")
    assert "\n" not in str(caught.value)


def test_plans_are_no_steps(careful):
    careful(count=COUNT | {"output": "plan"})
    with pytest.raises(PromptError, match="has the output 'plan'; expected text, phrase"):
        check_strategy("careful")


@pytest.mark.parametrize(("given", "kind", "right"), [("choices", "text", "list"), ("question", "list", "text")])
def test_what_is_filled_in_is_of_its_kind(careful, given, kind, right):
    look = {"inputs": f"{given}: {{kind: {kind}, required: true}}", "output": "text", "body": f"{{{{ {given} }}}}"}
    careful(look=look)
    with pytest.raises(PromptError, match=f"careful/look has '{given}' of the kind {kind}; expected a {right}"):
        check_strategy("careful")


def test_a_link_out_of_the_folder_is_refused(careful, tmp_path):
    careful()
    file = tmp_path / "prompts" / "careful" / "strategy.yaml"
    file.rename(tmp_path / "elsewhere.yaml")
    file.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(PromptError, match="leads out of"):
        check_strategy("careful")


async def test_it_runs_on_the_embedded_model(careful, root):
    careful()
    engine = LocalEngine.load(weights_folder(), device="cpu")
    try:
        image = load_image(root / "examples" / "market.png")
        outcome = await run("careful", Question("Is there a dog?", (image,), ("yes", "no")), engine)
    finally:
        await engine.close()
    assert outcome.stop_reason == "answered"
    assert outcome.answer.value in ("yes", "no")
    assert outcome.usage.calls == 3
    assert 0 < outcome.answer.confidence <= 1


WITH_TOOL = """description: Uses a tool, then answers.
steps:
  - name: look
  - {name: number, tool: TOOL}
  - name: answer
    takes: {seen: look, number: number}
"""


@pytest.fixture
def tools(monkeypatch):
    """The functions of `step_tools` are installed as tools."""
    names = ("width", "letters", "nothing", "fail", "hang")
    points = [EntryPoint(name, f"step_tools:{name}", find.GROUP) for name in names]
    monkeypatch.setattr(find, "entry_points", lambda group: points)


async def test_a_step_may_use_a_tool(careful, tools, question, completion, tmp_path):
    careful(WITH_TOOL.replace("tool: TOOL", "tool: width, arguments: {times: 2}"))
    engine = script(completion, **{"a basket": "sixteen"})
    with Recorder(tmp_path / "traces") as recorder:
        outcome = await run("careful", question("What is it?"), engine, recorder=recorder)
    (used,) = [step for step in outcome.steps if step.kind == "tool_use"]
    assert (used.name, used.arguments, used.result) == ("width", {"image": "red.png", "times": 2}, 16)
    asked = [request.messages[-1].content[-1] for request in engine.requests]
    assert asked == ["Look: What is it?", "a basket and 16. What is it?"]
    assert (outcome.answer.value, outcome.answer.supports) == (16, (1,))
    assert "tool width" in read_trace(recorder.path).started.versions


async def test_a_region_may_be_written_as_a_list(careful, tools, question, completion):
    careful(WITH_TOOL.replace("tool: TOOL", "tool: letters, arguments: {seen: [0, 0.5, 1, 1.0]}"))
    engine = script(completion)
    await run("careful", question("What?"), engine)
    assert engine.requests[-1].messages[-1].content[-1] == f"a basket and 5 and {len('[0, 0.5, 1, 1]')}. What?"


async def test_a_tool_takes_from_earlier_steps_and_from_the_question(careful, tools, question, completion):
    careful(WITH_TOOL.replace("tool: TOOL", "tool: letters, takes: {seen: look}"))
    engine = script(completion)
    await run("careful", question("What?"), engine)
    assert engine.requests[-1].messages[-1].content[-1] == "a basket and 5 and 8. What?"


@pytest.mark.parametrize(
    ("tool", "why"),
    [("nothing", "the tool nothing found nothing"), ("fail, takes: {seen: look}", "tool fail failed: ValueError: a b")]
    + [("width, arguments: {image: 2}", "got image 2; expected 1 to 1"), ("width, takes: {times: look}", "times: Inp")],
)
async def test_a_tool_that_comes_to_nothing_is_said_and_the_question_asked_directly(
    careful, tools, question, completion, tool, why
):
    careful(WITH_TOOL.replace("TOOL", tool))
    outcome = await run("careful", question(), script(completion))
    assert (outcome.answer.value, outcome.stop_reason) == ("directly", "answered")
    (said,) = [step.text for step in outcome.steps if step.kind == "reasoning"]
    assert said.startswith("The question is asked directly: the step number came to nothing: ")
    assert why in said


@pytest.mark.no_replay("a replay has all the time that it needs, so that the tool comes to an end there")
async def test_a_tool_does_not_outlast_the_budget(careful, tools, question, completion):
    careful(WITH_TOOL.replace("TOOL", "hang"))
    outcome = await run("careful", question(), script(completion), Budget(max_seconds=0.5))
    step_tools.GO_ON.set()
    assert (outcome.answer.value, outcome.stop_reason) == (None, "budget_seconds")
    assert outcome.notes[-1] == "number: the time was up before the tool hang had answered"


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("tool: tide", r"step 'number': no tool 'tide'; known: read_text, fail, hang, letters, nothing, width"),
        ("tool: zoom", r"no tool 'zoom'"),
        ("tool: width, takes: {size: look}", r"the tool width has no argument 'size'; its arguments: image, times"),
        ("tool: width, arguments: {size: 3}", r"argument size: Extra inputs.*its arguments: image, times"),
        ("tool: width, arguments: {times: many}", r"argument times: Input should be a valid integer"),
        ("tool: letters", r"argument seen: Field required"),
        ("tool: width, template: careful/look", r"got both `template` and `tool`"),
        ("tool: width, takes: {times: look}, arguments: {times: 1}", r"got 'times' in `arguments` and in `takes`"),
        ("arguments: {times: 1}", r"got `arguments` without a tool"),
        ("tool: width, arguments: {times: {a: 1}}", r"got {'a': 1} for 'times'; expected text, a number, true or"),
        ("tool: width, arguments: {times: [a]}", r"got \['a'\] for 'times'; expected text"),
        ("tool: width, arguments: {times: 2026-01-31}", r"argument times: Input should be a valid integer"),
        ("tool: width, arguments: {times: .inf}", r"argument times: Input should be a finite number"),
        ("tool: width, arguments: [times]", r"arguments: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_with_a_tool_is_said_in_one_line(careful, tools, tool, message):
    careful(WITH_TOOL.replace("tool: TOOL", tool))
    with pytest.raises(PromptError, match=message) as caught:
        check_strategy("careful")
    assert "\n" not in str(caught.value)


def test_a_tool_does_not_answer(careful, tools):
    careful("description: d\nsteps: [{name: number, tool: width}]\n")
    with pytest.raises(PromptError, match="the step 'number' answers, and uses a tool; expected one that asks"):
        check_strategy("careful")


async def test_what_is_written_in_the_image_is_read(careful, completion):
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
    careful(WITH_TOOL.replace("TOOL", "read_text"))
    pixels = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(pixels).text((20, 30), "Platform 12", fill="black", font=ImageFont.load_default(size=48))
    engine = script(completion)
    outcome = await run("careful", Question("Which?", (from_pixels(pixels, source="sign.png"),)), engine)
    assert engine.requests[-1].messages[-1].content[-1] == "a basket and Platform 12. Which?"
    assert outcome.answer.value == "three apples"


async def test_a_region_that_a_step_names_is_where_a_tool_looks(careful, question, completion):
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
    steps = WITH_TOOL.replace("tool: TOOL", "tool: read_text, takes: {region: look}")
    careful(steps, look=LOOK | {"output": "region"})
    engine = script(completion, Look="[0, 0.5, 1, 1.0]", **{"[0, 0.5": "below"})
    pixels = Image.new("RGB", (400, 200), "white")
    draw, font = ImageDraw.Draw(pixels), ImageFont.load_default(size=48)
    draw.text((20, 20), "Above", fill="black", font=font)
    draw.text((20, 120), "Below", fill="black", font=font)
    await run("careful", Question("Which?", (from_pixels(pixels, source="sign.png"),)), engine)
    assert isinstance(engine.requests[0].constraint, Regex)
    assert engine.requests[-1].messages[-1].content[-1] == "[0, 0.5, 1, 1] and Below. Which?"


def test_a_schema_that_no_engine_can_be_held_to_is_refused(careful):
    careful(look=LOOK | {"output": "{json_schema: {type: nonsense}}"})
    with pytest.raises(PromptError, match="careful/look: no engine can be held to its JSON schema: Invalid type"):
        check_strategy("careful")


@pytest.mark.parametrize(
    ("name", "why"),
    [("direct", "of a strategy that ships; expected another"), ("my-way", "; expected a to z")]
    + [("Mine", "; expected a to z, 0 to 9 and _, a letter first, 64 at most; rename the folder")],
)
def test_a_folder_that_can_be_no_strategy_is_said_and_not_offered(tmp_path, monkeypatch, capfd, name, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts" / name).mkdir(parents=True)
    file = tmp_path / "prompts" / name / "strategy.yaml"
    file.write_text("description: d\nsteps: [{name: ask, template: direct/answer}]\n")
    assert strategy_names().count(name) == (name == "direct")
    assert cot.cli.main(["prompts", "lint"]) == 1
    said = capfd.readouterr().out
    assert f"{name}: error: {file}: got the name {name!r}" in said
    assert why in said
    assert cot.cli.main(["prompts", "list"]) == 0
    assert f"strategy {name}" not in capfd.readouterr().err
