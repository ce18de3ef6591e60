"""What training sees is what inference sees: packed turns are the turns as they are asked alone."""

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
    PLAN_COLUMNS,
    PLANNED_EVERY,
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
from cot.train.objective import Objective, before_an_image, pixels_to_input
from cot.train.packing import IGNORE, OPENING, Packed, Turn, pack, pack_rows, packed_mask
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
    inner, objective = model.model, Objective(model, tokenizer, "cpu")

    def hidden(chosen: torch.Tensor) -> torch.Tensor:
        ids, segments, above, positions = (
            batch[name][chosen][None] for name in ("ids", "segments", "above", "positions")
        )
        with torch.no_grad():
            special = torch.tensor([tokenizer.token_to_id(name) for name in ("<s>", "<|user|>")])
            embed, patches = inner.language_model.embed_tokens, inner.multi_modal_projector(objective.features(batch))
            out: torch.Tensor = inner.language_model(
                inputs_embeds=torch.cat([embed(special)[None], patches, embed(ids)], dim=1),
                attention_mask=packed_mask(segments, above, PREFIX_TOKENS).float(),
                position_ids=torch.cat([torch.arange(PREFIX_TOKENS)[None], positions], dim=1), use_cache=False,
            ).last_hidden_state[:, PREFIX_TOKENS:]  # fmt: skip
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


def test_most_batches_have_no_plans_and_are_shorter(tokenizer: Tokenizer) -> None:
    maker = BatchMaker(
        "questions", tokenizer, batch=2, seed=1, prefix_tokens=PREFIX_TOKENS, max_tokens=900, tokens_without_plans=250
    )
    for index in range(PLANNED_EVERY + 1):
        batch, tokens = maker(index), 250 if index % PLANNED_EVERY else 900
        assert batch["ids"].shape == batch["positions"].shape == batch["seen"].shape[:2] == (2, tokens)
        assert (batch["segments"] == OPENING).any(axis=1).tolist() == [tokens == 900] * 2
        assert ((batch["targets"] != IGNORE).sum(axis=1) > 5).all()
        assert "plan_ids" not in batch


def test_plans_without_an_image_are_those_of_the_questions(tokenizer: Tokenizer) -> None:
    maker = BatchMaker(
        "questions", tokenizer, batch=3, seed=2, prefix_tokens=PREFIX_TOKENS, max_tokens=250, tokens_without_plans=250,
        plan_rows=2, plan_tokens=600,
    )  # fmt: skip
    batch = maker(1)
    assert {batch[f"plan_{name}"].shape for name in PLAN_COLUMNS} == {(2, 600)}
    opening = len(plan_opening(tokenizer))
    for row in range(2):
        segments = batch["plan_segments"][row]
        assert (segments == OPENING).sum() == opening
        plans = np.unique(segments[segments > OPENING])
        assert len(plans) > 3
        for segment in plans:
            mine = segments == segment
            assert batch["plan_positions"][row][mine][0] == PREFIX_TOKENS + opening
            said = batch["plan_targets"][row][mine]
            assert re.fullmatch(PLAN_PATTERN, tokenizer.decode(said[said != IGNORE].tolist()))
    rows = batch["plan_segments"]
    assert not set(rows[0][rows[0] > OPENING]) & set(rows[1][rows[1] > OPENING])


def test_a_turn_that_does_not_fit_begins_the_next_row(tokenizer: Tokenizer) -> None:
    def turn(words: int) -> Turn:
        return "?", " ".join(["2"] * words)

    conversation = [turn(30), turn(20), turn(1), turn(30), turn(1)]
    long, middle, short, *_ = (len(pack(tokenizer, [one], prefix_tokens=2, max_tokens=900).ids) for one in conversation)
    assert short < middle < long
    rows = pack_rows(tokenizer, conversation, rows=2, prefix_tokens=2, max_tokens=long + middle - 1)
    assert [list(dict.fromkeys(row.segments)) for row in rows] == [[2], [3, 4]]
    assert rows[1].positions[:3] == [2, 3, 4]
    assert [len(row.ids) for row in pack_rows(tokenizer, [], rows=2, prefix_tokens=2, max_tokens=9)] == [0, 0]


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


def test_plans_without_an_image_teach_the_decoder_alone(tokenizer: Tokenizer) -> None:
    maker = BatchMaker(
        "questions", tokenizer, batch=2, seed=3, prefix_tokens=PREFIX_TOKENS, max_tokens=250, plan_rows=2,
        plan_tokens=300,
    )  # fmt: skip
    batch = next(feed(maker, workers=0, ahead=False))
    model: Any = build_model(SIZES["tiny"], tokenizer)
    model.set_attn_implementation("eager")
    objective = Objective(model, tokenizer, "cpu")
    start = model.model.language_model.embed_tokens(before_an_image(tokenizer))
    objective._planning_loss(start, batch).backward()
    taught = {name for name, one in model.named_parameters() if one.grad is not None}
    assert "lm_head.weight" in taught
    assert not any("vision_tower" in name or "projector" in name for name in taught)
    assert objective.loss(batch, "questions")[1]["plan_loss"] > 0
    without = {name: one for name, one in batch.items() if not name.startswith("plan_")}
    assert objective.loss(without, "questions")[1]["plan_loss"] == 0


def test_the_loss_of_a_row_of_plans_is_that_of_the_plans_alone(tokenizer: Tokenizer) -> None:
    model: Any = build_model(SIZES["tiny"], tokenizer).eval()
    model.set_attn_implementation("eager")
    objective = Objective(model, tokenizer, "cpu")
    objective.bfloat16 = False
    decoder = model.model.language_model
    plans = [plan_turn(next(questions(family))[1]) for family in ("sum", "count", "comparison")]
    rows = pack_rows(
        tokenizer, plans, rows=2, prefix_tokens=PREFIX_TOKENS, max_tokens=400, opening=plan_opening(tokenizer)
    )
    length = max(len(row.ids) for row in rows)

    def padded(name: str, value: int) -> torch.Tensor:
        return torch.tensor([getattr(row, name) + [value] * (length - len(getattr(row, name))) for row in rows])

    batch = {f"plan_{name}": padded(name, IGNORE if name == "targets" else 0) for name in PLAN_COLUMNS}
    with torch.no_grad():
        start = decoder.embed_tokens(before_an_image(tokenizer))
        together = objective._planning_loss(start, batch).item()
        losses, weights = [], []
        for prompt, answer in plans:
            one = pack(tokenizer, [(prompt, answer)], prefix_tokens=PREFIX_TOKENS, max_tokens=400)
            embeds = torch.cat([start, decoder.embed_tokens(torch.tensor([one.ids]))], dim=1)
            places = torch.tensor([[0, 1, *one.positions]])
            # Without a mask transformers takes a gap between places for the end of a sequence.
            seen = torch.ones(embeds.shape[:2], dtype=torch.long)
            hidden = decoder(
                inputs_embeds=embeds, attention_mask=seen, position_ids=places, use_cache=False
            ).last_hidden_state[0, 2:]
            wanted = torch.tensor(one.targets) != IGNORE
            targets = torch.tensor(one.targets)[wanted]
            losses.append(torch.nn.functional.cross_entropy(model.lm_head(hidden[wanted]), targets, reduction="sum"))
            weights.append(int(wanted.sum()) ** -0.75)
    whole = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    # A plan's weight is that of each of its tokens times how many there are.
    assert together == pytest.approx(whole.item() / sum(weight ** (-1 / 3) for weight in weights), rel=1e-5)


def test_what_is_longer_than_a_row_of_plans_is_left_out_alone(tokenizer: Tokenizer) -> None:
    long, short = ("?", " ".join(["2"] * 50)), ("?", "2")
    rows = pack_rows(tokenizer, [long, short, long, short], rows=2, prefix_tokens=2, max_tokens=20)
    assert [[*dict.fromkeys(row.segments)] for row in rows] == [[3], [5]]
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
    # The template's example names things that the question does not ask about.
    assert [seen for seen in alone.seen if seen != Seen()] == [sample.look(name) for _, name in mentions(qa.question)]
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
