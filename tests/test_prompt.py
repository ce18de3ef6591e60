import hashlib
import time

import pytest

from cot.errors import PromptError
from cot.prompt import MAX_RENDERED_CHARACTERS, load_template, parse_template
from cot.prompt.environment import Environment
from cot.prompt.matter import read_yaml
from cot.shipped import prompts_folder

QUESTION = "Are there more dogs than cats?"
GOLDEN = {
    ("direct/answer", (("question", QUESTION),)): f"{QUESTION}\nAnswer briefly.",
    ("direct/answer", (("question", QUESTION), ("choices", ("yes", "no")))): (
        f"{QUESTION}\nChoices: yes, no. Answer with one of them."
    ),
    ("decompose/plan", (("question", QUESTION),)): (
        "Split the question into sub-questions about the image.\n"
        "Question: Are there more cups than plates?\n"
        "1. [count] How many cups are there?\n"
        "2. [count] How many plates are there?\n"
        "answer: #1 > #2\n"
        "Kinds: count, yes_no, number, phrase, text. Without a formula: answer: decide\n"
        f"Question: {QUESTION}"
    ),
    ("decompose/sub_answer", (("question", "How many?"), ("wants", "count"))): "How many?\nNumber or unknown:",
    ("decompose/sub_answer", (("question", "How much?"), ("wants", "number"))): "How much?\nNumber or unknown:",
    ("decompose/sub_answer", (("question", "Is it?"), ("wants", "yes_no"))): "Is it?\nYes, no or unknown:",
    ("decompose/sub_answer", (("question", "What?"), ("wants", "phrase"))): "What?\nShort answer or unknown:",
    ("decompose/sub_answer", (("question", "What?"), ("wants", "text"))): "What?\nOne sentence:",
    ("decompose/sub_answer", (("question", "Which?"), ("wants", "choice"), ("choices", ("a", "b")))): (
        "Which?\nOne of a, b, or unknown:"
    ),
    ("decompose/decide", (("question", QUESTION), ("summary", "How many dogs are there? 3"))): (
        f"How many dogs are there? 3\n{QUESTION}\nAnswer briefly."
    ),
    (
        "decompose/more",
        (("question", QUESTION), ("summary", "Still unknown: How many?"), ("missing", ("2. [count] How many?",))),
    ): (
        f"Question: {QUESTION}\nStill unknown: How many?\n"
        "Ask for each unknown fact in another way, one line each:\n2. [count] How many?"
    ),
    ("cot/reason", (("question", QUESTION),)): (
        f"{QUESTION}\nSay in a few sentences what in the image matters for this, and what follows from it:"
    ),
    ("cot/reason", (("question", QUESTION), ("choices", ("yes", "no")))): (
        f"{QUESTION}\nChoices: yes, no.\n"
        "Say in a few sentences what in the image matters for this, and what follows from it:"
    ),
    ("cot/answer", (("question", QUESTION), ("reasoning", "Three dogs, two cats."))): (
        f"Three dogs, two cats.\n{QUESTION}\nAnswer briefly."
    ),
    ("cot/answer", (("question", QUESTION), ("reasoning", "Three."), ("choices", ("yes", "no")))): (
        f"Three.\n{QUESTION}\nChoices: yes, no. Answer with one of them."
    ),
}


@pytest.mark.parametrize(("template", "inputs"), GOLDEN, ids=lambda value: value if isinstance(value, str) else "")
def test_renders_are_golden(template, inputs):
    rendered = load_template(template).render(**dict(inputs))
    assert rendered.text == GOLDEN[template, inputs]
    assert rendered.template == template
    assert rendered.sha256 == hashlib.sha256(rendered.text.encode()).hexdigest()
    source = (prompts_folder() / f"{template}.jinja").read_bytes()
    assert rendered.template_sha256 == hashlib.sha256(source).hexdigest()


@pytest.mark.parametrize(
    ("known", "missing", "text"),
    [
        (["A? 3"], [], "A? 3"),
        (["A? 3", "B? red"], [], "A? 3\nB? red"),
        (["A? 3", "B? red"], ["C?", "D?"], "A? 3\nB? red\nStill unknown: C?; D?"),
        ([], ["C?"], "Still unknown: C?"),
    ],
)
def test_summaries_have_a_fact_a_line(known, missing, text):
    facts = [dict(zip(("asked", "value"), fact.split(), strict=True)) for fact in known]
    assert load_template("decompose/summary").render(known=facts, missing=missing).text == text


def test_every_shipped_template_loads():
    names = [str(p.relative_to(prompts_folder()).with_suffix("")) for p in prompts_folder().glob("*/*.jinja")]
    assert len(names) >= 5
    for name in names:
        assert load_template(name).matter.description


def template(body, inputs="question: {kind: text, required: true}"):
    head = f"name: a/b\ndescription: d\nversion: 1\ninputs: {{{inputs}}}\noutput: text\nmax_tokens: 8\n"
    return parse_template(f"---\n{head}---\n{body}", name="a/b")


def test_text_from_outside_is_no_template():
    assert template("{{ question }}").render(question="{{ 7 }} {% if %}").text == "{{ 7 }} {% if %}"


@pytest.mark.parametrize(
    "body",
    [
        "{{ question.__class__ }}",
        "{{ question.__class__.__mro__[1].__subclasses__() }}",
        "{{ question['__class__'] }}",
        "{{ question | attr('__class__') }}",
        "{{ ''['__class__'] }}",
        "{{ '{0.__class__}'.format(question) }}",
        "{{ '%s' % question }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ question.ljust(1000000000) }}",
        "{{ ('x' * 1000000000) }}",
        "{{ 10 ** 1000000000 }}",
        "{{ question | center(1000000000) }}",
        "{{ question | indent(1000000000) }}",
        "{{ 1 | round(1000000000, 'ceil') }}",
        "{{ range(1000000000) | join }}",
        "{{ lipsum(1000000) }}",
        "{% for a in question %}{% for b in question %}{% for c in question %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in question recursive %}{{ loop(question) }}{% endfor %}",
        "{% set a = question ~ question %}{{ a }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include '../../../etc/passwd' %}",
        "{% include 'direct/answer' %}",
        "{% import 'os' as os %}",
        "{% extends 'direct/answer' %}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ namespace() }}",
        "{{ missing }}",
        "{{ question.missing }}",
        "{{ question[0].x }}",
        "{% for a in missing %}{% endfor %}",
        "{{ question | nothing }}",
        "{{ question | join(attribute='__class__') }}",
        "{{ " + " ~ ".join(["question"] * 5000) + " }}",
        "{% if (" + " + ".join(["question"] * 100) + ") == 'x' %}{% endif %}",
        "{% autoescape true %}{% endautoescape %}",
        "{{ question + 1 }}",
        "{{ 1 // 0 }}",
        "{% if %}",
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
        "{{ " + "not " * 50000 + "1 }}",
        "{{ question[0].__doc__ }}",
    ],
)
def test_nothing_gets_out_of_the_sandbox_or_costs_much(body):
    begun = time.process_time()
    with pytest.raises(PromptError, match="a/b"):
        template(body).render(question="q" * 5000)
    assert time.process_time() - begun < 5


HUNDRED = f"[{', '.join('0' * 100)}]"


@pytest.mark.parametrize(
    ("start", "around", "reason"),
    [
        ("'x'", f"({HUNDRED} | reverse | join(%s))", "too much text: 1,960,399 characters; expected at most"),
        ("'a'", "(%s | replace('a', '" + "a" * 100 + "'))", "too much text"),
        (r"'\\'", "([%s] | string)", "got a list where text must stand"),
        (r"'\\'", "([%s] ~ '')", "got a list where text must stand"),
        (r"'\\'", "(%s | sort | upper)", "got a list where text must stand"),
        (r"'\\'", "([[%s]] | join)", "got a list where text must stand"),
        (r"'\\'", "([%s] | replace('a', 'b'))", "got a list where text must stand"),
        ("'x'", "([%s] | reverse | upper)", "got a list where text must stand"),
    ],
)
def test_what_is_computed_of_constants_does_not_grow_with_each_level(start, around, reason):
    expression = start
    for _ in range(20):
        expression = around % expression
    begun = time.process_time()
    with pytest.raises(PromptError, match=f"a/b: .*{reason}"):
        template(f"{{% if {expression} == 'x' %}}{{% endif %}}{{{{ question }}}}").render(question="q")
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("made", ["'aa' | replace('a', 'bb')", "['bb', 'bb'] | join"])
def test_what_may_multiply_is_not_computed_while_compiling(made):
    assert "bbbb" not in Environment().compile(f"{{{{ {made} }}}}", raw=True)
    assert template(f"{{{{ {made} }}}}{{{{ question }}}}").render(question="q").text == "bbbbq"


def test_lists_are_put_together_with_join_and_may_be_printed():
    made = template("{{ ['a', 1, question] | join('-') ~ 2 | string | upper }} {{ ['a'] }}").render(question="q")
    assert made.text == "a-1-q2 ['a']"


@pytest.mark.parametrize(
    "body", ["{{ q.title }}", "{{ q['for' ~ 'mat'] }}", "{{ q.upper ~ '' }}", "{% if q.upper %}{% endif %}"]
)
def test_methods_are_no_values(body):
    with pytest.raises(PromptError, match="a/b: a str has no value '.*'; expected an item of it, or a filter"):
        template(body, "q: {kind: text}").render(q="q")


def test_what_is_called_like_a_method_is_had_by_that_name():
    body = "{% for one in q %}{{ one.items }} {{ one['values'] }} {{ loop.previtem is defined }}\n{% endfor %}"
    made = template(body, "q: {kind: list}").render(q=[{"items": 1, "values": 2}, {"items": 3, "values": 4}])
    assert made.text == "1 2 False\n3 4 True"


def test_lists_stay_lists_in_every_filter():
    made = template("{{ q | reverse }} {{ q | unique }} {{ 'abc' | reverse }}", "q: {kind: list}").render(q=["a", "b"])
    assert made.text == "['b', 'a'] ['a', 'b'] cba"


@pytest.mark.parametrize(
    "body",
    [
        "{% for a in question %}{{ question }}{% endfor %}",
        "{{ question | join(question) }}",
        "{{ question | replace('q', question) }}",
        "{{ question }}" * 20,
    ],
)
def test_output_is_bounded(body):
    with pytest.raises(PromptError, match=f"{MAX_RENDERED_CHARACTERS:,} characters|too much text"):
        template(body).render(question="q" * 5000)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "input 'question' .text. is missing"),
        ({"question": 3}, "must be a text, got 3"),
        ({"question": "q", "wants": "count"}, "unknown inputs .'wants'."),
    ],
)
def test_inputs_are_checked(inputs, reason):
    with pytest.raises(PromptError, match=reason):
        template("{{ question }}").render(**inputs)


def test_defaults_stand_in():
    assert template("{{ n }}", inputs="n: {kind: number, default: 3}").render().text == "3"
    left_out = template("{{ n | default('none') }}", inputs="n: {kind: number}")
    assert left_out.render().text == "none"
    assert left_out.render(n=0).text == "0"


@pytest.mark.parametrize(
    "body", ["", " \n\n", "{# {{ question }} #}", "{% if question == 'other' %}{{ question }}{% endif %}"]
)
def test_a_question_that_is_not_sent_is_an_error(body):
    with pytest.raises(
        PromptError, match=r"a/b: its .* is empty, so the question would not be sent; write {{ question }}"
    ):
        template(body).render(question="How many?")


def test_a_template_without_a_question_may_say_nothing():
    assert (
        template("{% for one in found %}{{ one }}{% endfor %}", inputs="found: {kind: list}").render(found=[]).text
        == ""
    )


HEAD = "name: a/b\ndescription: d\nversion: 1\ninputs: {}\noutput: text\nmax_tokens: 8\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("no front matter", "expected YAML front matter"),
        ("---\nname: a/b\n", "expected YAML front matter"),
        ("---\n[\n---\n", "not YAML"),
        ("---\n- a\n---\n", "not valid"),
        ("---\n!!python/object:os.system x\n---\n", "not YAML"),
        (f"---\n{HEAD}extra: 1\n---\n", "extra"),
        (f"---\n{HEAD.replace('a/b', 'c/d')}---\n", "expected a/b"),
        (f"---\n{HEAD.replace('8', '999999')}---\n", "max_tokens"),
        ("---\n" + "[" * 5000 + "\n---\n", "not YAML"),
    ],
)
def test_front_matter_is_checked(source, reason):
    with pytest.raises(PromptError, match=reason):
        parse_template(source, name="a/b")


@pytest.mark.parametrize("name", ["nothing/here", "../pyproject", "/etc/passwd", "direct", "direct/../direct/nothing"])
def test_templates_that_do_not_ship_are_refused(name):
    with pytest.raises(PromptError, match="no template .*; known: .*direct/answer"):
        load_template(name)


@pytest.mark.parametrize("value", ["[", "!!timestamp foo", "1" * 5000, "&a [*a]"])
def test_what_is_no_yaml_is_one_line(value):
    with pytest.raises(PromptError, match="front matter is not YAML: ") as caught:
        read_yaml(f"name: {value}", origin="front matter")
    assert "\n" not in str(caught.value)
