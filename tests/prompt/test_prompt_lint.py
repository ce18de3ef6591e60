"""What lint finds, and that it finds nothing in what is shipped."""

import pytest

from cot.planner.asking import check_output
from cot.prompt.lint import lint
from cot.prompt.source import Folder, list_located
from cot.shipped import prompts_folder

SHIPPED = (Folder("shipped", prompts_folder()),)


def found(prompts, name="a/b"):
    return [(finding.level, finding.text) for finding in lint(prompts.locate(name), prompts.folders)]


@pytest.mark.parametrize("located", list_located(SHIPPED), ids=lambda found: f"{found.language}/{found.name}")
def test_shipped_templates_are_clean(located):
    assert lint(located, SHIPPED) == ()


def test_a_clean_template_has_no_findings(prompts):
    prompts.raw("a/_part.jinja", "{{ word }}{{ loop.index }}")
    body = "{{ question }}{% for word in words %}{% include 'a/_part' %}{% endfor %}"
    prompts.write("a/b", body, inputs="question: {kind: text, required: true}, words: {kind: list, default: []}")
    assert found(prompts) == []


@pytest.mark.parametrize(
    ("body", "more", "level", "text"),
    [
        ("{{ question }}{{ qestion }}", "", "error", "undefined input 'qestion', did you mean 'question'?"),
        ("{{ question }}{{ xyz }}", "", "error", "undefined input 'xyz'; declare it: `inputs: {xyz: {kind: text}}`"),
        ("fixed", "", "warning", "unused input 'question'"),
        (
            "{{ question }}",
            "max_token: 3\n",
            "error",
            "unknown front matter key 'max_token', did you mean 'max_tokens'",
        ),
        ("{{ question }} {{ images }}", "", "warning", "'question' varies and stands before {{ images }}"),
        ("{% if question %}x{% endif %}{{ images }}", "", "warning", "'question' varies and stands before"),
        ("{% include 'a/_part' %}{{ images }}", "", "warning", "'question' varies and stands before"),
        ("{% extends 'a/_base' %}{% block top %}{{ question }}{% endblock %}", "", "warning", "'question' varies"),
        ("{{ question }}{% set x = 1 %}", "", "error", "line 1 of its body: assign is not allowed"),
        ("{{ question.__class__ }}", "", "error", "line 1 of its body: __class__ begins with _, which is not allowed"),
        ("{{ question['__class__'] }}", "", "error", "__class__ begins with _, which is not allowed"),
        ("{{ question }}", "version: 0\n", "error", "version"),
        ("{{ question }}", "examples: [{output: x}]\n", "error", "example 1: a/b: input 'question' (text) is missing"),
    ],
)
def test_findings(prompts, body, more, level, text):
    prompts.raw("a/_part.jinja", "{{ question }}")
    prompts.raw("a/_base.jinja", "{% block top %}{% endblock %}{{ images }}")
    prompts.write("a/b", body, more=more)
    ((got_level, got),) = found(prompts)
    assert got_level == level
    assert text in got


@pytest.mark.parametrize(
    "body",
    ["Look: {{ images }}{{ question }}", "{% extends 'a/_base' %}{% block end %}{{ question }}{% endblock %}"],
)
def test_inputs_behind_the_images_are_fine(prompts, body):
    prompts.raw("a/_base.jinja", "Look: {{ images }}{% block end %}{% endblock %}")
    prompts.write("a/b", body)
    assert found(prompts) == []


def test_what_is_left_out_is_a_warning(prompts):
    prompts.raw("a/b.jinja", "---\nname: a/b\ndescription: d\n---\nfixed")
    levels, texts = zip(*found(prompts), strict=True)
    assert levels == ("warning", "warning")
    assert texts[0].startswith("output is missing")
    assert texts[1].startswith("max_tokens is missing: up to 256")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("no front matter", "expected YAML front matter"),
        ("---\n[\n---\nx", "not YAML"),
        ("---\n- a\n---\nx", "not valid"),
        (
            "---\nname: a/b\ndescription: d\ninputs: {3: {kind: text}, q: {kind: text, default: x}}\noutput: text\n"
            "max_tokens: 8\n---\n{{ q }}",
            "inputs.3",
        ),
    ],
)
def test_files_that_are_no_templates(prompts, source, text):
    prompts.raw("a/b.jinja", source)
    ((level, got),) = found(prompts)
    assert level == "error"
    assert text in got


def test_all_is_reported_errors_first(prompts):
    prompts.write("a/b", "{{ one }}{{ two }}", more="extra: 1\n")
    assert [level for level, _ in found(prompts)] == ["error", "error", "error", "warning"]


@pytest.mark.parametrize(
    ("head", "body", "texts"),
    [
        ("name: a/b", "{% if x %}", ["front matter is not valid: description: Field required", "line 1 of its body"]),
        ("name: a/b\nextra: 1", "x", ["unknown front matter key 'extra'", "description: Field required"]),
        ("name: a/c\ndescription: d", "{{ x }}", ["its front matter says name: a/c", "undefined input 'x'"]),
        ("- a", "{{ x }}", ["undefined input 'x'", "front matter is not valid"]),
    ],
)
def test_front_matter_and_body_are_both_told(prompts, head, body, texts):
    prompts.raw("a/b.jinja", f"---\n{head}\n---\n{body}")
    errors = [text for level, text in found(prompts) if level == "error"]
    assert len(errors) == len(texts)
    assert all(text in error for text, error in zip(texts, errors, strict=True))


@pytest.mark.parametrize(
    ("output", "inputs", "text"),
    [
        ("wants", "", "output wants needs the input 'wants': `inputs: {wants: {kind: text}}`"),
        ("choice", "", "output choice needs the input 'choices': `inputs: {choices: {kind: list}}`"),
        ("choice", "choices: {kind: text, required: true}", "output choice needs the input 'choices'"),
    ],
)
def test_an_output_has_the_inputs_that_it_needs(prompts, output, inputs, text):
    shown = "{{ choices }}" if inputs else "fixed"
    head = f"name: a/b\ndescription: d\ninputs: {{{inputs}}}\noutput: {output}\nmax_tokens: 8\n"
    prompts.raw("a/b.jinja", f"---\n{head}---\n{shown}")
    ((level, got),) = found(prompts)
    assert level == "error"
    assert text in got


@pytest.mark.parametrize(("output", "level"), [("choice", None), ("text", "warning")])
def test_choices_that_an_output_is_held_to_need_not_be_shown(prompts, output, level):
    head = f"name: a/b\ndescription: d\ninputs: {{choices: {{kind: list}}}}\noutput: {output}\nmax_tokens: 8\n"
    prompts.raw("a/b.jinja", f"---\n{head}---\nPick one.")
    assert [one for one, _ in found(prompts)] == ([level] if level else [])


SAME = "question: {kind: text, required: true}"


@pytest.mark.parametrize(
    ("inputs", "output", "text"),
    [
        ("thing: {kind: text, required: true}", "text", "it has no input 'question' of the kind text"),
        ("question: {kind: list, required: true}", "text", "it has no input 'question' of the kind text"),
        (f"{SAME}, n: {{kind: number, required: true}}", "text", "it needs the input 'n', which this step does not"),
        (SAME, "count", "its output is count, expected text"),
        (f"{SAME}, n: {{kind: number, default: 3}}", "text", ""),
    ],
)
@pytest.mark.parametrize(("place", "whose"), [("zh/a/b", "English"), ("direct/answer", "shipped")])
def test_what_takes_the_place_of_another_takes_and_gives_the_same(prompts, place, whose, inputs, output, text):
    prompts.write("a/b", "{{ question }}")
    both = f"{inputs}, choices: {{kind: list, default: []}}" if whose == "shipped" else inputs
    body = "".join(f"{{{{ {part.split(':')[0]} }}}}" for part in both.split("}, "))
    path = prompts.write(place, body, inputs=both)
    path.write_text(path.read_text().replace("output: text", f"output: {output}"))
    name, language = ("a/b", "zh") if whose == "English" else (place, "en")
    findings = lint(prompts.locate(name, language), (*prompts.folders, *SHIPPED))
    assert len(findings) == bool(text)
    assert all(one.text.startswith(f"it cannot stand in place of the {whose} one: {text}") for one in findings)


def test_an_unused_input_that_must_be_there_is_not_to_be_taken_out(prompts):
    prompts.write("direct/answer", "{{ question }}", inputs=f"{SAME}, choices: {{kind: list, default: []}}")
    (finding,) = lint(prompts.locate("direct/answer"), (*prompts.folders, *SHIPPED))
    assert (finding.level, finding.text) == ("warning", "unused input 'choices'; use it")


def test_a_schema_that_nothing_can_be_held_to_is_an_error(prompts):
    source = prompts.write("a/b", "{{ question }}").read_text()
    prompts.raw("a/b.jinja", source.replace("output: text", "output: {json_schema: {type: nonsense}}"))
    assert found(prompts) == []
    (finding,) = lint(prompts.locate("a/b"), prompts.folders, check_output=check_output)
    assert finding.level == "error"
    assert finding.text == "no engine can be held to its JSON schema: Invalid type: nonsense; make it simpler"


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        ("{{ n }}", True),
        ("{% for x in n %}{{ x }}{% endfor %}", True),
        ("{% if question %}{{ n }}{% endif %}", True),
        ("{{ n | upper }}", True),
        ("{% include 'a/_part' %}", True),
        ("{% if n %}{{ n }}{% endif %}", False),
        ("{% if n is none %}-{% else %}{{ n }}{% endif %}", False),
        ("{{ n }}{{ n }}{% include 'a/_part' %}", True),
        ("{{ n | default('none') }}", False),
        ("{{ n | default('none', true) }}", False),
        ("{{ n or 'none' }}", False),
        ("{{ n if n else 'none' }}", False),
    ],
)
@pytest.mark.parametrize("more", ["", ", required: false", ", required: no", ", default: null"])
def test_an_input_that_may_be_shown_as_none_is_one_warning(prompts, body, warned, more):
    prompts.raw("a/_part.jinja", "{{ n }}")
    inputs = f"question: {{kind: text, required: true}}, n: {{kind: text{more}}}"
    prompts.write("a/b", f"{{{{ question }}}}{body}", inputs=inputs)
    message = "input 'n' may be left out and is then shown as None; give it a default, or `required: true`"
    assert found(prompts) == ([("warning", message)] if warned else [])
    inputs = "question: {kind: text, default: q}, n: {kind: text, default: ''}"
    prompts.write("a/b", f"{{{{ question }}}}{body}", inputs=inputs)
    assert found(prompts) == []
