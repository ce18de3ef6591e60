"""The generators: every question's program gives its answer, and what is held out stays out."""

import random
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from cot.answer import parse_answer, show_value
from cot.expression import evaluate
from cot.planner.plan import parse_plan
from cot.train import data, easyvqa
from cot.train.artwork import sprites
from cot.train.canvas import Box
from cot.train.charts import make_chart
from cot.train.counting import Counting, Noun
from cot.train.kinds import HELD_OUT_STYLE, KINDS, STYLES, TRAIN_STYLES
from cot.train.labels import BACKGROUND_COLOURS, CLASSES, FACETS, FORMS, SHAPE_COLOURS, SIZES, WORDS
from cot.train.places import DIRECTIONS, PLACES, Thing, bigger
from cot.train.sample import GRID, IMAGE_PIXELS, QA, Sample
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes, noun
from cot.train.wording import WORDINGS, Wording, _bare, canonical, phrase, word

MAKERS: dict[str, Callable[..., Sample]] = {"scenes": make_scene, "shapes": make_shapes, "charts": make_chart}


def computed(qa: QA) -> str:
    """What the planner would answer if every sub-answer were right."""
    plan = parse_plan(qa.plan)
    values = {number: parse_answer(fact.answer, fact.wants) for number, fact in enumerate(qa.facts, 1)}
    assert plan.expression is not None
    return show_value(evaluate(plan.expression, values))


@pytest.mark.parametrize("domain", MAKERS)
def test_every_program_gives_its_answer(domain: str) -> None:
    families = set()
    for seed in range(60):
        for wording in get_args(Wording):
            for qa in MAKERS[domain](random.Random(seed), questions=10, wording=wording).qas:
                families.add(qa.family)
                assert computed(qa) == qa.answer, qa
                assert qa.wording == wording
    assert len(families) >= 8


QUOKKAS, NUMBATS, ZORILLAS, BILBIES = (
    Noun("quokka", "quokkas"), Noun("numbat", "numbats"), Noun("zorilla", "zorillas"), Noun("bilby", "bilbies"),
)  # fmt: skip
"""Names that no wording has by itself."""


@pytest.mark.parametrize("wording", get_args(Wording))
def test_programs_ask_for_facts_in_the_order_in_which_the_question_names_them(wording: Wording) -> None:
    rng = random.Random(wording)
    counts = {QUOKKAS: 3, NUMBATS: 1, ZORILLAS: 2, BILBIES: 5}
    things = [Thing(noun, noun.singular, Box(30 + 40 * n, 60 + 20 * n, 20 + 15 * n)) for n, noun in enumerate(counts)]

    def draw() -> tuple[Noun, int]:
        return rng.choice(list(counts.items()))

    counting = Counting(rng, draw, draw, wording=wording)
    makers: list[Callable[[], QA | None]] = [
        counting.compare, counting.extreme_of_three, counting.total_of, counting.difference, counting.of_two,
        counting.absent, counting.threshold, counting.changed, lambda: bigger(things, rng, wording=wording),
    ]  # fmt: skip
    name = re.compile("quokka|numbat|zorilla|bilb")
    expressions = set()
    for qa in filter(None, (maker() for maker in makers for _ in range(200))):
        assert list(dict.fromkeys(name.findall(qa.plan))) == list(dict.fromkeys(name.findall(qa.question))), qa
        assert computed(qa) == qa.answer, qa
        expressions.add(qa.expression)
    assert {"abs(#1 - #2)", "#1 > #2", "#1 < #2", "not #1", "not #1 and not #2", "#1 + #2 + #3 + #4"} <= expressions
    assert not {"#1 - #2", "#2 - #1"} & expressions


def test_plans_say_each_direction_in_one_way() -> None:
    said = re.compile("|".join(sorted((*DIRECTIONS, *PLACES), key=len, reverse=True)))
    asked, planned = set(), set()
    for seed in range(300):
        for qa in make_shapes(random.Random(f"directions/{seed}"), questions=18).qas:
            if qa.family in ("relation", "relation_open", "extreme_place"):
                asked.update(said.findall(qa.question))
                planned.update(said.findall(qa.facts[0].text))
    assert asked == {*DIRECTIONS, *PLACES}
    assert planned == {
        "to the left of", "to the right of", "above", "below", "leftmost", "rightmost", "topmost", "lowest",
    }  # fmt: skip


def test_every_program_of_easy_vqa_gives_its_answer() -> None:
    asked = {pair for pairs in easyvqa.all_questions("train").values() for pair in pairs}
    for question, answer in asked:
        assert computed(easyvqa.program(question, answer)) == answer


def test_half_of_the_questions_of_easy_vqa_are_said_otherwise_with_the_same_program() -> None:
    known = {pair[0] for pairs in easyvqa.all_questions("train").values() for pair in pairs}
    asked = [qa for seed in range(40) for qa in easyvqa.make_easyvqa(random.Random(seed), questions=9).qas]
    said = [qa for qa in asked if qa.question not in known]
    assert 0.3 * len(asked) < len(said) < 0.7 * len(asked)
    assert any(qa.question[0].isupper() for qa in said)
    assert all(fact.text in known and computed(qa) == qa.answer for qa in said for fact in qa.facts)


def test_a_sum_counts_no_shape_twice() -> None:
    sums = 0
    for seed in range(120):
        for qa in make_shapes(random.Random(seed), questions=18).qas:
            if qa.family != "sum":
                continue
            sums += 1
            for one, other in combinations([set(re.findall(r"[a-z]+", fact.text)) for fact in qa.facts], 2):
                parts = [set(SIZES), set(SHAPE_COLOURS), {noun("", "", form).plural for form in FORMS}]
                assert any(one & part and other & part and not one & other & part for part in parts), qa
    assert sums > 60


def test_how_a_threshold_is_asked_for_does_not_tell_the_answer() -> None:
    rng = random.Random(1)

    def few() -> tuple[Noun, int]:
        return QUOKKAS, rng.choice((1, 1, 1, 2, 2, 3))

    counting = Counting(rng, few, few, wording="trained")
    held: dict[str, list[bool]] = {}
    for _ in range(2000):
        qa = counting.threshold()
        held.setdefault(qa.expression.rstrip("0123456789"), []).append(qa.answer == "yes")
    assert len(held) == 5
    for sign, answers in held.items():
        assert 0.4 < sum(answers) / len(answers) < 0.6, (sign, len(answers))


def test_references_are_filled_in_for_training() -> None:
    facts = [fact for seed in range(40) for qa in make_chart(random.Random(seed), questions=8).qas for fact in qa.facts]
    assert any("#1" in fact.text for fact in facts)
    assert not any("#" in fact.asked for fact in facts)


@pytest.mark.parametrize("domain", MAKERS)
def test_the_same_seed_gives_the_same_sample(domain: str) -> None:
    first, second = (MAKERS[domain](random.Random(7), questions=5) for _ in range(2))
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert first.qas == second.qas


@pytest.mark.parametrize("make", [make_scene, make_shapes])
def test_crowded_images_ask_for_higher_counts(make: Callable[..., Sample]) -> None:
    def counts(*, crowded: bool) -> list[int]:
        samples = [make(random.Random(seed), questions=8, crowded=crowded) for seed in range(40)]
        return [int(qa.answer) for sample in samples for qa in sample.qas if qa.family == "count"]

    sparse, crowded = (np.mean(counts(crowded=many)) for many in (False, True))
    assert crowded > 1.3 * sparse


def test_some_of_the_training_images_are_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def make(rng: random.Random, *, questions: int, crowded: bool = False, **more: Any) -> Sample:
        asked.append(crowded)
        return make_scene(rng, questions=questions, crowded=crowded, **more)

    monkeypatch.setattr(data, "DOMAINS", {"scenes": data.DOMAINS["scenes"]._replace(make=make)})
    for seed in range(40):
        data.draw(random.Random(seed), asking=False)
    assert {*asked} == {True, False}


@pytest.mark.parametrize("domain", MAKERS)
def test_patches_are_labelled(domain: str) -> None:
    sample = MAKERS[domain](random.Random(3), questions=1)
    assert sample.image.size == (IMAGE_PIXELS, IMAGE_PIXELS)
    assert sample.dense.classes.shape == sample.dense.objects.shape == (GRID, GRID)
    assert 0 < (sample.dense.classes > 0).sum() < GRID * GRID
    assert sample.dense.classes.max() < len(CLASSES)


def test_a_lone_object_is_labelled_where_it_was_drawn() -> None:
    for seed in range(200):
        sample = make_scene(random.Random(seed), questions=8)
        totals = [qa.answer for qa in sample.qas if qa.family == "total"]
        if totals == ["1"]:
            labels = set(np.unique(sample.dense.classes)) - {0}
            assert len(labels) == 1
            assert np.array_equal(sample.dense.objects, sample.dense.classes > 0)
            return
    pytest.fail("no scene with one object in 200")


def told(sample: Sample, label: str) -> dict[str, set[int]]:
    """What the patches that show this class tell of the image."""
    patches = sample.dense.facets[sample.dense.classes == CLASSES[label]]
    return {name: set(map(int, values)) for name, values in zip(FACETS, patches.T, strict=True)}


def counts(sample: Sample) -> dict[str, set[int]]:
    """Plural -> its count, as questions have it."""
    asked = [fact for qa in sample.qas for fact in qa.facts if fact.wants == "count"]
    return {fact.asked: {int(fact.answer)} for fact in asked}


def test_patches_tell_how_many_there_are() -> None:
    compared = 0
    for seed in range(30):
        scene, shapes = (make(random.Random(seed), questions=30) for make in (make_scene, make_shapes))
        asked = counts(scene)
        for kind in KINDS:
            true = asked.get(canonical("count", p=kind.plural))
            if true and true != {0}:
                assert told(scene, f"kind {kind.singular}")["same"] in (true, set()), (seed, kind)
                compared += 1
        asked = counts(shapes)
        for label in [name for name, index in CLASSES.items() if index in shapes.dense.classes and index]:
            size, colour, form = label.split()[1:]
            for facet, parts in {
                "same": ("", colour, form), "form": ("", "", form), "colour": ("", colour, ""),
                "size_form": (size, "", form), "size_colour": (size, colour, ""), "exact": (size, colour, form),
            }.items():  # fmt: skip
                true = asked.get(canonical("count", p=noun(*parts).plural))
                if true:
                    assert told(shapes, label)[facet] == true, (seed, label, facet)
                    compared += 1
    assert compared > 200


def test_bare_patches_tell_the_colour_of_a_plain_background() -> None:
    plain = 0
    for seed in range(40):
        scene = make_scene(random.Random(seed), questions=40)
        answers = {qa.answer for qa in scene.qas if qa.family == "attribute"}
        ground = told(scene, "background")["ground"]
        if answers:
            assert {[*BACKGROUND_COLOURS][index] for index in ground} == answers
            plain += 1
        assert all(told(scene, f"kind {kind.singular}")["ground"] <= {-100} for kind in KINDS)
    assert plain > 10


def test_labels_of_charts_tell_what_their_bars_are_worth() -> None:
    compared = 0
    for seed in range(20):
        chart = make_chart(random.Random(seed), questions=20)
        for qa in chart.qas:
            if qa.family == "lookup":
                label = next(name for name in WORDS if canonical("value", s=name) == qa.facts[0].text)
                seen = told(chart, f"word {label}")
                if seen["tens"]:
                    (tens,), (units,) = seen["tens"], seen["units"]
                    assert 10 * tens + units == int(qa.answer)
                    compared += 1
            elif qa.family == "extreme":
                seen = told(chart, f"word {qa.answer}")
                assert seen["rank"] in ({2 if qa.facts[0].text == canonical("highest") else 0}, set())
    assert compared > 20


def test_a_tenth_of_the_wordings_never_trains() -> None:
    kept_out = {family: [*by["held_out"], *by["far_fetched"]] for family, by in WORDINGS.items()}
    for family, by in WORDINGS.items():
        every = [text.rstrip("?.").lower() for text in (*by["trained"], *kept_out[family])]
        assert len(every) >= 30, family
        assert len(set(every)) == len(every), family
        assert 0.09 < len(kept_out[family]) / len(every) < 0.2, family
    rng = random.Random(0)
    slots = {name: name for name in (*(form + number for form in "asp" for number in ("", *"234")), *"dke")}
    for family in WORDINGS:
        for _ in range(200):
            said = word(family, rng, wording="trained", **slots).lower()
            held = (text.format(**slots).rstrip("?.").lower() for text in kept_out[family])
            assert not said.rstrip("?.").endswith(tuple(held))


@pytest.mark.parametrize("family", WORDINGS)
def test_plain_questions_are_whole_various_and_never_held_out(family: str) -> None:
    rng = random.Random(family)
    made = [phrase(family, rng) for _ in range(300)]
    slots = set(re.findall(r"{\w+}", " ".join([*WORDINGS[family]["trained"], *WORDINGS[family]["held_out"]])))
    assert all(set(re.findall(r"{\w+}", text)) <= slots for text in made)
    assert not any(re.search(r"[()<>|]|\s\s|\{x\}", text) for text in made)
    assert len(set(made)) > 80
    held = [text for by in WORDINGS.values() for text in (*by["held_out"], *by["far_fetched"])]
    exchanged = [re.sub(r"{([asp])(2?)}", lambda slot: f"{{{slot[1]}{'' if slot[2] else '2'}}}", text) for text in held]
    assert not {_bare(text) for text in made} & {_bare(text) for text in (*held, *exchanged)}


def test_a_plain_question_that_is_held_out_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["are as many {p} as {p2} drawn", "HAVE as many {p} as {p2} been drawn.", "Are {p} as many as {p2}?"])
    monkeypatch.setattr("cot.train.wording._put_together", lambda family, rng: next(made))
    rng = random.Random(0)
    assert [phrase("equal", rng), phrase("equal", rng)] == ["are as many {p} as {p2} drawn", "Are {p} as many as {p2}?"]


def test_training_uses_neither_the_held_out_style_nor_held_out_wordings() -> None:
    assert HELD_OUT_STYLE not in TRAIN_STYLES
    rng = random.Random(1)
    worded: set[Wording] = set()
    for _ in range(150):
        sample = data.draw(rng)
        assert sample.style != HELD_OUT_STYLE
        worded |= {qa.wording for qa in sample.qas}
    assert worded == {"trained", "phrased"}


def test_the_model_card_lists_all_that_is_drawn(root: Path) -> None:
    card = (root / "cot" / "weights" / "README.md").read_text("utf-8")
    listed = " ".join(card.split("## What it knows")[1].split("##")[0].split())
    for names in ([kind.plural for kind in KINDS], FORMS, SHAPE_COLOURS, BACKGROUND_COLOURS, WORDS):
        assert ", ".join(names) in listed


def test_training_never_reads_the_test_split_of_easy_vqa(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = easyvqa.image_path

    def watched(split: easyvqa.Split, number: int) -> object:
        opened.append(split)
        return real(split, number)

    monkeypatch.setattr(easyvqa, "image_path", watched)
    easyvqa.all_questions.cache_clear()
    rng = random.Random(2)
    for _ in range(150):
        data.draw(rng)
    assert set(opened) == {"train"}
    assert easyvqa.all_questions.cache_info().currsize == 1


def test_every_style_draws_every_kind() -> None:
    assert len(KINDS) >= 80
    for style in STYLES:
        for kind, sprite in zip(KINDS, sprites(style), strict=True):
            share = (np.asarray(sprite.getchannel("A")) > 100).mean()
            assert share > 0.08, (style, kind.singular)
