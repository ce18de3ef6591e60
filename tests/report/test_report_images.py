"""Images on a page of runs that kept no traces: from the data of the task, while it is there."""

import base64
import io
import json

import pytest
from html_pages import assert_safe
from PIL import Image

import cot.cli
from cot.cli import eval_run, eval_tasks
from cot.engine import ScriptedEngine

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
def data(tmp_path):
    """A task of six questions about three pictures, two each."""
    folder = tmp_path / "data"
    folder.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (300, 200), colour).save(folder / f"{colour}.png")
    made = [{"image": f"{COLOURS[n // 2]}.png", "question": f"Is it {n}?", "answer": "yes"} for n in range(6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    (folder / "task.yaml").write_text(TASK)
    return folder


@pytest.fixture
def page(tmp_path, monkeypatch, capfd):
    """Writes the page of runs; gives it as a structure, and what it lists."""
    monkeypatch.chdir(tmp_path)

    def made(*arguments):
        code = cot.cli.main(["report", *arguments, "--html", "page.html"])
        assert code == 0, capfd.readouterr().err
        found = assert_safe((tmp_path / "page.html").read_text())
        return found, json.loads(found.data)

    return made


@pytest.fixture
def evaluated(tmp_path, monkeypatch, data):
    """Runs the task; gives the run's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(lambda request: "yes"))

    def ran(name="run", *options, task="data/task.yaml"):
        assert cot.cli.main(["eval", task, "--strategy", "direct", "--out", name, "--quiet", *options]) == 0
        return tmp_path / name

    return ran


def colours(found):
    """The colour of each sample's picture, by what the page holds."""
    shown = []
    for row in sorted(found["rows"], key=lambda row: row["id"]):
        if row["picture"] is None:
            shown.append(None)
            continue
        url = found["pictures"][row["picture"]]
        image = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
        assert image.size == (128, 85)
        pixel = image.getpixel((64, 40))
        shown.append(COLOURS[pixel.index(max(pixel))])
    return shown


def problems(structure):
    return structure.texts["p"]


def test_each_image_of_the_data_is_there_once(evaluated, page, capfd):
    evaluated()
    found, listed = page("run")
    assert colours(listed) == ["red", "red", "green", "green", "blue", "blue"]
    assert len(listed["pictures"]) == 3
    assert "no images of" not in problems(found)
    assert "looking for 6 images of mine in its data; --no-images" in capfd.readouterr().err


def test_images_that_are_bytes_are_found_too(evaluated, page, data):
    rows = [json.loads(line) for line in (data / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row["image"] = base64.b64encode((data / row["image"]).read_bytes()).decode()
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "task.yaml").write_text(TASK + "image_format: base64\n")
    evaluated()
    listed = page("run")[1]
    assert (len(listed["pictures"]), colours(listed)[::2]) == (3, list(COLOURS))


def test_traces_and_data_share_their_images(evaluated, page, capfd):
    evaluated("traced", "--trace")
    listed = page("traced")[1]
    assert colours(listed)[::2] == list(COLOURS)
    assert "looking for" not in capfd.readouterr().err
    for file in (evaluated("half", "--trace") / "traces").glob("*/images/*"):
        file.unlink()
    assert colours(page("half")[1])[::2] == list(COLOURS)
    assert len(page("traced", "half")[1]["pictures"]) == 3


@pytest.mark.parametrize(
    ("loss", "left", "said"),
    [
        ("folder", 0, "no images of 6 samples of mine: "),
        ("rows", 0, "does not exist; expected the data there"),
        ("question", 5, "no images of 1 samples of mine: "),
        ("task", 0, "has changed since run was made"),
        ("place", 0, "run does not say where its data was"),
        ("gone", 4, "no images of 2 samples of mine: "),
        ("damaged", 4, "1 images cannot be shown, the first: image "),
    ],
)
def test_what_is_there_no_more_is_said(evaluated, page, data, loss, left, said):
    run = evaluated()
    if loss == "folder":
        data.rename(data.with_name("elsewhere"))
    elif loss == "rows":
        (data / "rows.jsonl").unlink()
    elif loss == "question":
        (data / "rows.jsonl").write_text((data / "rows.jsonl").read_text().replace("Is it 3?", "Was it 3?"))
    elif loss == "task":
        (data / "task.yaml").write_text(TASK + "category: image\n")
    elif loss == "gone":
        (data / "red.png").unlink()
    elif loss == "place":
        definition = json.loads((run / "run.json").read_text())
        del definition["made_with"]["data"]
        (run / "run.json").write_text(json.dumps(definition))
    else:
        (data / "green.png").write_bytes(b"no image")
    found, listed = page("run")
    assert said in problems(found)
    assert len([colour for colour in colours(listed) if colour]) == left


def test_another_run_whose_data_is_there_helps_out(evaluated, page, data):
    evaluated("a")
    data.rename(data.with_name("moved"))
    evaluated("b", task="moved/task.yaml")
    found, listed = page("a", "b")
    assert (colours(listed)[::2], "no images" in problems(found)) == (list(COLOURS), False)


def test_all_images_are_bounded_and_can_be_left_out(evaluated, page, monkeypatch):
    evaluated()
    evaluated("traced", "--trace")
    monkeypatch.setenv("COT_MAX_IMAGE_PIXELS", "50000")
    assert "3 images cannot be shown" in problems(page("run")[0])
    monkeypatch.delenv("COT_MAX_IMAGE_PIXELS")
    size = len(page("run")[1]["pictures"][0])
    monkeypatch.setattr("cot.report.sample_view.MAX_PICTURE_BYTES", 2 * size + 100)
    found, listed = page("run")
    assert "not every sample has its image here" in problems(found)
    assert colours(listed) == ["red", "red", "green", "green", None, None]
    monkeypatch.setattr(eval_tasks, "loaders", lambda: pytest.fail("no data is looked at"))
    found, listed = page("run", "traced", "--no-images")
    assert (listed["pictures"], set(colours(listed))) == ([], {None})
    assert "looking for" not in problems(found)


def test_images_on_the_web_are_not_fetched(evaluated, page, data, monkeypatch):
    (data / "task.yaml").write_text(TASK.replace("images: image", "images: '\"https://example.org/\" ~ image'")
                                    + "allow_urls: true\n")  # fmt: skip
    monkeypatch.setattr("cot.source._download", lambda *_: (data / "red.png").read_bytes())
    evaluated()
    monkeypatch.setattr("cot.source._download", lambda *_: pytest.fail("nothing is downloaded"))
    found, listed = page("run")
    assert "'https://example.org/red.png' is on the web, and a report downloads nothing" in problems(found)
    assert listed["pictures"] == []
