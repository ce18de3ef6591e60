import json
import math

import pytest
from PIL import Image

from cot.engine import Candidate, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.errors import DataError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.evaluate.steps import StepTally, score_steps
from cot.image import from_pixels
from cot.planner.budget import Budget
from cot.planner.run import run
from cot.question import Question
from cot.task import Fact, load_task

APPLES = Fact("count", "How many apples are there?", "3")
CARS = Fact("count", "How many cars are there?", "2")
PROGRAM = ({"wants": "count", "text": APPLES.text, "answer": "3"}, vars(CARS))
PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 + #2"


async def scored(replies, strategy="decompose", facts=(APPLES, CARS), choices=()):
    question = Question("How many?", (from_pixels(Image.new("RGB", (8, 8)), source="test"),), choices)
    return score_steps(await run(strategy, question, ScriptedEngine(replies)), facts, choices)


async def test_the_right_plan_and_a_wrong_part():
    scores = await scored([PLAN, "3", "4"])
    assert (scores.valid, scores.planned, scores.right, scores.known, scores.faithful) == (True, True, 1, 2, True)


async def test_a_plan_that_is_none():
    scores = await scored(["no plan", "no plan", "5"])
    assert (scores.valid, scores.planned, scores.known, scores.faithful) == (False, False, 0, None)


async def test_a_plan_to_describe_is_right_for_a_description_only():
    describe = "1. [text] Describe the image.\nanswer: #1"
    wanted = Fact("text", "Describe the image.", "a cat")
    assert (await scored([describe, "a cat"], facts=(wanted,))).planned is True
    assert (await scored([describe, "5"])).planned is False


async def test_without_a_program_only_what_needs_none_is_told():
    scores = await scored([PLAN, "3", "4"], facts=())
    assert (scores.valid, scores.planned, scores.known, scores.faithful) == (True, None, 0, True)


async def test_a_computed_choice_is_faithful():
    assert (await scored([PLAN, "3", "2"], choices=("4", "5"))).faithful is True


async def test_what_the_model_decides_is_not_computed():
    plan = "1. [phrase] What is on the left?\n2. [phrase] What is on the right?\nanswer: {}"
    assert (await scored([plan.format("#1"), "a cat", "a dog"], facts=())).faithful is True
    # Of two parts one is known, and there are no other words for the other.
    replies = [plan.format("decide"), "a cat", "unknown", "no words", "yes"]
    assert (await scored(replies, facts=())).faithful is None
    # What the parts come to may be none of the choices.
    assert (await scored([PLAN, "3", "2", "7"], choices=("6", "7"))).faithful is None


async def test_where_nothing_is_planned_there_is_nothing_to_score():
    assert await scored(["5"], "direct") is None
    assert StepTally().figures() is None


async def test_a_direct_answer_that_stands_is_not_drawn_from_the_steps():
    scores = await scored(["7", PLAN, "3", "2"], "verify")
    assert (scores.valid, scores.planned, scores.right, scores.faithful) == (True, True, 2, None)


ITSELF = "1. [count] How many?\nanswer: #1"


@pytest.mark.parametrize(
    ("replies", "strategy", "valid", "planned"),
    [
        (["unknown", ITSELF], "route", True, None),
        (["7", ITSELF], "verify", True, None),
        (["unknown", "no plan", "no plan"], "route", False, False),
        (["7", "no plan", "no plan"], "verify", False, False),
    ],
)
async def test_a_plan_that_is_not_followed_is_a_plan_all_the_same(replies, strategy, valid, planned):
    scores = await scored(replies, strategy)
    assert (scores.valid, scores.planned, scores.known, scores.faithful) == (valid, planned, 0, None)


async def test_what_no_plan_was_asked_for_is_none():
    question = Question("How many?", (from_pixels(Image.new("RGB", (8, 8)), source="test"),))
    outcome = await run("decompose", question, ScriptedEngine(["5"]), Budget(max_steps=1))
    assert outcome.answer.value == 5
    assert score_steps(outcome, (APPLES, CARS)) is None


TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
facts: facts
metric: exact
"""


@pytest.fixture
def make(tmp_path):
    """A task of two questions about apples and cars, with their programs or others."""

    def made(facts=PROGRAM):
        Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
        rows = [{"question": f"{n}?", "answer": "5", "image": "red.png", "facts": facts} for n in range(2)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "task.yaml").write_text(TASK)
        return load_task(str(tmp_path / "task.yaml"))

    return made


async def test_the_summary_has_step_scores_and_calibration(make, tmp_path):
    def script(request):
        text = request.messages[-1].content[-1]
        said = "3" if "apples are" in text else "2" if "cars are" in text else PLAN
        return Completion((Candidate(said, "stop", (TokenLogprob(said, -0.1),)),), Usage())

    with RunFolder(tmp_path / "out") as folder:
        summary = await evaluate(folder, [select(make())], ScriptedEngine(script), Options(("decompose", "direct")))
    steps, direct = summary.parts
    assert steps.steps.model_dump() == {
        "plans": 2, "plan_validity": 1.0, "plan_accuracy": 1.0, "step_accuracy": 1.0, "faithfulness": 1.0,
    }  # fmt: skip
    # Both are right, with a confidence of exp(-0.1) twice.
    assert steps.calibration_error == pytest.approx(1 - math.exp(-0.2))
    assert steps.risk_coverage_area == 0.0
    assert direct.steps is None
    written = json.loads((tmp_path / "out" / "summary.json").read_text())["parts"][0]
    assert written["steps"]["plan_accuracy"] == 1.0


async def test_without_confidences_there_is_no_calibration(make, tmp_path):
    with RunFolder(tmp_path / "out") as folder:
        (part,) = (await evaluate(folder, [select(make())], ScriptedEngine(lambda r: "5"), Options(("direct",)))).parts
    assert (part.calibration_error, part.risk_coverage_area) == (None, None)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([{"wants": "colour", "text": "a", "answer": "b"}], "facts 0.wants: Input should be 'count'"),
        ([{"text": "a"}], "facts 0.wants: Field required"),
        ("a", "facts : Input should be a valid tuple"),
    ],
)
def test_facts_that_are_none(make, facts, message):
    with pytest.raises(DataError, match=message):
        make(facts).survey()


def test_facts_are_part_of_the_data_that_a_run_is_held_to(make):
    assert make().survey().sha256 != make(()).survey().sha256
