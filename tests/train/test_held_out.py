from itertools import islice
from typing import get_args

import pytest

from cot.cli.eval_tasks import loaders
from cot.evaluate.images import image_opener
from cot.evaluate.shots import MAX_SHOTS, draw_shots
from cot.task import load_task
from cot.train.held_out import CALIBRATED, GENERATORS, calibration_samples, example_samples, held_out_samples
from cot.train.wording import Wording


def test_what_is_calibrated_on_is_not_what_is_measured_on():
    calibrated = list(islice(calibration_samples(), 9))
    assert [image_id.split("/")[1] for image_id, _ in calibrated] == list(CALIBRATED) * 3
    measured = [sample for part in CALIBRATED for _, sample in islice(held_out_samples(part), 4)]
    seen = {sample.image.tobytes() for sample in measured}
    assert not seen & {sample.image.tobytes() for _, sample in calibrated}
    assert {qa.wording for _, sample in calibrated for qa in sample.qas} == {"trained", "phrased"}
    assert {qa.wording for sample in measured for qa in sample.qas} == {*get_args(Wording)}


def test_the_task_draws_the_same_each_time():
    task = load_task("calibration", loaders=loaders())
    one, again = (list(islice(task.samples(), 20)) for _ in range(2))
    assert [(sample.id, sample.question, sample.images) for sample in one] == [
        (sample.id, sample.question, sample.images) for sample in again
    ]
    assert {sample.group.split("/")[1] for sample in one} == set(CALIBRATED)


@pytest.mark.parametrize("part", GENERATORS)
def test_examples_are_neither_measured_nor_calibrated_on_and_there_are_enough(part):
    task = load_task(part, loaders=loaders())
    examples = [sample for _, sample in islice(example_samples(part), 6)]
    others = [sample for _, sample in (*islice(calibration_samples(), 18), *islice(held_out_samples(part), 6))]
    assert not {s.image.tobytes() for s in examples} & {s.image.tobytes() for s in others}
    assert {qa.wording for sample in examples for qa in sample.qas} == {"trained"}
    shots = draw_shots(task, MAX_SHOTS, seed=0, images=image_opener())
    assert all(name.startswith(f"examples/{part}/") for name in shots.ids)
    shown, note = shots.before(next(task.samples()), ())
    assert (len(shown), note) == (MAX_SHOTS, "")


def test_examples_of_easy_vqa_are_of_its_training_set():
    task = load_task("easy-vqa", loaders=loaders())
    shots = draw_shots(task, 4, seed=0, images=image_opener())
    shown, _ = shots.before(next(task.samples()), ())
    assert all("train" in image.source for example in shown for image in example.images)
