"""Constraints hold on random weights, whatever the model would rather say."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cot.engine import Choices, JsonSchema, Regex, Request, Sampling
from cot.engine.local import LocalEngine
from cot.engine.local.constraint import ConstraintCompiler
from cot.errors import EngineError

Ask = Callable[..., Request]

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "minimum": 0, "maximum": 99},
            "color": {"enum": ["red", "blue"]},
            "boxes": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        },
        "required": ["count", "color", "boxes"],
        "additionalProperties": False,
    }
)
ODD_CHOICES = ("yes", "yes, two", "no", "C++ (x)[1]{2}^$|.*?", "a/b\\c", '"it\'s"', "中文 é\n", "50 %")


@pytest.mark.parametrize("seed", range(6))
async def test_choices(engine: LocalEngine, ask: Ask, seed: int) -> None:
    request = ask(max_tokens=40, n=4, constraint=Choices(ODD_CHOICES), sampling=Sampling(20.0, seed=seed))
    for candidate in (await engine.complete(request)).candidates:
        assert candidate.text in ODD_CHOICES
        assert candidate.finish_reason == "stop"


@pytest.mark.parametrize(
    "pattern", [r"[0-9]{2,4}", r"(cat|dog)s?( and (cat|dog)s?){0,2}", r"[é中]{3}", r"-?[0-9]+(\.[0-9])?"]
)
async def test_regex(engine: LocalEngine, ask: Ask, pattern: str) -> None:
    sampling = Sampling(3.0, seed=5)
    answer = await engine.complete(ask(max_tokens=60, n=4, constraint=Regex(pattern), sampling=sampling))
    for candidate in answer.candidates:
        assert candidate.finish_reason == "length" or re.fullmatch(pattern, candidate.text)
    assert any(candidate.finish_reason == "stop" for candidate in answer.candidates)


async def test_an_answer_that_runs_out_of_tokens_says_whether_it_satisfies_its_constraint(
    engine: LocalEngine, ask: Ask
) -> None:
    short, enough = [
        await engine.complete(ask(max_tokens=tokens, constraint=Regex("[0-9]{3}|[0-9]{30}"))) for tokens in (2, 60)
    ]
    assert (short.finish_reason, short.candidates[0].satisfied) == ("length", False)
    assert (enough.finish_reason, enough.candidates[0].satisfied) == ("stop", True)
    free = await engine.complete(ask(max_tokens=2))
    assert free.candidates[0].satisfied


async def test_json_schema(engine: LocalEngine, ask: Ask) -> None:
    request = ask(max_tokens=120, n=4, constraint=JsonSchema(SCHEMA), sampling=Sampling(2.0))
    for candidate in (await engine.complete(request)).candidates:
        value = json.loads(candidate.text)
        assert sorted(value) == ["boxes", "color", "count"]
        assert 0 <= value["count"] <= 99
        assert candidate.finish_reason == "stop"


async def test_second_family(checkpoint: Callable[[str], Path], ask: Ask) -> None:
    engine = LocalEngine.load(checkpoint("idefics3"), device="cpu")
    answer = await engine.complete(ask(constraint=Choices(("left", "right"))))
    assert answer.text in ("left", "right")
    await engine.close()


async def test_ends_without_an_end_token_when_nothing_can_follow(engine: LocalEngine, ask: Ask) -> None:
    answer = await engine.complete(ask(constraint=Regex("[0-9]{3}")))
    assert answer.finish_reason == "stop"
    assert [item.token for item in answer.logprobs] == list(answer.text)


async def test_logprobs_are_among_allowed_tokens(engine: LocalEngine, ask: Ask) -> None:
    answer = await engine.complete(ask(n=40, max_tokens=1, constraint=Regex("[0-4]"), sampling=Sampling(50.0)))
    chances = {candidate.text: candidate.logprobs[0].logprob for candidate in answer.candidates}
    assert sorted(chances) == ["0", "1", "2", "3", "4"]
    assert sum(2.718281828459045**logprob for logprob in chances.values()) == pytest.approx(1.0, abs=1e-5)
    only = await engine.complete(ask(constraint=Choices(("z",))))
    assert only.logprobs[0].logprob == 0.0


async def test_alternatives_are_the_likeliest_of_the_other_allowed_tokens(engine: LocalEngine, ask: Ask) -> None:
    asked = ask(max_tokens=1, constraint=Regex("[0-4]"), alternatives=3)
    (token,) = (await engine.complete(asked)).logprobs
    chances = [token.logprob, *(logprob for _, logprob in token.others)]
    assert chances == sorted(chances, reverse=True)
    assert len({token.token, *(text for text, _ in token.others)} & set("01234")) == 4
    (all_of_them,) = (await engine.complete(dataclasses.replace(asked, alternatives=9))).logprobs
    assert [text for text, _ in all_of_them.others[:3]] == [text for text, _ in token.others]
    assert sum(math.exp(chance) for _, chance in all_of_them.others) + math.exp(token.logprob) == pytest.approx(1.0)
    (none,) = (await engine.complete(dataclasses.replace(asked, alternatives=0))).logprobs
    assert (none.token, none.others) == (token.token, ())


async def test_budget_ends_first(engine: LocalEngine, ask: Ask) -> None:
    answer = await engine.complete(ask(max_tokens=3, constraint=JsonSchema(SCHEMA)))
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens == 3


async def test_cut_inside_a_character(engine: LocalEngine, ask: Ask) -> None:
    answer = await engine.complete(ask(max_tokens=4, constraint=Regex("中{3}")))
    assert (answer.text, answer.finish_reason) == ("中", "length")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Regex("a(b"), r"invalid constraint Regex\(pattern='a\(b'\): .*unclosed group"),
        (Regex("(?=a)b"), "look-around"),
        (JsonSchema("{"), "invalid constraint"),
        (JsonSchema('{"type": "shape"}'), "Invalid type: shape"),
        (JsonSchema('{"$ref": "http://example.com/schema"}'), "does not fetch"),
        (Choices(()), r"got choices \[\]; expected at least one"),
    ],
)
async def test_invalid_constraints(engine: LocalEngine, ask: Ask, constraint: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        await engine.complete(ask(constraint=constraint))
    assert "\n" not in str(caught.value)


def test_end_tokens_exactly_when_satisfied(llava_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(llava_folder)
    state = ConstraintCompiler(tokenizer, (2, 4)).start(Choices(("cat", "category")))
    text = ""
    for token in tokenizer.encode("category"):
        allowed = state.allowed(321)
        assert allowed[[2, 4]].tolist() == [text == "cat"] * 2
        assert allowed[token]
        assert not allowed[len(tokenizer) :].any()
        assert not state.complete
        state.advance(token)
        text += tokenizer.decode([token])
    assert state.complete
    assert state.allowed(321).nonzero()[0].tolist() == [2, 4]


def test_tokeniser_that_starts_words_with_a_blank() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    transformers = pytest.importorskip("transformers")
    words = ["<unk>", "</s>", "▁yes", "▁", "y", "e", "s", "a", "▁a", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True))
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    tokens.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="</s>")
    state = ConstraintCompiler(tokenizer, (1,)).start(Choices(("yes",)))
    assert state.allowed(len(words))[[words.index("▁yes"), words.index("y")]].all()
    state.advance(words.index("▁yes"))
    assert state.complete
    assert tokenizer.decode([words.index("▁yes")]) == "yes"
