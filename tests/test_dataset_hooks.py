"""Rows from Hugging Face's `datasets`, and from Python that the user allows to run."""

import io
import sys
import types

import pytest
from PIL import Image

import cot.cli
from cot.cli import eval_run
from cot.dataset import DataSpec, load_rows
from cot.engine import ScriptedEngine
from cot.errors import DataError
from cot.task import load_task

TASK = """
name: mine
version: 1
data: {DATA}
question: question
answers: label
images: image
metric: exact
strategies: [direct]
"""


@pytest.fixture
def saved(tmp_path):
    """A data set with two splits, saved as `data`."""
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    features = library.Features(
        {
            "question": library.Value("string"), "image": library.Image(), "several": library.List(library.Image()),
            "label": library.ClassLabel(names=["cat", "dog"]),
        }
    )  # fmt: skip
    red = Image.new("RGB", (8, 6), "red")
    rows = [{"question": f"{n}?", "image": red, "several": [red] * n, "label": n % 2} for n in range(3)]
    whole = library.Dataset.from_list(rows, features=features)
    library.DatasetDict({"train": whole.select([0]), "test": whole}).save_to_disk(tmp_path / "data")
    return tmp_path


def test_a_saved_data_set_gives_the_rows_of_a_split(saved):
    found = list(load_rows(DataSpec(loader="hugging-face", path="data", split="test"), saved))
    assert [(row.values["question"], row.values["label"]) for row in found] == [
        ("0?", "cat"),
        ("1?", "dog"),
        ("2?", "cat"),
    ]
    assert Image.open(io.BytesIO(found[0].values["image"])).size == (8, 6)
    assert [len(row.values["several"]) for row in found] == [0, 1, 2]
    assert found[2].where.endswith("data, row 3")


def test_what_is_inside_of_others_is_read_as_well(tmp_path):
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    kinds = {"label": library.ClassLabel(names=["cat", "dog"]), "x": library.Value("float32")}
    features = library.Features({"one": kinds, "many": library.List(kinds), "half": library.Value("float16")})
    made = [{"one": {"label": 1, "x": 0.1}, "many": [{"label": 0, "x": 0.3}], "half": 0.3}]
    library.Dataset.from_list(made, features=features).save_to_disk(tmp_path / "data")
    (row,) = load_rows(DataSpec(loader="hugging-face", path="data"), tmp_path)
    assert row.values == {"one": {"label": "dog", "x": 0.1}, "many": [{"label": "cat", "x": 0.3}], "half": 0.3}


def test_it_is_a_task(saved):
    (saved / "task.yaml").write_text(TASK.replace("DATA", "loader: hugging-face, path: data, split: test"))
    samples = list(load_task(str(saved / "task.yaml")).samples())
    assert [sample.target.answers for sample in samples] == [("cat",), ("dog",), ("cat",)]
    assert samples[0].group == samples[1].group


def test_a_wrong_split_or_folder_is_one_line(saved):
    for split in ("validation", None):
        with pytest.raises(DataError, match=f"got the split {split!r}; expected one of: "):
            list(load_rows(DataSpec(loader="hugging-face", path="data", split=split), saved))
    (saved / "empty").mkdir()
    with pytest.raises(DataError, match="empty.*; expected a data set of Hugging Face"):
        list(load_rows(DataSpec(loader="hugging-face", path="empty"), saved))


def test_an_image_outside_of_the_data_set_is_not_read(saved):
    from cot.dataset.hugging_face import hugging_face

    library = pytest.importorskip("datasets")
    Image.new("RGB", (8, 6), "red").save(saved / "secret.png")
    table = library.Dataset.from_list([{"image": {"bytes": None, "path": str(saved / "secret.png")}}])
    # Saving would take the image along.
    table.save_to_disk(saved / "outside")
    info = saved / "outside" / "dataset_info.json"
    info.write_text(info.read_text().replace('"features": {', '"features_before": {'))
    with pytest.raises(DataError, match=r"secret.png' is not in"):
        list(hugging_face(DataSpec(loader="hugging-face", path="outside"), saved))


def test_an_image_beside_the_data_is_named_and_opened_within_bounds(saved):
    library = pytest.importorskip("datasets")
    Image.new("RGB", (8, 6), "red").save(saved / "red.png")
    library.Dataset.from_list([{"image": {"bytes": None, "path": "red.png"}}]).save_to_disk(saved / "beside")
    (saved / "red.png").rename(saved / "beside" / "red.png")
    (row,) = load_rows(DataSpec(loader="hugging-face", path="beside"), saved)
    assert row.values["image"] == (saved / "beside" / "red.png").resolve()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache as downloads leave it, with one data set whose images are the given paths."""
    library = pytest.importorskip("datasets")
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(library.config, "EXTRACTED_DATASETS_PATH", str(cache / "datasets/downloads/extracted"))
    for place in ("hub/datasets--me--mine/blobs/aa", "hub/datasets--me--private/blobs/bb", "token",
                  "datasets/downloads/extracted/cc/red.png"):  # fmt: skip
        (cache / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), "red").save(cache / place, "PNG")
    snapshot = cache / "hub/datasets--me--mine/snapshots/1"
    snapshot.mkdir(parents=True)
    (snapshot / "red.png").symlink_to("../../blobs/aa")

    def rows(path):
        table = library.Dataset.from_list([{"image": {"bytes": None, "path": path}}])
        monkeypatch.setattr(library, "load_dataset", lambda name, config: library.DatasetDict(test=table))
        return [row.values["image"] for row in load_rows(
            DataSpec(loader="hugging-face", path="hf://me/mine", split="test"), tmp_path)]  # fmt: skip

    return cache, rows


@pytest.mark.parametrize(
    "place", ["hub/datasets--me--mine/snapshots/1/red.png", "datasets/downloads/extracted/cc/red.png"]
)
def test_an_image_of_a_data_set_on_the_hub_is_found_in_the_cache(hub, place):
    cache, rows = hub
    assert rows(str(cache / place)) == [(cache / place).resolve()]


@pytest.mark.parametrize("place", ["token", "hub/datasets--me--private/blobs/bb", "../red.png"])
def test_nothing_else_in_the_cache_is_an_image_of_it(hub, place):
    cache, rows = hub
    for path in (str(cache / place), f"../../{place}"):
        with pytest.raises(DataError, match="is not in .*datasets--me--mine; expected it there"):
            rows(path)


@pytest.mark.parametrize("version", ["2.19.1", "3.6.0", "odd"])
def test_an_old_package_is_refused_by_its_version(tmp_path, monkeypatch, version):
    old = types.ModuleType("datasets")
    old.__version__ = version
    monkeypatch.setitem(sys.modules, "datasets", old)
    message = f"got the package datasets {version}; expected 4 or newer, .*: pip install 'datasets>=4'"
    with pytest.raises(DataError, match=message):
        list(load_rows(DataSpec(loader="hugging-face", path="data"), tmp_path))


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Writes `rows.py`, and runs a task over it; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(eval_run, "load_engine", lambda settings: ScriptedEngine(lambda request: "cat"))
    Image.new("RGB", (8, 6), "red").save("red.png")
    (tmp_path / "task.yaml").write_text(TASK.replace("DATA", "loader: python, path: rows.py"))

    def ran(code, *arguments):
        (tmp_path / "rows.py").write_text(code)
        exit_code = cot.cli.main(["eval", "task.yaml", "--out", "out", "--quiet", *arguments])
        return exit_code, *capfd.readouterr()

    return ran


ROWS = """
def rows(folder):
    for label in ("cat", "dog"):
        yield {"question": "Which animal?", "label": label, "image": folder / "red.png"}
"""


def test_python_runs_where_it_is_allowed(run, tmp_path):
    code, out, err = run(f"open('ran', 'w')\n{ROWS}")
    assert (code, (tmp_path / "ran").exists()) == (1, False)
    assert "the task runs Python, " in err
    assert "allow it with `cot eval --run-python`" in err
    code, out, err = run(ROWS, "--run-python")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:4] == ["mine", "direct", "2", "50.0%"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 3", "rows.py has no function 'rows'"),
        ("def rows(folder): return [3]", "rows.py, row 1: got a int; expected a dict"),
        ("def rows(folder): yield {}", "rows.py, row 1: 'image' is undefined"),
        ("def rows(folder): 1 / 0", "rows.py, after row 0: ZeroDivisionError: division by zero"),
        ("def rows(", "SyntaxError"),
        ("import sys\ndef rows(folder): sys.exit(0)", "rows.py, after row 0: SystemExit: 0"),
        (f"{ROWS}    raise SystemExit", "rows.py, after row 2: SystemExit"),
        ("raise SystemExit(0)", "rows.py, after row 0: SystemExit: 0"),
        ("def rows(folder): return []", "rows.py has no rows"),
    ],
)
def test_python_that_fails_is_one_line(run, code, message):
    exit_code, out, err = run(code, "--run-python")
    assert (exit_code, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_tasks_that_want_different_strategies_must_be_told(run, tmp_path):
    other = TASK.replace("mine", "other").replace("[direct]", "[cot]").replace("DATA", "loader: python, path: rows.py")
    (tmp_path / "other.yaml").write_text(other)
    code, _, err = run(ROWS, "other.yaml", "--run-python")
    assert code == 2
    assert "the tasks want different strategies: cot; direct; name those of the run with --strategy" in err
    assert run(ROWS, "other.yaml", "--run-python", "--strategy", "direct")[0] == 0
    (tmp_path / "other.yaml").write_text(other.replace("strategies: [cot]\n", ""))
    code, _, err = run(ROWS, "other.yaml", "--run-python")
    assert (code, "different strategies: direct; route;" in err) == (2, True)
