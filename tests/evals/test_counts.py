"""The counts of `python -m evals.counts`: what is asked, and how it is told."""

import re

import pytest

from cot.errors import EngineError
from evals.counts import counted, lines, main


def test_every_kind_of_a_scene_is_counted_once_and_alike_each_time() -> None:
    asked = [(image.source, fact.text, fact.answer) for image, fact in counted(4)]
    assert len({(source, text) for source, text, _ in asked}) == len(asked) > 4
    assert {source for source, _, _ in asked} == set("0123")
    assert all(int(answer) >= 1 and "objects" not in text for _, text, answer in asked)
    assert asked == [(image.source, fact.text, fact.answer) for image, fact in counted(4)]


def test_counts_are_told_by_number() -> None:
    told = list(lines([(1, True), (1, False), (2, True), (6, True), (9, False), (11, True)]))
    assert [line.split()[: line.split().index("n")] for line in told] == [["all"], ["1"], ["2"], ["6", "and", "more"]]
    assert [re.findall(r"n +(\d+) +([\d.]+)%", line)[0] for line in told] == [
        ("6", "66.7"), ("2", "50.0"), ("1", "100.0"), ("3", "66.7"),
    ]  # fmt: skip


def test_the_embedded_model_counts_what_it_sees(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--scenes", "12"])
    share = re.search(r"all +n +\d+ +([\d.]+)%", capsys.readouterr().out)
    assert share
    assert float(share[1]) > 80


def test_a_wrong_model_is_one_clear_error() -> None:
    with pytest.raises(EngineError, match="no model folder at"):
        main(["--model", "/nowhere/at/all"])
