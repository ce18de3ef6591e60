"""Constraints: how each kind of server is told, and that no reply is taken on trust."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark

from cot.answer import COUNT_PATTERN, NUMBER_PATTERN, PHRASE_PATTERN
from cot.engine import Candidate, Choices, Constraint, JsonSchema, Regex, Request, Sampling, TokenLogprob
from cot.engine.remote import Limits, RemoteEngine
from cot.engine.remote.check import fitting
from cot.engine.remote.dialect import unwrap
from cot.engine.remote.gbnf import choices_grammar, regex_grammar
from cot.engine.remote.text import unwrapped
from cot.errors import EngineError, UnfitReplyError
from cot.planner.plan import PLAN_PATTERN

Ask = Callable[..., Request]
Serve = Callable[[Any], Any]
Quick = Callable[..., Limits]

CHOICES = Choices(("yes", "no (or so)"))
COUNT = Regex("[0-9]{1,2}")
SCHEMA = JsonSchema(
    json.dumps(
        {
            "type": "object",
            "properties": {"count": {"type": "integer"}, "color": {"type": "string"}},
            "required": ["count", "color"],
            "additionalProperties": False,
        }
    )
)
WRAPPED = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no (or so)"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
STANDARD = ("max_tokens", "messages", "model", "temperature", "logprobs", "top_logprobs", "stream", "stream_options")
PENALTIES = ("repetition_penalty", "repeat_penalty")
OLD, NEW = {"/version": {"version": "0.10.2"}}, {"/version": {"version": "0.12.0"}}


def _schema_of(fields: dict[str, Any]) -> Any:
    """What a response format asks for, which must be all that is said."""
    assert list(fields) == ["response_format"]
    assert fields["response_format"]["type"] == "json_schema"
    return fields["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize(
    ("owner", "pages", "constraint", "text", "expected"),
    [
        ("vllm", NEW, CHOICES, "yes", {"structured_outputs": {"choice": ["yes", "no (or so)"]}}),
        ("vllm", NEW, COUNT, "12", {"structured_outputs": {"regex": "[0-9]{1,2}"}}),
        ("vllm", {}, COUNT, "12", {"structured_outputs": {"regex": "[0-9]{1,2}"}}),
        ("vllm", OLD, CHOICES, "yes", {"guided_choice": ["yes", "no (or so)"]}),
        ("vllm", OLD, COUNT, "12", {"guided_regex": "[0-9]{1,2}"}),
        ("sglang", {}, CHOICES, "yes", {"regex": r"(yes|no \(or so\))"}),
        ("sglang", {}, COUNT, "12", {"regex": "[0-9]{1,2}"}),
        ("llamacpp", {}, CHOICES, "yes", {"grammar": r'root ::= "yes" | "no \x28or so\x29"'}),
        ("llamacpp", {}, COUNT, "12", {"grammar": "root ::= [0-9]{1,2}"}),
        ("llamacpp", {}, Regex("^[0-9]$"), "1", {}),
        ("library", {}, COUNT, "12", {}),
        ("someone", {}, COUNT, "12", {}),
    ],
)
async def test_what_is_sent(
    serve: Serve,
    model: Any,
    ask: Ask,
    quick: Quick,
    owner: str,
    pages: Any,
    constraint: Constraint,
    text: str,
    expected: Any,
) -> None:
    server = serve(model(owner=owner, pages=pages, text=text))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert (await engine.complete(ask(constraint=constraint))).text == text
    await engine.close()
    fields = {name: value for name, value in server.bodies[0].items() if name not in STANDARD + PENALTIES}
    assert fields == expected


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp", "library", "someone"])
async def test_json_goes_as_response_format_everywhere(
    serve: Serve, model: Any, ask: Ask, quick: Quick, owner: str
) -> None:
    text = '{"color": "red",\n "count": 3}'
    server = serve(model(owner=owner, text=text))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    assert (await engine.complete(ask(constraint=SCHEMA))).text == text
    await engine.close()
    fields = {name: value for name, value in server.bodies[0].items() if name not in STANDARD + PENALTIES}
    assert _schema_of(fields) == json.loads(SCHEMA.schema)


@pytest.mark.parametrize("owner", ["library", "someone"])
async def test_choices_come_wrapped_where_only_json_can_be_constrained(
    serve: Serve, model: Any, ask: Ask, quick: Quick, owner: str
) -> None:
    server = serve(model(owner=owner, text='{"answer": "no (or so)"}'))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask(constraint=CHOICES))
    await engine.close()
    fields = {name: value for name, value in server.bodies[0].items() if name not in STANDARD + PENALTIES}
    assert _schema_of(fields) == WRAPPED
    assert answer.text == "no (or so)"
    # Tokens of three characters: those that the choice touches.
    assert "".join(token.token for token in answer.logprobs) == 'no (or so)"}'


@pytest.mark.parametrize("refuses", [(), ("response_format",)])
async def test_stop_strings_are_for_the_choice_and_not_for_what_wraps_it(
    serve: Serve, model: Any, ask: Ask, quick: Quick, refuses: tuple[str, ...]
) -> None:
    def stopped(body: Any) -> str:
        text = '{\n  "answer": "yes"\n}' if "response_format" in body else "yes\nIt is."
        return text.partition(*body["stop"])[0] if "stop" in body else text

    engine = await RemoteEngine.connect(serve(model(text=stopped, refuses=refuses)).url, limits=quick())
    answer = await engine.complete(ask(constraint=CHOICES, stop=("\n",)))
    await engine.close()
    assert answer.text == "yes"


async def test_a_refused_constraint_is_left_out_and_checked(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(text=" yes\n", refuses=("response_format",)))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    for _ in range(2):
        assert (await engine.complete(ask(constraint=CHOICES))).text == "yes"
    await engine.close()
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert engine.info.versions["without"] == "constraint"


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (CHOICES, "Yes, it is"),
        (CHOICES, ""),
        (CHOICES, "yes no"),
        (COUNT, "123"),
        (COUNT, "twelve"),
        (SCHEMA, '{"count": "3", "color": "red"}'),
        (SCHEMA, '{"count": NaN, "color": "red"}'),
        (SCHEMA, '{"count": 3}'),
        (SCHEMA, "[" * 100_000),
    ],
)
async def test_a_reply_that_does_not_fit_is_an_error(
    serve: Serve, model: Any, ask: Ask, quick: Quick, constraint: Constraint, text: str
) -> None:
    server = serve(model(owner="vllm", text=text))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(UnfitReplyError, match=r"answered '.*; expected what fits") as caught:
        await engine.complete(ask(constraint=constraint))
    await engine.close()
    assert "\n" not in str(caught.value)
    assert len(server.bodies) == 1, "a greedy reply does not change when it is asked for again"


async def test_a_random_reply_is_drawn_once_more(serve: Serve, model: Any, ask: Ask, quick: Quick) -> None:
    server = serve(model(text=lambda body: "a dozen" if body["seed"] == 5 else "12"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask(constraint=COUNT, sampling=Sampling(1.0, seed=5)))
    await engine.close()
    assert (answer.text, answer.usage.calls) == ("12", 2)


@pytest.mark.parametrize(("most", "asked"), [(8, [8, 4]), (4, [4])])
async def test_what_is_drawn_again_takes_no_more_than_was_left(
    serve: Serve, model: Any, ask: Ask, quick: Quick, most: int, asked: list[int]
) -> None:
    server = serve(model(text="a dozen or so"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(UnfitReplyError) as caught:
        await engine.complete(ask(constraint=COUNT, sampling=Sampling(1.0, seed=5), max_tokens=most))
    await engine.close()
    assert caught.value.usage["completion_tokens"] == 4 * len(asked)
    assert (caught.value.text, caught.value.cut) == ("a dozen or so", False)
    assert [body["max_tokens"] for body in server.bodies] == asked


@pytest.mark.parametrize("samples", [4, 1])
async def test_one_sample_that_does_not_fit_costs_no_other(
    serve: Serve, model: Any, ask: Ask, quick: Quick, samples: int
) -> None:
    """samples: what the server gives at most at one time."""
    plays = model()

    def reply(body: Any) -> Any:
        found = plain({**body, "n": min(samples, body.get("n", 1))})
        for choice in found["choices"]:
            # A sample's seed is that of the request and its number, as with vLLM.
            odd = (body["seed"] + choice["index"]) % 2**31 == 6
            choice["message"]["content"] = "a dozen" if odd else "12"
        return found

    plain, plays.reply = plays.reply, reply
    server = serve(plays)
    engine = await RemoteEngine.connect(server.url, limits=quick())
    answer = await engine.complete(ask(constraint=COUNT, n=4, sampling=Sampling(1.0, seed=5)))
    assert [candidate.text for candidate in answer.candidates] == ["12"] * (4 if samples == 4 else 3)
    with pytest.raises(UnfitReplyError):
        await engine.complete(ask(constraint=Choices(("yes", "no")), n=4, sampling=Sampling(1.0, seed=5)))
    await engine.close()


async def test_a_reply_cut_short_must_be_the_start_of_one_that_fits(
    serve: Serve, model: Any, ask: Ask, quick: Quick
) -> None:
    for text, fits in (('{"count": 3, "co', True), ("Sure! Here", False)):
        engine = await RemoteEngine.connect(serve(model(text=text, finish="length")).url, limits=quick())
        if fits:
            answer = await engine.complete(ask(constraint=SCHEMA))
            assert (answer.text, answer.finish_reason) == (text, "length")
            assert not answer.candidates[0].satisfied
        else:
            with pytest.raises(EngineError, match="expected what fits"):
                await engine.complete(ask(constraint=SCHEMA))
        await engine.close()


@pytest.mark.parametrize(
    "constraint",
    [Regex("("), JsonSchema("{"), JsonSchema('{"type": "cat"}'), Choices(()), Choices(("a\udcff", "b"))],
)
async def test_an_invalid_constraint_is_not_sent(
    serve: Serve, model: Any, ask: Ask, quick: Quick, constraint: Constraint
) -> None:
    server = serve(model(owner="vllm"))
    engine = await RemoteEngine.connect(server.url, limits=quick())
    with pytest.raises(EngineError, match="invalid constraint|got choices"):
        await engine.complete(ask(constraint=constraint))
    await engine.close()
    assert server.bodies == []


@pytest.mark.parametrize(
    ("pattern", "grammar"),
    [
        (COUNT_PATTERN, '"u" "n" "k" "n" "o" "w" "n" | "0" | [1-9] [0-9]{0,2}'),
        (r"-?\d+(?:\.\d)?%", r'"\x2D"? [0-9]+ ("\x2E" [0-9])? "%"'),
        (r"(a|)b*?", '("a" | "") "b"*'),
        (r"[^\]\-é\u{1F600}a-c-]", r"[^\x5D\x2D\xE9\U0001F600a-c\x2D]"),
        (r"(?P<x>.)\n", r'([^\x0A]) "\x0A"'),
    ],
)
def test_patterns_become_grammars(pattern: str, grammar: str) -> None:
    assert regex_grammar(Regex(pattern)) == f"root ::= {grammar}"


PLAN = "1. [count] How many red caf\u00e9 signs?\n2. [yes_no] Is #1 near \u4e2d?\nanswer: #1 > 3"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (NUMBER_PATTERN, ["-12.5%", "unknown", "7"], ["", "1.", "--1", "unknown7"]),
        (PHRASE_PATTERN, ["a red \U0001f6a9 flag", "x" * 80], ["", " x", "x" * 81, "a\u200bb", "a\nb"]),
        (PLAN_PATTERN, [PLAN], [PLAN[:-1], PLAN.replace("yes_no", "maybe"), PLAN.replace("#1 near", "#2 near")]),
        (r"(?:a|)b*[\]^-]\t", ["abb]\t", "-\t", "^\t"], ["b\t", "ab]", "a.\t"]),
    ],
)
def test_another_reader_of_grammars_takes_them_to_mean_the_same(pattern: str, yes: list[str], no: list[str]) -> None:
    # That reader drops the zero at the start of a code.
    lark = LLMatcher.grammar_from_lark(any_to_lark(regex_grammar(Regex(pattern)) or "").replace(r"\u61C", r"\u061C"))
    assert LLMatcher.validate_grammar(lark) == ""
    vocabulary = LLTokenizer("byte")
    for text in (*yes, *no):
        matcher, tokens = LLMatcher(vocabulary, lark, log_level=0), list(text.encode())
        whole = matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
        assert whole == (text in yes), text


@pytest.mark.parametrize(
    "pattern",
    r"^a$ \bx \p{L} (?i)a (?=a) a{2}{3} [[:alpha:]] [a&&b] [^\d] a) (a [a *a".split() + ["\\"],
)
def test_what_has_no_grammar_is_not_guessed(pattern: str) -> None:
    assert regex_grammar(Regex(pattern)) is None


def test_choices_become_a_grammar() -> None:
    assert choices_grammar(Choices(('"', "中\n"))) == r'root ::= "\x22" | "\u4E2D\x0A"'


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("3.", "3"),
        ("**3**", "3"),
        ("Answer: 3", "3"),
        (" 12\n", "12"),
        ("Three", None),
        ("3 or 4.", None),
        ("..", None),
    ],
)
def test_what_stands_around_a_value_is_taken_away(text: str, fits: str | None) -> None:
    assert fitting(Regex(COUNT_PATTERN), text) == fits
    assert fitting(Regex(COUNT_PATTERN), "3.", cut=True) is None


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "```{}```"])
def test_json_may_stand_in_a_fence(fence: str) -> None:
    schema = JsonSchema('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    text = '{"a": "red"}'
    assert fitting(schema, fence.replace("{}", text)) == text
    assert fitting(schema, f"Here: {fence.replace('{}', text)}") is None
    assert unwrap(fence.replace("{}", '{"answer": "cat"}')) == "cat"


@pytest.mark.parametrize(
    ("choice", "written"), [("cat", "cat"), ('12" pizza', '12\\" pizza'), ("é", "é"), ("é", "\\u00e9"), ("}", "}")]
)
def test_the_tokens_of_a_choice_are_those_that_write_it_in_its_object(choice: str, written: str) -> None:
    text = f'{{"answer": "{written}"}}'
    found = unwrapped(Candidate(text, "stop", tuple(TokenLogprob(char, -0.5) for char in text)))
    assert (found.text, "".join(token.token for token in found.logprobs)) == (choice, written)


def test_checking_takes_time_in_proportion_to_the_text() -> None:
    assert fitting(Regex("(a*)*b"), "a" * 20_000) is None
    assert fitting(Regex("(a*)*b"), "a" * 20_000 + "b") is not None
    assert fitting(Regex("a*"), "a" * (2**20 + 1)) is None
    assert math.isnan(json.loads("NaN")), "which is why JSON is not read with Python's defaults"
