"""What is fitted to half of the samples, and told of the other half; `tests/cli/test_calibrate.py` asks them."""

import math
import random
from dataclasses import replace

import pytest
from PIL import Image

from cot.engine import Candidate, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.errors import DataError
from cot.evaluate.calibration import _scored
from cot.evaluate.fitting import Answer, Asked, fit
from cot.image import from_pixels
from cot.metric import Target
from cot.metric.exact import exact_match
from cot.planner.run import run
from cot.planner.tuning import Tuning
from cot.question import Question
from cot.task import Sample


def asked(number, *, fitted=None, direct=None, steps=None, votes=None):
    """A sample whose direct answer is as sure as it should be, and whose plan is the question itself."""
    rng = random.Random(number)
    sure = rng.random()
    direct = direct or Answer("direct", sure, rng.random() < sure, 100)
    steps = steps or Answer("direct", direct.confidence, direct.right, 300)
    return Asked(number % 2 == 0 if fitted is None else fitted, direct, steps, votes or {}, image=number // 8)


@pytest.mark.parametrize(
    "plan",
    [
        "1. [phrase] What is left?\n2. [phrase] What is on it?\n3. [phrase] What colour is #1?\nanswer: #3",
        "1. [phrase] What is left?\n2. [phrase] Which colour?\nanswer: #2",
        "1. [phrase] What is left?\n2. [phrase] Which colour has #1?\nanswer: #2",
    ],
)
@pytest.mark.parametrize("anew", ["2. [phrase] What colour is #1?", "2. [phrase] The colour is a hat of which colour?"])
async def test_confidences_are_fitted_as_they_are_given(plan, anew):
    said = {
        "Split": (plan, 0.8),
        "Ask for each unknown fact": (anew, 0.9),
        "What is left": ("a hat", 0.1),
        "on it": ("pins", 0.2),
        "Which colour": ("unknown", 0.3),
        "colour is a hat": ("red", 0.9),
    }

    def reply(request):
        text = request.messages[-1].content[-1]
        words, probability = next(found for key, found in said.items() if key in text)
        return Completion((Candidate(words, "stop", (TokenLogprob(words, math.log(probability)),)),), Usage())

    question = Question("Which?", (from_pixels(Image.new("RGB", (8, 8)), source="test"),))
    sample = Sample("1", "1", "Which?", (), Target(("red",)), "row 1")
    for share in (0, 0.5, 1):
        outcome = await run("decompose", question, ScriptedEngine(reply), tuning=Tuning(plan_share=share))
        whole = await run("decompose", question, ScriptedEngine(reply), tuning=Tuning(plan_share=1))
        found = _scored(whole, exact_match, sample)
        assert found.sure(Tuning(plan_share=share)) == pytest.approx(outcome.answer.confidence)
    assert (found.right, found.planned) == (True, pytest.approx(0.8))


@pytest.mark.parametrize("strategy", ["direct", "vote", "decompose"])
async def test_that_a_model_does_not_know_is_no_confidence(strategy):
    unknown = Completion((Candidate("unknown", "stop", (TokenLogprob("unknown", -0.1),)),), Usage())
    question = Question("Which?", (from_pixels(Image.new("RGB", (8, 8)), source="test"),))
    outcome = await run(strategy, question, ScriptedEngine(lambda request: unknown))
    found = _scored(outcome, exact_match, Sample("1", "1", "Which?", (), Target(("red",)), "row 1"))
    assert (found.confidence, found.right) == (0, False)


def test_a_model_without_faults_is_left_alone():
    found = fit([asked(number) for number in range(400)], Tuning())
    assert found.tuning == Tuning(keep=0.0)
    assert [(one.source, one.n) for one in found.honesty] == [("direct", 200)]
    assert found.honesty[0].before == found.honesty[0].after
    assert found.honesty[0].kept == "no scale is clearly likelier than none"
    assert (found.route.cost, found.n, found.left_out) == (1.0, 400, 0)


def test_only_one_half_is_fitted_to():
    def overconfident(number, right):
        return asked(number, direct=Answer("direct", 0.9, right, 100))

    found = fit([overconfident(number, number % 4 == 0) for number in range(200)], Tuning())
    # Half of those that are fitted to are right, and none of the others.
    assert found.tuning.calibrated(0.9, "direct") == pytest.approx(0.5, abs=0.02)
    assert found.honesty[0].before == pytest.approx(0.9)
    assert found.honesty[0].after == pytest.approx(0.5, abs=0.02)
    assert found.route.direct_accuracy == 0.0


def lowered(number, chance, confidence=None):
    rng = random.Random(number)
    sure = confidence or rng.uniform(0.02, 0.99)
    return asked(number, direct=Answer("direct", sure, rng.random() < chance(sure), 100))


def test_a_scale_is_taken_where_it_holds_on_images_that_it_was_not_fitted_to():
    found = fit([lowered(number, lambda p: 0.2 + 0.4 * p) for number in range(800)], Tuning())
    (honesty,) = found.honesty
    assert (honesty.kept, found.tuning.direct_slope < 0.9) == ("", True)
    assert honesty.after < honesty.before / 2


def test_a_scale_that_helps_one_part_of_the_images_alone_is_not_taken():
    """What is said with 90% is always right in every other image, and never in the rest: each part misleads about the
    other, and all of them together would give a scale that is clearly likelier than none."""
    found = fit([asked(n, direct=Answer("direct", 0.9, n // 8 % 2 == 0, 100)) for n in range(400)], Tuning())
    (honesty,) = found.honesty
    assert honesty.kept == "a scale does not lower the error on images that it was not fitted to"
    assert (found.tuning.direct_slope, found.tuning.direct_shift) == (1.0, 0.0)
    assert honesty.before == honesty.after


def test_an_honest_model_never_gets_a_scale_that_fits_chance():
    """Over many draws of a model that is as right as it says, of which the likelihood test alone lets some through."""
    kept = [
        fit([lowered(number + 1000 * draw, lambda p: p) for number in range(120)], Tuning()).honesty[0].kept
        for draw in range(60)
    ]
    assert sum(not one for one in kept) <= 1


def test_one_image_cannot_tell():
    one = [replace(lowered(number, lambda p: 0.1), image=0 if number % 2 == 0 else 1) for number in range(200)]
    (honesty,) = fit(one, Tuning()).honesty
    assert honesty.kept == "too few images to tell whether a scale holds"


def test_steps_that_help_are_taken_and_what_they_cost_is_told():
    def helped(number):
        unsure = number % 4 < 2
        direct = Answer("direct", 0.4 if unsure else 0.95, not unsure, 100)
        return asked(number, direct=direct, steps=Answer("steps", 0.8, True, 400) if unsure else None)

    found = fit([helped(number) for number in range(160)], Tuning(), max_cost=3)
    assert (found.route.accuracy, found.route.direct_accuracy, found.route.cost) == (1.0, 0.5, pytest.approx(3.0))
    assert 0.4 < found.tuning.keep <= 0.95
    assert fit([helped(number) for number in range(160)], Tuning()).route.accuracy == 0.5


def planned(number, chance):
    """A sample whose facts are right nine times in ten, and whose plan is as `chance` says of its probability."""
    rng = random.Random(number)
    sure = rng.uniform(0.05, 1)
    right = rng.random() < 0.9 and rng.random() < chance(sure)
    direct = Answer("direct", 0.5, rng.random() < 0.5, 100)
    return asked(number, direct=direct, steps=Answer("steps", 0.9, right, 400, planned=sure))


def test_as_much_of_a_plan_is_in_the_confidence_as_tells_whether_the_answer_is_right():
    found = fit([planned(number, lambda p: p) for number in range(1000, 2600)], Tuning(), max_cost=9)
    assert found.tuning.plan_share > 0
    steps = found.honesty[1]
    assert (steps.source, steps.kept) == ("steps", "")
    assert steps.after < steps.before / 4
    # Steps are right less often than direct answers, but not those behind a plan that the model is sure of.
    assert found.route.accuracy > found.route.direct_accuracy + 0.04


@pytest.mark.parametrize("chance", [lambda p: 1, lambda p: 0.5])
def test_a_plan_whose_probability_tells_nothing_is_left_out(chance):
    found = fit([planned(number, chance) for number in range(800)], Tuning())
    assert found.tuning.plan_share == 0


def test_with_too_few_answers_of_a_source_its_confidences_stay():
    steps = Answer("steps", 0.9, False, 400)
    found = fit([asked(number, steps=steps if number < 40 else None) for number in range(400)], Tuning())
    by_source = {one.source: one for one in found.honesty}
    assert (by_source["steps"].fitted, by_source["steps"].before) == (20, by_source["steps"].after)
    assert by_source["steps"].kept == "fewer than 30 answers to fit to"
    assert (found.tuning.steps_slope, found.tuning.steps_shift) == (1.0, 0.0)


def test_the_temperature_of_the_votes_that_are_right_most_often_is_taken():
    def voted(number):
        right = {0.7: number % 4 < 2, 1.0: number % 8 < 6}
        return asked(number, votes={t: Answer("vote", 0.9, right[t], 500) for t in right})

    found = fit([voted(number) for number in range(160)], Tuning())
    assert found.tuning.temperature == 1.0
    assert found.tuning.calibrated(0.9, "vote") == pytest.approx(0.75, abs=0.02)


def test_both_halves_are_needed():
    with pytest.raises(DataError, match="got 80 samples to fit to and 0 to check on; expected at least 30 of each"):
        fit([asked(number, fitted=True) for number in range(80)], Tuning())
