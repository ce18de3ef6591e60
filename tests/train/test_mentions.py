"""What a question names is found, and what the image shows of it is known."""

import random
from collections.abc import Callable

import torch

from cot.train.charts import make_chart
from cot.train.counting import yes_no
from cot.train.heads import SCALES, NameHeads
from cot.train.mentions import mentions
from cot.train.sample import QA, Sample, Seen
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes


def named(text: str) -> list[str]:
    return [name for _, name in mentions(text)]


def test_names_are_found_whole() -> None:
    assert named("Are there more apples than large red circles?") == ["apples", "large red circles"]
    assert named("What is the value of wool? In total?") == ["wool"]
    assert named("What shape is the small red shape?") == ["shape", "small red shape"]
    assert named("Is the carpet there? Caring? unstarred") == []


def asked(make: Callable[..., Sample], family: str, seeds: int = 60) -> list[tuple[Sample, QA]]:
    samples = [make(random.Random(seed), questions=12) for seed in range(seeds)]
    return [(sample, qa) for sample in samples for qa in sample.qas if qa.family == family]


def test_counts_of_names_are_the_answers_of_the_questions_that_ask_for_them() -> None:
    for make in (make_scene, make_shapes):
        found = asked(make, "count")
        assert len(found) > 50
        for sample, qa in found:
            name = named(qa.facts[0].asked)[-1]
            assert str(sample.look(name).number) == qa.answer, (name, qa)


def test_places_of_names_are_what_relations_ask_about() -> None:
    for make in (make_scene, make_shapes):
        compared = 0
        for sample, qa in asked(make, "relation", seeds=100):
            first, second = (sample.look(name) for name in named(qa.facts[0].asked))
            assert first.number == second.number == 1
            if " left of " in qa.facts[0].asked:
                assert qa.answer == yes_no(first.x < second.x)
                compared += 1
            if " above " in qa.facts[0].asked:
                assert qa.answer == yes_no(first.y < second.y)
                compared += 1
        assert compared > 10


def test_values_of_labels_are_the_answers_of_look_ups() -> None:
    found = asked(make_chart, "lookup")
    assert len(found) > 50
    for sample, qa in found:
        (name,) = named(qa.facts[0].asked)
        seen = sample.look(name)
        assert str(10 * seen.tens + seen.units) == qa.answer


def test_words_for_all_things_count_all_of_them() -> None:
    for make, word in ((make_scene, "objects"), (make_shapes, "objects"), (make_chart, "bars")):
        sample = make(random.Random(4), questions=30)
        totals = [int(qa.answer) for qa in sample.qas if qa.family == "total"]
        if totals:
            assert sample.look(word).number == totals[0]
        assert sample.look(word).number > 1


def test_the_gap_to_the_name_before_can_be_learned_where_both_are_known() -> None:
    torch.manual_seed(0)
    seen, before = (
        torch.tensor([list(one)])
        for one in (Seen(1, 20, 90, 30, objects=2), Seen(3, 100, 40, 30, tens=1, units=2, objects=4))
    )
    heads, hidden = NameHeads(8), torch.randn(1, 8)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss, told = heads.gap_loss(hidden, seen, before)
        loss.backward()
        optimizer.step()
    # Sides are equal and a value is known of one only: neither has a sign.
    assert told == {"x_sign": 1, "y_sign": 1, "side_sign": 0, "number_sign": 1, "value_sign": 0}
    read = dict(zip(SCALES, heads.gap(heads.norm(hidden))[0].tolist(), strict=True))
    assert abs(80 * read["x"] - 80) < 4
    assert abs(80 * read["y"] + 50) < 4
    assert abs(6 * read["number"] - 2) < 0.3
