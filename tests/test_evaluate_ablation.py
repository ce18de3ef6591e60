import json

import pytest
from PIL import Image

from cot.engine import ScriptedEngine
from cot.errors import DataError, UsageError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.evaluate.ablation import GREY, MOST_OTHERS, altered, find_controls, with_other_images
from cot.evaluate.asking import Asking
from cot.image import from_pixels
from cot.metric import Target
from cot.task import Sample, load_task

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
metric: exact
"""
COLOURS = ("red", "green", "blue")


@pytest.fixture
def task(tmp_path):
    """Two questions about each of three images of one colour."""
    rows = []
    for colour in COLOURS:
        Image.new("RGB", (8, 6), colour).save(tmp_path / f"{colour}.png")
        rows += [{"question": f"{number}?", "answer": "yes", "image": f"{colour}.png"} for number in range(2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK)
    return load_task(str(tmp_path / "task.yaml"))


async def run(task, out, ablation, script=lambda request: "yes", strategy="direct"):
    engine = ScriptedEngine(script)
    with RunFolder(out) as folder:
        options = Options((strategy,), Asking(ablation=ablation), concurrency=1)
        return engine, await evaluate(folder, [select(task)], engine, options)


def shown(engine):
    return [request.messages[-1].content[0] for request in engine.requests]


async def test_a_blank_image_is_grey_and_as_large(task, tmp_path):
    engine, summary = await run(task, tmp_path / "out", "blank")
    assert {(image.pixels.size, image.pixels.getpixel((3, 3))) for image in shown(engine)} == {((8, 6), GREY)}
    assert summary.ablation == "blank"
    assert json.loads((tmp_path / "out" / "run.json").read_text())["ablation"] == "blank"


async def test_a_wrong_image_is_that_of_another_group_and_one_for_a_group(task, tmp_path):
    own, _ = await run(task, tmp_path / "own", None)
    others, _ = await run(task, tmp_path / "others", "wrong-image")
    pairs = [(mine.sha256, other.sha256) for mine, other in zip(shown(own), shown(others), strict=True)]
    assert all(mine != other for mine, other in pairs)
    assert len(set(pairs)) == len(COLOURS)
    assert {other for _, other in pairs} <= {mine for mine, _ in pairs}


async def test_a_run_does_not_go_on_with_another_ablation(task, tmp_path):
    await run(task, tmp_path / "out", "blank")
    with pytest.raises(DataError, match="ablation was 'blank' and is None"):
        await run(task, tmp_path / "out", None)


def test_a_random_crop_is_a_quarter_and_the_same_every_time():
    # Every pixel tells where it is.
    pixels = Image.new("RGB", (64, 40))
    pixels.putdata([(x, y, 0) for y in range(40) for x in range(64)])
    image = from_pixels(pixels, source="test")
    crop = altered(image, "random-crop", 0)
    left, top, _ = crop.pixels.getpixel((0, 0))
    assert crop == from_pixels(pixels.crop((left, top, left + 32, top + 20)), source="test")
    assert crop == altered(image, "random-crop", 0)
    assert crop != altered(image, "random-crop", 1)


def sample(number, images=("a.png",)):
    return Sample(str(number), f"g{number}", "?", images, Target(("yes",)), "line 1")


def test_other_images_are_as_many_as_asked_about_and_drawn_from_all_of_the_data():
    many = [sample(number, (f"{number}.png",)) for number in range(10 * MOST_OTHERS)]
    drawn = {other.images[0] for other in with_other_images(lambda: iter(many), 0)}
    assert MOST_OTHERS / 2 < len(drawn) <= MOST_OTHERS
    assert any(int(name.removesuffix(".png")) > 8 * MOST_OTHERS for name in drawn)
    pair = [sample(1, ("a.png", "b.png")), sample(2, ("c.png",))]
    assert [other.images for other in with_other_images(lambda: iter(pair), 0)] == [("c.png", "c.png"), ("a.png",)]
    with pytest.raises(DataError, match="line 1: no other image is there to show"):
        list(with_other_images(lambda: iter([sample(1)]), 0))


def test_where_the_chosen_samples_have_one_image_another_of_the_data_is_shown():
    everything = [sample(number, (f"{number}.png",)) for number in range(3)]
    (other,) = with_other_images(lambda: iter(everything[:1]), 0, everything=lambda: iter(everything))
    assert other.images[0] in ("1.png", "2.png")


@pytest.mark.parametrize(("exchange", "answer"), [(None, "yes"), ("shuffle-steps", "no")])
async def test_shuffled_steps_change_what_is_drawn_from_them(task, tmp_path, exchange, answer):
    def script(request):
        text = request.messages[-1].content[-1]
        if "How many apples" in text:
            return "3"
        if "How many cars" in text:
            return "2"
        return "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"

    _, summary = await run(task, tmp_path / "out", exchange, script, "decompose")
    results = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert {result["answer"] for result in results} == {answer}
    (part,) = summary.parts
    assert part.steps.faithfulness == (0.0 if exchange else 1.0)


def test_an_ablation_that_there_is_not_or_that_changes_nothing():
    (alone,) = find_controls(None, ("direct",))
    assert (alone.ablation, alone.strategies, alone.name) == (None, ("direct",), "none")
    with pytest.raises(UsageError, match="got --ablate noise; expected some of: none, blank, wrong-image"):
        find_controls("blank,noise", ("direct",))
    with pytest.raises(UsageError, match="got --ablate none,blank,none; expected each name once"):
        find_controls("none,blank,none", ("direct",))
    with pytest.raises(UsageError, match="shuffle-steps for direct, which has no sub-answers; expected --strategy"):
        find_controls("shuffle-steps", ("direct",))


def test_steps_are_shuffled_only_where_there_are_some():
    names = "none,blank,shuffle-steps"
    found = {control.name: control.strategies for control in find_controls(names, ("decompose", "direct"))}
    everything = ("decompose", "direct")
    assert found == {"none": everything, "blank": everything, "shuffle-steps": ("decompose",)}
