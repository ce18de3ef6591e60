from itertools import islice

from cot.cli.eval import loaders
from cot.task import load_task
from cot.train.held_out import CALIBRATED, calibration_samples, held_out_samples


def test_what_is_calibrated_on_is_not_what_is_measured_on():
    calibrated = list(islice(calibration_samples(), 9))
    assert [image_id.split("/")[1] for image_id, _ in calibrated] == list(CALIBRATED) * 3
    measured = [sample for part in CALIBRATED for _, sample in islice(held_out_samples(part), 3)]
    seen = {sample.image.tobytes() for sample in measured}
    assert not seen & {sample.image.tobytes() for _, sample in calibrated}
    assert not any(qa.held_out for _, sample in calibrated for qa in sample.qas)
    assert any(qa.held_out for sample in measured for qa in sample.qas)


def test_the_task_draws_the_same_each_time():
    task = load_task("calibration", loaders=loaders())
    one, again = (list(islice(task.samples(), 20)) for _ in range(2))
    assert [(sample.id, sample.question, sample.images) for sample in one] == [
        (sample.id, sample.question, sample.images) for sample in again
    ]
    assert {sample.group.split("/")[1] for sample in one} == set(CALIBRATED)
