"""The held-out cases: the same every time, and what they claim to be."""

import re
from collections import Counter
from itertools import islice
from typing import get_args

import numpy as np
import pytest

from cot.train.wording import WORDINGS, Wording
from evals.embedded import cases_of, controls
from evals.heldout import PARTS


@pytest.mark.parametrize("part", ["scenes", "shapes", "charts", "unseen-style", "plain-charts"])
def test_cases_are_the_same_every_time_and_a_larger_size_only_adds(part: str) -> None:
    few, many = cases_of(part, 12), cases_of(part, 40)
    assert len(few) >= 12
    for one, other in zip(few, many, strict=False):
        assert one.qa == other.qa
        assert np.array_equal(np.asarray(one.image), np.asarray(other.image))


def test_plain_parts_are_the_plain_questions_of_the_others_and_more() -> None:
    plain, every = cases_of("plain-shapes", 30), cases_of("shapes", 60)
    assert {case.qa.wording for case in plain} == {"phrased"}
    known = [(case.image_id, case.qa.question) for case in every if case.qa.wording == "phrased"]
    assert [(case.image_id, case.qa.question) for case in plain][: len(known)] == known
    assert len(plain) > len(known) > 10


def test_half_of_the_images_are_asked_in_wordings_that_never_train() -> None:
    cases = cases_of("scenes", 120)
    shares = Counter(case.qa.wording for case in cases)
    assert {*shares} == {*get_args(Wording)}
    assert all(abs(share / len(cases) - 0.25) < 0.1 for share in shares.values())
    wordings: tuple[Wording, ...] = ("trained", "held_out", "far_fetched")
    for wording in wordings:
        asked = [case.qa.question.lower() for case in cases if case.qa.wording == wording]
        texts = [text.lower().rstrip("?.") for by in WORDINGS.values() for text in by[wording]]
        stems = [re.split(r"\{\w+\}", text) for text in texts]
        for question in asked:
            assert any(all(part in question for part in stem) for stem in stems), question


def test_easy_vqa_is_its_whole_official_test_split() -> None:
    cases = list(islice(PARTS["easy-vqa"](10**9), 40))
    assert cases[0].image.size == (64, 64)
    assert {case.qa.family for case in cases} == {"existence", "attribute"}
    assert sum(1 for _ in PARTS["easy-vqa"](10**9)) == 9673


def test_controls_keep_the_questions_and_change_the_images() -> None:
    own = {case.qa.question + case.image_id: case for case in PARTS["scenes"](300)}
    for kind in ("blank", "wrong-image"):
        cases = list(controls(kind))
        assert len(cases) > 80
        for case in cases:
            before = own[case.qa.question + case.image_id]
            assert not np.array_equal(np.asarray(case.image), np.asarray(before.image))
