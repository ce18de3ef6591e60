"""What a question names is found, and what the image shows of it is known."""

import random
from collections.abc import Callable

import numpy as np

from cot.train.charts import make_chart
from cot.train.counting import yes_no
from cot.train.data import fact_turn, pack
from cot.train.mentions import mentions
from cot.train.model import train_tokenizer
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
        for sample, qa in asked(make, "relation"):
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


def test_packed_turns_know_what_is_seen_where_a_name_ends() -> None:
    tokenizer = train_tokenizer(640, samples=60)
    sample, qa = asked(make_scene, "relation")[0]
    prompt, answer = fact_turn(qa.facts[0])
    packed = pack(tokenizer, [(prompt, answer)], prefix_tokens=2, max_tokens=300, look=sample.look)
    places = np.flatnonzero([seen != Seen() for seen in packed.seen])
    assert len(places) == 2
    for place, (end, name) in zip(places, mentions(prompt), strict=True):
        assert packed.seen[place] == sample.look(name)
        assert prompt[:end].endswith(tokenizer.decode(packed.ids[: place + 1])[-3:])
