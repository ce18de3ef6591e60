"""The plans of `python -m evals.plans`: whose they are, and which of them count as the program."""

import random
import re
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from cot.engine.local.load import load
from cot.engine.local.source import find_source
from cot.errors import EngineError
from cot.train.objective import Objective
from cot.train.sample import QA, Fact
from cot.train.scenes import make_scene
from evals.plans import main, measure, program, right

CATS = Fact("count", "How many cats are there?", "2")


@pytest.fixture(scope="module")
def objective() -> Objective:
    model = load("embedded", device="cpu", dtype="float32").model
    return Objective(model, Tokenizer.from_file(str(find_source("embedded").folder / "tokenizer.json")), "cpu")


def test_a_program_has_neither_names_nor_numbers() -> None:
    shown = ("most(cats: #1, big dogs: #2)", "#1 >= 12", "#1 < #2")
    told = [program(QA("", "", "", (CATS,), expression)) for expression in shown]
    assert told == ["How many: most(#1,#2)", "How many: #1 >=", "How many: #1 < #2"]


def test_the_embedded_model_plans_most_questions_and_without_its_head_none(objective: Objective) -> None:
    sample = make_scene(random.Random(1), questions=18)
    found = right(objective, sample, sample.qas)
    assert len(found) == len(sample.qas) > 12
    assert sum(found) > 0.75 * len(found)
    head = objective.model.lm_head.weight
    kept = head.detach().clone()
    with torch.no_grad():
        head.zero_()
        assert not any(right(objective, sample, sample.qas))
        head.copy_(kept)


def test_each_plan_is_held_against_its_own_program(objective: Objective) -> None:
    sample = make_scene(random.Random(1), questions=18)
    found = right(objective, sample, sample.qas)
    place = found.index(True)
    other = replace(sample.qas[place], expression="#1 + 1")
    qas = [*sample.qas[:place], other, *sample.qas[place + 1 :]]
    assert right(objective, sample, qas) == [*found[:place], False, *found[place + 1 :]]


def test_figures_are_those_of_single_plans_and_the_same_each_time(objective: Objective) -> None:
    figures = measure(objective, "held_out", limit=30)
    assert sum(asked for asked, _ in figures.values()) >= 30
    assert all(0 <= found <= asked for asked, found in figures.values())
    assert figures == measure(objective, "held_out", limit=30)


def test_it_is_told_by_wording(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--limit", "20"])
    told = re.findall(r"^(\w+): [\d.]+% of \d+ plans are the program$", capsys.readouterr().out, re.MULTILINE)
    assert told == ["trained", "phrased", "held_out", "far_fetched"]


def test_a_model_of_another_input_size_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.plans.INPUT_PIXELS", 96)
    with pytest.raises(EngineError, match="embedded sees images of 224 pixels; expected a model of 96"):
        main([])


def test_a_wrong_model_is_one_clear_error() -> None:
    with pytest.raises(EngineError, match="no model folder at"):
        main(["--model", "/nowhere/at/all"])
