"""The loader of Parquet files, as Hugging Face has them and as others do."""

import io
import sys
from decimal import Decimal
from pathlib import Path

import numpy
import pytest
from PIL import Image

from cot.dataset import DataSpec, load_rows
from cot.errors import DataError
from cot.task import load_task

TASK = """
name: mine
version: 1
data: {loader: parquet, path: data}
question: question
answers: answer
images: image.bytes
metric: exact
"""


@pytest.fixture
def write():
    """Writes a Parquet file of rows."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def written(path: Path, rows, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(arrow.Table.from_pylist(rows), path, **options)
        return path

    return written


def rows(path: Path):
    return [dict(row.values) for row in load_rows(DataSpec(loader="parquet", path=path.name), path.parent)]


def test_cells_keep_their_types(write, tmp_path):
    made = [{"n": number, "share": 0.5, "text": "a\nb", "list": ["x", "y"], "none": None} for number in range(200)]
    assert rows(write(tmp_path / "a.parquet", made, row_group_size=150)) == made


def test_hidden_files_of_a_folder_are_passed_over(write, tmp_path):
    write(tmp_path / "data" / "a.parquet", [{"n": 1}])
    (tmp_path / "data" / "._a.parquet").write_bytes(b"no parquet")
    assert rows(tmp_path / "data") == [{"n": 1}]


def test_numbers_of_32_bits_have_no_more_digits_than_they_have(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    short = arrow.float32()
    columns = {
        "n": arrow.array([0.3, None], short),
        "several": arrow.array([[0.1], [2.5, None]], arrow.list_(short)),
        "double": [0.1 + 0.2, 1.0],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    first, second = rows(tmp_path / "a.parquet")
    assert first == {"n": 0.3, "several": [0.1], "double": 0.1 + 0.2}
    assert second == {"n": None, "several": [2.5, None], "double": 1.0}


def test_short_numbers_in_structs_and_of_16_bits_have_no_more_digits_either(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    half = arrow.float16()
    inner = arrow.struct([("x", arrow.float32()), ("several", arrow.list_(half)), ("text", arrow.string())])
    cell = {"x": 0.1, "several": [numpy.float16(0.3), None], "text": "a"}
    columns = {
        "n": arrow.array([numpy.float16(0.3), None], half),
        "one": arrow.array([cell, None], inner),
        "many": arrow.array([[cell, None], []], arrow.list_(inner)),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    written = {"x": 0.1, "several": [0.3, None], "text": "a"}
    assert rows(tmp_path / "a.parquet") == [
        {"n": 0.3, "one": written, "many": [written, None]},
        {"n": None, "one": None, "many": []},
    ]


def test_a_struct_with_a_map_beside_a_short_number_is_read(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = arrow.struct([("x", arrow.float32()), ("more", arrow.map_(arrow.string(), arrow.string()))])
    column = arrow.array([{"x": 0.1, "more": [("a", "b")]}, {"x": None, "more": None}], kind)
    parquet.write_table(arrow.table({"one": column}), tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [
        {"one": {"x": 0.1, "more": [("a", "b")]}}, {"one": {"x": None, "more": None}},
    ]  # fmt: skip


def test_shards_with_images_make_samples(write, tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "PNG")
    for number in (1, 0):
        row = {"image": {"bytes": buffer.getvalue(), "path": None}, "question": f"What is {number}?", "answer": number}
        write(tmp_path / "data" / f"test-0000{number}-of-00002.parquet", [row])
    (tmp_path / "task.yaml").write_text(TASK)
    samples = list(load_task(str(tmp_path / "task.yaml")).samples())
    assert [sample.question for sample in samples] == ["What is 0?", "What is 1?"]
    assert samples[0].images == (buffer.getvalue(),)
    assert samples[1].where.endswith("test-00001-of-00002.parquet, row 1")


def test_a_gap_in_a_column_of_numbers_is_no_ground_truth(write, tmp_path):
    image = {"bytes": b"unread", "path": None}
    rows = [{"image": image, "question": "How many?", "answer": answer} for answer in (2.0, float("nan"))]
    write(tmp_path / "data" / "a.parquet", rows)
    (tmp_path / "task.yaml").write_text(TASK)
    with pytest.raises(DataError, match=r"a\.parquet, row 2: answers is nan, which stands for a missing value"):
        list(load_task(str(tmp_path / "task.yaml")).samples())


def test_numbers_of_a_data_base_are_told_as_people_write_them(write, tmp_path):
    image = {"bytes": b"unread", "path": None}
    truths = [Decimal("2.50"), Decimal("3.00"), Decimal("100.00"), Decimal(2**60 + 1), Decimal("-0.05"), None]
    write(tmp_path / "data" / "a.parquet", [{"image": image, "question": "How much?", "answer": one} for one in truths])
    (tmp_path / "task.yaml").write_text(TASK)
    samples = load_task(str(tmp_path / "task.yaml")).samples()
    assert [next(samples).target.answers for _ in truths[:-1]] == [
        ("2.5",), ("3",), ("100",), ("1152921504606846977",), ("-0.05",),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"row 6: answers is null, which stands for a missing value"):
        next(samples)


@pytest.mark.parametrize("damage", ["cut", "no parquet", "data"])
def test_a_damaged_file_is_one_line_with_its_place(write, tmp_path, damage):
    path = write(tmp_path / "a.parquet", [{"text": f"{number:0500}"} for number in range(9)], compression="zstd")
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-9], "no parquet": b"text\n", "data": b"PAR1" + b"x" * 40 + whole[44:]}[damage])
    with pytest.raises(DataError, match=r"a\.parquet, after row 0: .*; expected a file of Parquet") as caught:
        rows(path)
    assert "\n" not in str(caught.value)


def test_columns_of_one_name_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table([["x"], ["y"]], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"columns must be distinct, got \['a', 'a'\]"):
        rows(tmp_path / "a.parquet")


def test_a_folder_without_a_file_is_refused(write, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"data holds no files \*\.parquet"):
        rows(tmp_path / "data")


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(DataError, match=r"Parquet needs the package pyarrow: pip install 'pyarrow>=17'"):
        rows(tmp_path / "a.parquet")
