"""Scores of outcomes whose truth is known."""

import pytest
from PIL import Image

from cot.engine.scripted import ScriptedEngine
from cot.image import from_pixels
from cot.planner.run import run
from cot.question import Question
from cot.train.sample import QA, Fact
from evals import report
from evals.embedded import Model, calibration_error, evaluate_part, show
from evals.heldout import Case
from evals.score import Fault, Result, gain, score, table

APPLES = Fact("count", "How many apples are there?", "3")
CARS = Fact("count", "How many cars are there?", "2")
TOTAL = QA("sum", "How many apples and cars are there?", "5", (APPLES, CARS), "#1 + #2")


async def scored(replies: list[str], *, strategy: str = "decompose", qa: QA = TOTAL) -> Result:
    image = Image.new("RGB", (8, 8))
    question = Question(qa.question, (from_pixels(image, source="test"),))
    outcome = await run(strategy, question, ScriptedEngine(replies))
    return score(Case("test/1", image, qa), outcome, strategy)


async def test_all_right() -> None:
    result = await scored([TOTAL.plan, "3", "2"])
    assert (result.status, result.planned, result.steps_right, result.steps) == ("correct", True, 2, 2)
    assert result.faithful is True
    assert not result.fell_back


async def test_a_wrong_step_makes_a_wrong_but_faithful_answer() -> None:
    result = await scored([TOTAL.plan, "3", "4"])
    assert (result.status, result.steps_right, result.faithful) == ("wrong", 1, True)


async def test_a_plan_that_asks_for_something_else() -> None:
    result = await scored(["1. [count] How many dogs are there?\nanswer: #1", "5"])
    assert (result.status, result.planned, result.steps) == ("correct", False, 0)


async def test_a_fallback_is_told_apart() -> None:
    result = await scored(["no plan at all", "no plan at all", "5"])
    assert (result.status, result.planned, result.faithful) == ("correct", False, None)
    assert result.fell_back


@pytest.mark.parametrize(
    ("replies", "fault"),
    [
        ([TOTAL.plan, "3", "2"], None),
        (["1. [count] How many dogs are there?\nanswer: #1", "6"], "plan"),
        (["no plan at all", "no plan at all", "6"], "plan"),
        ([TOTAL.plan, "3", "4"], "sub-answer"),
        ([TOTAL.plan, "3", *["unknown"] * 3], "sub-answer"),
        ([TOTAL.plan.replace("+", "-"), "3", "2"], "operation"),
        ([TOTAL.plan.replace("+", "-"), "3", "4"], "sub-answer"),
    ],
)
async def test_what_a_wrong_answer_is_lost_to(replies: list[str], fault: Fault | None) -> None:
    result = await scored(replies)
    assert result.lost_to == fault
    lost = table([result], by=lambda r: r.family)["sum"]["lost_to"]
    assert [name for name, number in lost.items() if number] == ([fault] if fault else [])
    assert (await scored(["6"], strategy="direct")).lost_to is None


async def test_a_wrong_description_is_a_wrong_sub_answer() -> None:
    described = QA("description", "What is shown?", "a cat", (Fact("text", "Describe the image.", "a cat"),))
    result = await scored([described.plan, "a dog"], qa=described)
    assert (result.status, result.planned, result.steps, result.lost_to) == ("wrong", True, 0, "sub-answer")


async def test_abstaining_is_not_wrong() -> None:
    result = await scored(["unknown"], strategy="direct")
    assert result.status == "unknown"


@pytest.mark.parametrize(("reply", "status"), [("5", "correct"), ("Five.", "correct"), ("6", "wrong")])
async def test_direct(reply: str, status: str) -> None:
    result = await scored([reply], strategy="direct")
    assert result.status == status
    assert result.planned is None


def test_a_table_has_counts_and_intervals() -> None:
    results = [Result(f"i{n}", "sum", "trained", "correct" if n % 4 else "unparsed", 0.9) for n in range(20)]
    row = table(results, by=lambda r: r.family)["sum"]
    assert row["n"] == 20
    assert row["accuracy"] == 0.75
    assert row["counts"] == {"correct": 15, "wrong": 0, "unknown": 0, "unparsed": 5, "errored": 0}
    assert row["interval"][0] < 0.75 < row["interval"][1]


def test_gain_is_paired() -> None:
    before = [Result(f"i{n // 2}", "sum", "trained", "wrong", 0.5) for n in range(20)]
    after = [Result(f"i{n // 2}", "sum", "trained", "correct" if n % 2 else "wrong", 0.5) for n in range(20)]
    assert gain(before, after)["difference"] == 0.5


def test_what_errored_is_counted_apart_and_is_in_no_score() -> None:
    def results(statuses: str) -> list[Result]:
        status = {"r": "correct", "w": "wrong", "e": "errored"}
        return [Result(f"i{n}", "sum", "trained", status[one], 0.9, planned=False) for n, one in enumerate(statuses)]

    row = table(results("rrrwee"), by=lambda r: r.family)["sum"]
    assert (row["n"], row["accuracy"], row["counts"]["errored"]) == (6, 0.75, 2)
    assert row["interval"] == table(results("rrrw"), by=lambda r: r.family)["sum"]["interval"]
    assert row["lost_to"] == {"plan": 1, "sub-answer": 0, "operation": 0}
    found = gain(results("wwrre"), results("rrrew"))
    assert (found["n"], found["difference"]) == (3, 0.6667)
    none = table(results("ee"), by=lambda r: r.family)["sum"]
    assert (none["n"], none["accuracy"], none["interval"], none["counts"]["errored"]) == (2, None, None, 2)
    assert gain(results("er"), results("re")) == {"n": 0, "difference": None, "interval": None}


def test_a_part_with_a_family_that_all_errored_has_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(_model: Model, _part: str, strategy: str, n: int, _processes: int) -> list[Result]:
        planned = None if strategy == "direct" else True
        told = [Result(f"i{k}", "count", "trained", "correct", 0.9, planned) for k in range(n - 1)]
        return [*told, Result("i0", "sum", "trained", "errored", 0.0, planned)]

    # Measuring takes minutes; what is made of its results is what is looked at here.
    monkeypatch.setattr("evals.embedded.measure", measured)
    figures = {"shapes": evaluate_part(Model("embedded", "none"), "shapes", limit=9, processes=1)}
    show("shapes", figures["shapes"])
    shown = capsys.readouterr().out
    assert "direct     sum              n     1  no score: all errored  errored 1\n" in shown
    assert "decompose  all              n     9  1.000 [" in shown
    assert "gain of steps sum              no score: all errored\n" in shown
    assert "| shapes | sum | 1 |  |  | 100.0 |" in report.table(figures)
    assert report.gains(figures).endswith("| shapes | sum | 0 |  |\n| shapes | sum of 1 | 0 |  |")


def test_calibration_error() -> None:
    sure_and_right = [Result("i", "sum", "trained", "correct", 1.0)] * 10
    sure_and_wrong = [Result("i", "sum", "trained", "wrong", 1.0)] * 10
    assert calibration_error(sure_and_right) == 0.0
    assert calibration_error(sure_and_right + sure_and_wrong) == 0.5


@pytest.mark.parametrize("status", ["unknown", "unparsed", "errored"])
def test_what_is_no_answer_has_no_confidence_to_be_calibrated(status: str) -> None:
    none = [Result("i", "sum", "trained", status, confidence) for confidence in (0.0, 0.9)] * 5
    assert calibration_error([Result("i", "sum", "trained", "wrong", 1.0)] * 10 + none) == 1.0
    assert calibration_error(none) is None
