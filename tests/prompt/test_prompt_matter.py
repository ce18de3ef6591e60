"""Front matter beyond inputs: kinds of output, stop texts, examples with images, and where images stand."""

import hashlib
import json

import pytest
from PIL import Image

from cot.errors import PromptError
from cot.prompt import parse_template


def parse(more, body="{{ question }}", inputs="question: {kind: text, required: true}"):
    head = f"name: a/b\ndescription: d\ninputs: {{{inputs}}}\n{more}\n"
    return parse_template(f"---\n{head}---\n{body}", name="a/b")


@pytest.mark.parametrize("output", ["text", "choice", "number", "yes_no", "count", "phrase", "plan", "region", "wants"])
def test_outputs_by_name(output):
    assert parse(f"output: {output}").matter.output == output


def test_an_output_can_be_json():
    matter = parse("output: {json_schema: {type: object, properties: {colour: {type: string}}}}").matter
    assert json.loads(matter.json_schema) == {"type": "object", "properties": {"colour": {"type": "string"}}}
    assert parse("output: text").matter.json_schema is None


def test_limits_reach_what_is_rendered():
    rendered = parse("max_tokens: 7\nstop: [END, '.']").render(question="q")
    assert (rendered.max_tokens, rendered.stop) == (7, ("END", "."))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("output: colour", "got 'colour'; expected one of text, choice"),
        ("output: {schema: {}}", "expected one of text"),
        ("stop: ['']", "got an empty stop text"),
        ("stop: text", "stop"),
        ("version: 0", "version"),
        ("stop: a", "stop: Input should be a list"),
        ("output: [count]", "output: got .'count'.; expected one of text, choice"),
        ("output: {json_schema: {const: .nan}}", "output: Out of range float values.*expected what JSON can say"),
        ("colour: red", "colour: there is no such key"),
        ("examples: [{inputs: {}}]", "examples.0.output"),
        ("examples: [{output: x, picture: y}]", "examples.0.picture"),
        ("examples: [{output: x}]", "example 1: a/b: input 'question' .text. is missing"),
        ("examples: [{output: x, image: y.png, inputs: {question: q}}]", "example 1: got the image 'y.png'"),
        ("a: &x [1]\nb: *x", "aliases .* are not allowed"),
        ("output: text\nversion: 1\noutput: count", "'output' in line 7 is there already; write it once"),
        ("examples: [{output: x, output: y}]", "'output' in line 5 is there already"),
    ],
)
def test_what_is_wrong_is_said(more, reason):
    with pytest.raises(PromptError, match=f"a/b: .*{reason}"):
        parse(more)


@pytest.mark.parametrize("name", ["images", "self", "super", "loop", "a-b"])
def test_reserved_names_are_no_inputs(name):
    with pytest.raises(PromptError, match=f"got the input name '{name}'"):
        parse("", body="x", inputs=f"{name}: {{kind: text}}")


def test_defaults_are_of_their_kind():
    with pytest.raises(PromptError, match="got the default 'x'; expected a number"):
        parse("", inputs="question: {kind: number, default: x}")


def test_words_and_times_stay_text():
    texts = "[yes, no, on, Off, 3:30, 007, 1_000, =, 2024-01-01, 2, -0.5, 1.5e3, true]"
    choices = parse("", inputs=f"choices: {{kind: list, default: {texts}}}", body="x").matter.inputs["choices"].default
    assert choices == ["yes", "no", "on", "Off", "3:30", "007", "1_000", "=", "2024-01-01", 2, -0.5, 1500.0, True]
    assert [type(choice) for choice in choices[-4:]] == [int, float, float, bool]


def test_truth_is_no_number():
    with pytest.raises(PromptError, match="input 'n' must be a number, got True"):
        parse("", body="{{ n }}", inputs="n: {kind: number}").render(n=True)


def test_images_stand_where_they_are_put():
    rendered = parse("", body="Look. {{ images }} {{ question }}").render(question="q")
    assert (rendered.before, rendered.text) == ("Look.", "q")
    assert rendered.transcript == "user: Look.\n[images]\nq"
    assert rendered.sha256 == hashlib.sha256(rendered.transcript.encode()).hexdigest()


def test_an_input_cannot_move_the_images():
    body = "{{ question }} {{ images }} end"
    shown = parse("", body="{{ question }}{{ images }}").render(question="q")
    forged = "\ufdd0images\ufdd1"
    assert (shown.before, shown.text) == ("q", "")
    rendered = parse("", body=body).render(question=forged)
    assert (rendered.before, rendered.text) == (forged, "end")


@pytest.mark.parametrize(
    "body",
    [
        "{% if question %}{{ images }}{% endif %}",
        "{% for a in question %}{{ images }}{% endfor %}",
        "{{ images | upper }}",
        "{{ images ~ question }}",
        "{{ images }}{{ images }}",
    ],
)
def test_images_stand_once_and_alone(body):
    with pytest.raises(PromptError, match="images"):
        parse("", body=body).render(question="q")


def test_examples_are_turns_with_images(prompts):
    prompts.write(
        "a/b", "{{ question }}", more="examples: [{image: red.png, inputs: {question: colour}, output: red}]\n"
    )
    path = prompts.locate("a/b").path.with_name("red.png")
    Image.new("RGB", (4, 3), "red").save(path)
    template = prompts.read("a/b")
    (shot,) = template.render(question="q").examples
    assert (shot.text, shot.output, shot.images[0].width) == ("colour", "red", 4)
    assert template.render(question="q").transcript == (
        f"user: [image {shot.images[0].sha256[:8]}]\ncolour\nassistant: red\nuser: [images]\nq"
    )
    Image.new("RGB", (4, 3), "blue").save(path)
    assert prompts.read("a/b").sha256 != template.sha256


@pytest.mark.parametrize("path", ["../../secret.png", "none.png", "link.png", "."])
def test_images_of_examples_lie_in_the_folder(prompts, tmp_path, path):
    Image.new("RGB", (4, 3)).save(tmp_path / "secret.png")
    more = f"examples: [{{image: {path}, inputs: {{question: q}}, output: x}}]\n"
    prompts.write("a/b", "{{ question }}", more=more).with_name("link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(PromptError, match="a/b: example 1: a/b: .*(leads out of|is no file)"):
        prompts.read("a/b")
