"""The plans of `python -m evals.plans`: whose they are, and which of them count as the program."""

import random
import re
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from cot.engine.local.load import load
from cot.engine.local.source import find_source
from cot.errors import EngineError
from cot.train.sample import QA, Fact
from evals.plans import main, measure, program, questions, right

CATS = Fact("count", "How many cats are there?", "2")


@pytest.fixture(scope="module")
def model() -> Any:
    return load("embedded", device="cpu", dtype="float32").model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(find_source("embedded").folder / "tokenizer.json"))


def test_a_program_has_neither_names_nor_numbers() -> None:
    shown = ("most(cats: #1, big dogs: #2)", "#1 >= 12", "#1 < #2")
    told = [program(QA("", "", "", (CATS,), expression)) for expression in shown]
    assert told == ["How many: most(#1,#2)", "How many: #1 >=", "How many: #1 < #2"]


def test_the_embedded_model_plans_most_questions_and_without_its_head_none(model: Any, tokenizer: Tokenizer) -> None:
    qas = questions("trained", random.Random(1))
    found = list(right(model, tokenizer, qas))
    assert len(found) > 60
    assert {id(qa) for qa, _ in found} <= {id(qa) for qa in qas}
    assert sum(is_right for _, is_right in found) > 0.75 * len(found)
    head = model.lm_head.weight
    kept = head.detach().clone()
    with torch.no_grad():
        head.zero_()
        assert not any(is_right for _, is_right in right(model, tokenizer, qas))
        head.copy_(kept)


def test_figures_are_those_of_single_plans_and_the_same_each_time(model: Any, tokenizer: Tokenizer) -> None:
    figures = measure(model, tokenizer, "held_out", limit=30)
    assert sum(asked for asked, _ in figures.values()) >= 30
    assert all(0 <= found <= asked for asked, found in figures.values())
    assert figures == measure(model, tokenizer, "held_out", limit=30)


def test_it_is_told_by_wording(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--limit", "20"])
    told = re.findall(r"^(\w+): [\d.]+% of \d+ plans are the program$", capsys.readouterr().out, re.MULTILINE)
    assert told == ["trained", "phrased", "held_out", "far_fetched"]


def test_a_wrong_model_is_one_clear_error() -> None:
    with pytest.raises(EngineError, match="no model folder at"):
        main(["--model", "/nowhere/at/all"])
