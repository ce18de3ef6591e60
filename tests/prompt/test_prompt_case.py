"""Cases beside templates: reading them, and each kind of check."""

import asyncio

import pytest
from PIL import Image

from cot.errors import AnswerError, EngineError, PromptError
from cot.planner.asking import parse_output
from cot.prompt.case import Checks, failed, read_cases, run_case
from cot.prompt.find import read_template
from cot.prompt.inputs import example_inputs
from cot.prompt.source import Folder, list_located
from cot.prompt.tokens import count_tokens
from cot.shipped import prompts_folder

SHIPPED = (Folder("shipped", prompts_folder()),)


def words(text):
    return len(text.split())


def run(prompts, cases, ask=None):
    prompts.write("a/b", "ask {{ question }}", inputs="question: {kind: text, required: true}, choices: {kind: list}")
    prompts.raw("a/b.cases.yaml", cases)
    found, template = prompts.locate("a/b"), prompts.read("a/b")

    async def all_of_them():
        return [
            await run_case(template, case, found, parse=parse_output, count=words, ask=ask)
            for case in read_cases(found)
        ]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("located", list_located(SHIPPED), ids=lambda found: f"{found.language}/{found.name}")
def test_shipped_cases_pass(located):
    template, cases = read_template(located, SHIPPED), read_cases(located)
    assert cases
    for case in cases:
        result = asyncio.run(run_case(template, case, located, parse=parse_output, count=count_tokens))
        assert (result.status, result.problems) == ("passed", ())


@pytest.mark.parametrize(
    ("checks", "good", "bad", "reason"),
    [
        ({"contains": "a"}, "cat", "dog", "contains: got 'dog'; expected 'a' in it"),
        ({"contains": ["a", "b"]}, "ab", "a", "contains: got 'a'; expected 'b' in it"),
        ({"equals": "cat"}, " cat\n", "cats", "equals: got 'cats'; expected 'cat'"),
        ({"matches": "^b$"}, "a\nb", "ab", "matches: got 'ab'; expected a match of '^b$'"),
        ({"parses-as": "count"}, "3", "three dogs", "parses-as count: got 'three dogs'; expected a whole number"),
        ({"parses-as": "json"}, '{"a": 1}', "{a}", "parses-as json: got '{a}'; expected JSON"),
        ({"parses-as": "plan"}, "1. [count] How many?\nanswer: #1", "x", "parses-as plan: got the last line 'x'"),
        ({"parses-as": "choice"}, "cat", "cow", "parses-as choice: got 'cow'; expected one of 'cat', 'dog'"),
        ({"max-tokens": 2}, "a b", "a b c", "max-tokens: got 3; expected at most 2"),
    ],
)
def test_each_check_can_hold_and_can_fail(checks, good, bad, reason):
    checks = Checks.model_validate(checks)
    assert failed(checks, good, parse_output, words, ["cat", "dog"]) == []
    (problem,) = failed(checks, bad, parse_output, words, ["cat", "dog"])
    assert problem.startswith(reason)


def test_prompts_and_recorded_answers_are_checked(prompts):
    good, bad = run(
        prompts,
        "- {name: good, inputs: {question: q}, prompt: {equals: ask q}, output: '3', expect: {parses-as: count}}\n"
        "- {name: bad, inputs: {question: q}, prompt: {contains: z}, output: x, expect: {equals: y}}\n",
    )
    assert (good.status, good.problems, good.output) == ("passed", (), "3")
    assert bad.status == "failed"
    assert bad.problems == ("prompt: contains: got 'ask q'; expected 'z' in it", "equals: got 'x'; expected 'y'")


LIVE = "- {name: n, inputs: {question: q}, images: [red.png], live: true, expect: {equals: red, max-tokens: 5}}"


def test_live_cases_wait_for_a_model(prompts):
    (result,) = run(prompts, LIVE)
    assert (result.status, result.problems) == ("skipped", ())


@pytest.mark.parametrize(
    ("said", "tokens", "status", "problems"),
    [
        ("red", 5, "passed", ()),
        ("blue", 6, "failed", ("equals: got 'blue'; expected 'red'", "max-tokens: got 6; expected at most 5")),
    ],
)
def test_live_cases_are_asked(prompts, said, tokens, status, problems):
    asked = []

    async def ask(rendered, case, images):
        asked.append((rendered.text, [image.width for image in images]))
        return said, tokens

    (prompts.folders[0].path / "a").mkdir(parents=True)
    Image.new("RGB", (4, 3), "red").save(prompts.folders[0].path / "a" / "red.png")
    (result,) = run(prompts, LIVE, ask)
    assert (result.status, result.problems) == (status, problems)
    assert asked == [("ask q", [4])]


def test_an_answer_of_yes_needs_no_quotes(prompts):
    (result,) = run(prompts, "- {name: x, inputs: {question: Is it}, output: yes, expect: {equals: yes}}")
    assert (result.output, result.problems) == ("yes", ())


def test_what_goes_wrong_fails_the_case_and_no_other(prompts):
    async def ask(rendered, case, images):
        raise EngineError("out of memory")

    missing, live, fine = run(
        prompts,
        "- {name: missing, prompt: {contains: x}}\n"
        "- {name: live, inputs: {question: q}, live: true, expect: {equals: x}}\n"
        "- {name: fine, inputs: {question: q}, prompt: {contains: q}}\n",
        ask,
    )
    assert missing.problems == ("a/b: input 'question' (text) is missing",)
    assert (live.status, live.problems) == ("failed", ("out of memory",))
    assert fine.status == "passed"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: x", "expected a list of 1 to 1000 cases"),
        ("[]", "expected a list of 1 to 1000 cases"),
        ("- name: x", "it checks nothing"),
        ("- {name: x, expect: {equals: y}}", "got `expect` without an answer"),
        ("- {name: x, live: true, output: y, expect: {equals: y}}", "got both"),
        ("- {name: x, prompt: {matches: '('}}", "expected a regular expression"),
        ("- {name: x, prompt: {like: y}}", "case 0.prompt.like"),
        ("- {name: '', prompt: {equals: y}}", "case 0.name"),
        ("- {name: x, output: 3, expect: {equals: '3'}}", "case 0.output: Input should be text; put numbers"),
        ("- [", "is not YAML"),
        ("- name: x\n  inputs: {question: Is it?}", "line 2: expected ',' or '}', but got '.'; expected"),
        ("- !!python/object:os.system {}", "is not YAML"),
        ("- !!timestamp foo", "is not YAML"),
        ("- !!bool foo", "is not YAML"),
        ("- !!int ''", "is not YAML"),
    ],
)
def test_case_files_are_checked(prompts, text, reason):
    prompts.write("a/b", "x")
    prompts.raw("a/b.cases.yaml", text)
    with pytest.raises(PromptError, match=f"b.cases.yaml.*{reason}"):
        read_cases(prompts.locate("a/b"))


def test_images_of_cases_lie_in_the_folder(prompts, tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "secret.png")

    async def ask(rendered, case, images):
        return "x", 1

    (result,) = run(prompts, LIVE.replace("red.png", "../../secret.png"), ask)
    assert result.status == "failed"
    assert "leads out of" in result.problems[0]


def test_no_file_is_no_cases(prompts):
    prompts.write("a/b", "x")
    assert read_cases(prompts.locate("a/b")) == ()


def test_unknown_kinds_are_said():
    with pytest.raises(AnswerError, match="got the kind 'colour'; expected one of count, .*, plan, json"):
        parse_output("x", "colour")


def test_rendering_says_that_cases_cannot_be_read(prompts):
    prompts.write("a/b", "{{ question }}")
    prompts.raw("a/b.cases.yaml", "- [")
    values, origin = example_inputs(prompts.read("a/b").matter, prompts.locate("a/b"))
    assert values == {"question": "<question>"}
    assert origin == "made up, since its cases cannot be read (cot prompts test a/b says why)"
