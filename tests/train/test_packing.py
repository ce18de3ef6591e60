"""What training sees is what inference sees: packed turns are the turns as they are asked alone."""

import math
import random
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from cot.planner.plan import PLAN_PATTERN
from cot.step import Wants
from cot.train.data import (
    PLANS_AN_IMAGE,
    BatchMaker,
    as_shown,
    draw,
    evenly,
    fact_turn,
    plan_opening,
    plan_turn,
    turns,
)
from cot.train.feed import feed
from cot.train.mentions import mentions
from cot.train.model import PREFIX_TOKENS, SIZES, build_model, build_processor, train_tokenizer
from cot.train.objective import Objective, pixels_to_input
from cot.train.packing import IGNORE, OPENING, Packed, pack
from cot.train.sample import QA, Fact, Sample, Seen
from cot.train.scenes import make_scene


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(640, samples=60)


def questions(family: str) -> Iterator[tuple[Sample, QA]]:
    for seed in count():
        sample = make_scene(random.Random(seed), questions=12)
        yield from ((sample, qa) for qa in sample.qas if qa.family == family)


def test_packed_turns_are_what_the_processor_makes_of_a_conversation(tokenizer: Tokenizer) -> None:
    processor = build_processor(tokenizer)
    rng = random.Random(5)
    sample = draw(rng)
    prompt, answer = turns(sample, rng)[0]
    packed = pack(tokenizer, [(prompt, answer)], prefix_tokens=PREFIX_TOKENS, max_tokens=500)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=text, images=sample.image, return_tensors="pt")
    asked = inputs["input_ids"][0, PREFIX_TOKENS:].tolist()
    assert packed.ids[: len(asked)] == asked
    assert packed.positions[0] == PREFIX_TOKENS
    said = [target for target in packed.targets if target != IGNORE]
    assert tokenizer.decode(said, skip_special_tokens=True) == answer
    pixels = torch.from_numpy(as_shown(sample.image))[None]
    assert torch.allclose(inputs["pixel_values"], pixels_to_input(pixels), atol=1e-5)


def test_a_packed_turn_sees_nothing_of_the_others(tokenizer: Tokenizer) -> None:
    maker = BatchMaker("questions", tokenizer, batch=1, seed=1, prefix_tokens=PREFIX_TOKENS, max_tokens=900)
    batch = next(feed(maker, workers=0, ahead=False))
    model: Any = build_model(SIZES["tiny"], tokenizer).eval()
    model.set_attn_implementation("eager")
    objective = Objective(model, tokenizer, "cpu")

    def hidden(chosen: torch.Tensor) -> torch.Tensor:
        turns = {name: batch[name][chosen][None] for name in ("ids", "segments", "above", "positions")}
        with torch.no_grad():
            seen = model.model.multi_modal_projector(objective.features(batch))
            out: torch.Tensor = objective.read(seen, turns)[0].last_hidden_state[:, PREFIX_TOKENS:]
            return out

    segments, opening = batch["segments"], batch["segments"] == OPENING
    together = hidden(torch.ones_like(opening))
    assert batch["ids"][opening].tolist() == plan_opening(tokenizer)
    plans = segments[(batch["above"] == OPENING) & ~opening].unique()
    assert len(plans) == PLANS_AN_IMAGE
    assert segments.max() > max(plans)
    for segment in range(OPENING + 1, int(segments.max()) + 1):
        one = segments == segment
        alone = hidden(one | opening if segment in plans else one)[0, -int(one.sum()) :]
        assert torch.allclose(together[0, one[0]], alone, atol=1e-4)
        assert batch["positions"][one][0] == PREFIX_TOKENS + (opening.sum() if segment in plans else 0)


def test_all_batches_have_one_shape_and_plans_of_different_programs(tokenizer: Tokenizer) -> None:
    maker = BatchMaker("questions", tokenizer, batch=2, seed=1, prefix_tokens=PREFIX_TOKENS, max_tokens=900)
    for index in range(3):
        batch = maker(index)
        assert batch["ids"].shape == batch["positions"].shape == batch["seen"].shape[:2] == (2, 900)
        for segments, above, targets in zip(batch["segments"], batch["above"], batch["targets"], strict=True):
            plans = np.unique(segments[(above == OPENING) & (segments != OPENING)])
            said = [targets[(segments == plan) & (targets != IGNORE)].tolist() for plan in plans]
            assert len({re.sub(r"\w+", "", tokenizer.decode(plan)) for plan in said}) > 1
            assert all(re.fullmatch(PLAN_PATTERN, tokenizer.decode(plan)) for plan in said)
            assert ((above != OPENING) & (targets != IGNORE)).sum() > 5


def test_every_kind_of_program_comes_as_often_as_any_other() -> None:
    def qa(family: str, expression: str, wants: Wants = "count") -> QA:
        return QA(family, f"{family} {expression} {wants}?", "2", (Fact(wants, "?", "2"),), expression)

    many = [qa("count", "#1")] * 9
    few = [qa("comparison", "most(cats: #1, dogs: #2)"), qa("comparison", "most(owls: #1, big cows: #2)")]
    others = [qa("comparison", "#1 > #2"), qa("threshold", "#1 >= 3"), qa("threshold", "#1 >= 12")]
    bars = qa("comparison", "#1 > #2", "number")
    assert bars in evenly([*[qa("comparison", "#1 > #2")] * 9, bars], random.Random(1))[:2]
    ordered = evenly([*many, *few, *others], random.Random(1))
    assert sorted(one.question for one in ordered) == sorted(one.question for one in (*many, *few, *others))
    assert {(one.family, one.expression[:4]) for one in ordered[:4]} == {
        ("count", "#1"), ("comparison", "most"), ("comparison", "#1 >"), ("threshold", "#1 >"),
    }  # fmt: skip
    assert [one.family for one in ordered[4:7]].count("count") == 1
    assert all(one.family == "count" for one in ordered[7:])


def test_the_loss_of_plans_is_that_of_the_plans_alone(tokenizer: Tokenizer) -> None:
    model: Any = build_model(SIZES["tiny"], tokenizer).eval()
    model.set_attn_implementation("eager")
    objective = Objective(model, tokenizer, "cpu")
    objective.bfloat16 = False
    batch = next(feed(BatchMaker("questions", tokenizer, 1, 1, PREFIX_TOKENS, 900), workers=0, ahead=False))
    with torch.no_grad():
        together = objective.loss(batch, "questions")[1]
        seen = model.model.multi_modal_projector(objective.features(batch))
        losses, weights = [], []
        for plan in batch["segments"][batch["above"] == OPENING].unique()[1:]:
            mine = (batch["segments"] == plan) | (batch["segments"] == OPENING)
            alone = {name: batch[name][mine][None] for name in ("ids", "segments", "above", "positions", "targets")}
            hidden = objective.read(seen, alone)[0].last_hidden_state[:, PREFIX_TOKENS:]
            wanted = alone["targets"] != IGNORE
            targets = alone["targets"][wanted]
            losses.append(torch.nn.functional.cross_entropy(model.lm_head(hidden[wanted]), targets, reduction="sum"))
            weights.append(int(wanted.sum()) ** -0.75)
    assert len(losses) == PLANS_AN_IMAGE
    whole = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    # A plan's weight is that of each of its tokens times how many there are.
    assert together["plan_loss"] == pytest.approx(whole.item() / sum(w ** (-1 / 3) for w in weights), rel=1e-4)
    assert together["answer_loss"] != pytest.approx(together["plan_loss"], rel=1e-4)


def test_a_batch_of_plans_alone_has_a_loss(tokenizer: Tokenizer) -> None:
    model: Any = build_model(SIZES["tiny"], tokenizer).eval()
    batch = next(feed(BatchMaker("questions", tokenizer, 1, 1, PREFIX_TOKENS, 900), workers=0, ahead=False))
    batch["early"].fill_(IGNORE)
    figures = Objective(model, tokenizer, "cpu").loss(batch, "questions")[1]
    assert figures["early_loss"] == 0
    assert all(math.isfinite(value) for value in figures.values())


def test_where_nothing_is_wanted_there_is_no_loss(tokenizer: Tokenizer) -> None:
    model: Any = build_model(SIZES["tiny"], tokenizer)
    none = torch.full((1, 3), IGNORE)
    assert Objective(model, tokenizer, "cpu")._answer_loss(torch.zeros(1, 3, 32), none, none)[0] == 0


def columns(packed: Packed, *, first: int) -> list[list[Any]]:
    return [getattr(packed, field.name)[first:] for field in fields(packed) if field.name not in ("segments", "above")]


def test_a_packed_plan_has_what_it_has_alone(tokenizer: Tokenizer) -> None:
    sample, qa = next(questions("sum"))
    opening = plan_opening(tokenizer)
    alone, twice = (
        pack(
            tokenizer, [plan_turn(qa)] * number, prefix_tokens=9, max_tokens=900, look=sample.look, opening=opening
        )
        for number in (1, 2)
    )  # fmt: skip
    assert len(opening) > len(alone.ids) / 2
    assert alone.segments == [OPENING] * len(opening) + [2] * (len(alone.ids) - len(opening))
    assert twice.ids[: len(alone.ids)] == alone.ids
    assert columns(twice, first=len(alone.ids)) == columns(alone, first=len(opening))
    # A plan does not depend on what the image shows, so nothing of that is read off its question.
    assert {*alone.seen, *alone.before} == {Seen()}
    assert set(alone.early) == {IGNORE}


def test_what_does_not_fit_is_left_out_and_an_opening_comes_with_the_first_plan_that_fits(tokenizer: Tokenizer) -> None:
    opening = plan_opening(tokenizer)
    (_, short), (_, other) = next(questions("count")), next(questions("sum"))
    prompt, answer = plan_turn(other)
    conversation = [(prompt, answer * 20), ("How many?", "2"), plan_turn(short)]
    room = len(pack(tokenizer, conversation[1:], prefix_tokens=9, max_tokens=900).ids)

    def segments(turns: int, tokens: int) -> list[tuple[int, int]]:
        packed = pack(tokenizer, conversation[:turns], prefix_tokens=9, max_tokens=tokens, opening=opening)
        assert len(packed.ids) <= tokens
        return list(dict.fromkeys(zip(packed.segments, packed.above, strict=True)))

    assert segments(3, room) == [(3, 3), (OPENING, OPENING), (4, OPENING)]
    assert segments(2, room) == segments(3, room - 1) == [(3, 3)]


def test_packed_turns_know_what_is_seen_where_a_name_ends(tokenizer: Tokenizer) -> None:
    sample, qa = next(questions("relation"))
    prompt, answer = fact_turn(qa.facts[0])
    packed = pack(tokenizer, [(prompt, answer)], prefix_tokens=2, max_tokens=300, look=sample.look)
    places = np.flatnonzero([seen != Seen() for seen in packed.seen])
    named = list(mentions(prompt))
    assert len(places) == len(named) == 2
    for place, (end, name) in zip(places, named, strict=True):
        assert packed.seen[place] == sample.look(name)
        assert prompt[:end].endswith(tokenizer.decode(packed.ids[: place + 1])[-3:])
        assert packed.before[place] == (Seen() if place == places[0] else sample.look(named[0][1]))
    assert sum(target >= 0 for target in packed.early) == 1
    assert packed.early[places[-1]] == tokenizer.encode(answer).ids[0]


def test_early_targets_stand_where_a_question_names_its_last_thing(tokenizer: Tokenizer) -> None:
    packed = pack(tokenizer, [("How many apples and cars are there?", "7")], prefix_tokens=PREFIX_TOKENS, max_tokens=99)
    (place,) = [place for place, target in enumerate(packed.early) if target != IGNORE]
    assert tokenizer.decode([packed.ids[place]]).strip().endswith("s")
    assert tokenizer.decode(packed.ids[: place + 1]) == "How many apples and cars"
    assert tokenizer.decode([packed.early[place]]) == "7"
