import json
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from cot.dataset import LOADERS, DataSpec, load_rows
from cot.errors import DataError
from cot.task import load_task

PNG = (8, 6)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", PNG, "red").save(path)


def rows(folder, loaders=LOADERS, **spec):
    return [dict(row.values) for row in load_rows(DataSpec(**spec), folder, loaders)]


def test_csv_and_tsv_as_spreadsheets_write_them(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffimage,question\nx.png,"a, ""b""\nc"\n\n', encoding="utf-8")
    assert rows(tmp_path, loader="csv", path="a.csv") == [{"image": "x.png", "question": 'a, "b"\nc'}]
    (tmp_path / "a.tsv").write_text("1\t" + "A" * 200_000 + "\n")
    found = rows(tmp_path, loader="tsv", path="a.tsv", fields=["index", "image"])
    assert [(row["index"], len(row["image"])) for row in found] == [("1", 200_000)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b\n1,2\n1\n", "a.csv, line 3: got 1 cells; expected 2: a, b"),
        ("a.csv", "a,a\n", "columns must be distinct"),
        ("a.csv", 'a\n"b\n', "a.csv, line 2: "),
        ("a.csv", "a;b\n1;2\n", "a.csv, line 1: got one column 'a;b'; expected ',' between columns"),
        ("a.tsv", "a,b\n1,2\n", "a.tsv, line 1: got one column 'a,b'"),
        ("a.csv", "a,b\n", "has no rows"),
        ("a.json", "{}", "has no 'data', where the task expects its rows"),
        ("a.json", '{"data": 3}', "holds a int; expected a list"),
        ("a.json", '{"data": [3]}', "a.json, row 1: got a int"),
        ("a.json", "{", "a.json: no JSON"),
        ("a.json-map", "[]", "holds a list; expected an object with a row for each key"),
        ("a.json-map", '{"x": {}, "y": 3}', "a.json-map, 'y': got a int; expected an object"),
    ],
)
def test_a_bad_table_is_one_line_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        rows(tmp_path, loader=name[2:], path=name, rows="data")


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected the data there; .*--data"):
        rows(tmp_path, loader="jsonl", path="a.jsonl")
    with pytest.raises(DataError, match="'~nobody-is-called-this/a.jsonl': .*home.*; expected a path"):
        rows(tmp_path, loader="jsonl", path="~nobody-is-called-this/a.jsonl")
    with pytest.raises(DataError, match="needs a path"):
        rows(tmp_path, loader="jsonl")
    (tmp_path / "a.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="line 1: .*expected text in UTF-8"):
        rows(tmp_path, loader="jsonl", path="a.jsonl")


def test_names_of_a_folder_have_accents_as_models_write_them(tmp_path):
    apart = unicodedata.normalize("NFD", "forêt/été.png")
    picture(tmp_path / apart)
    (row,) = rows(tmp_path, loader="folder", path=".")
    assert row == {"image": tmp_path / apart, "image_id": "forêt/été.png", "name": "été", "folder": "forêt"}


def test_a_folder_of_images(tmp_path):
    picture(tmp_path / "animals" / "cat" / "1.png")
    (tmp_path / "animals" / "notes.txt").write_text("x")
    # As archives have them that were made on a Mac, and as programs leave them behind.
    for hidden in ("cat/._1.png", "__MACOSX/cat/._1.png", ".trash/cat/1.png"):
        (tmp_path / "animals" / hidden).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "animals" / hidden).write_bytes(b"no image")
    assert rows(tmp_path, loader="folder", path="animals") == [
        {"image": tmp_path / "animals/cat/1.png", "image_id": "cat/1.png", "name": "1", "folder": "cat"}
    ]


def test_vqav2(tmp_path):
    picture(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg")
    question = {"image_id": 42, "question": "What is this?", "question_id": 42000}
    answers = [{"answer": "net", "answer_confidence": "yes", "answer_id": n + 1} for n in range(10)]
    annotation = {"question_type": "what is", "multiple_choice_answer": "net", "answers": answers, "image_id": 42,
                  "answer_type": "other", "question_id": 42000}  # fmt: skip
    asked, annotated = "v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"
    (tmp_path / asked).write_text(json.dumps({"data_subtype": "val2014", "questions": [question]}))
    (tmp_path / annotated).write_text(json.dumps({"annotations": [annotation]}))
    (sample,) = load_task("vqav2", data=tmp_path).samples()
    assert (sample.id, sample.group, sample.category) == ("42000", "42", "other")
    assert sample.target.answers == ("net",) * 10
    (tmp_path / annotated).write_text(json.dumps({"annotations": []}))
    with pytest.raises(DataError, match="question 1: question_id 42000 has no annotation"):
        list(load_task("vqav2", data=tmp_path).samples())
    (tmp_path / annotated).write_text("[]")
    with pytest.raises(DataError, match="expected two objects"):
        list(load_task("vqav2", data=tmp_path).samples())


def test_pope(tmp_path):
    picture(tmp_path / "val2014" / "COCO_val2014_000000016631.jpg")
    line = {"question_id": 1, "image": "COCO_val2014_000000016631.jpg", "text": "Is there a person?", "label": "yes"}
    (tmp_path / "coco_pope_random.json").write_text(json.dumps(line) + "\n")
    (sample,) = load_task("pope", data=tmp_path).samples()
    assert (sample.id, sample.question, sample.target.answers) == ("1", "Is there a person?", ("yes",))


def test_mme_in_both_of_its_forms(tmp_path):
    root = tmp_path / "MME_Benchmark_release_version"
    picture(root / "OCR" / "0001.jpg")
    picture(root / "artwork" / "images" / "10002.jpg")
    (root / "artwork" / "questions_answers_YN").mkdir()
    for text in (root / "OCR" / "0001.txt", root / "artwork" / "questions_answers_YN" / "10002.txt"):
        text.write_text("Is it? Please answer yes or no.\tYes\nIs it not? Please answer yes or no.\tNo\n\n")
    for hidden in (".cache", "OCR"):
        (root / hidden).mkdir(exist_ok=True)
        (root / hidden / "._0001.txt").write_bytes(b"\x00\x05\x16\x07")
    samples = list(load_task("mme", data=tmp_path).samples())
    assert [sample.id for sample in samples] == ["OCR/0001/1", "OCR/0001/2", "artwork/10002/1", "artwork/10002/2"]
    assert [sample.category for sample in samples] == ["OCR", "OCR", "artwork", "artwork"]
    (root / "OCR" / "0001.jpg").unlink()
    root.rename(tmp_path / "MME_Benchmark")
    root.mkdir()
    (tmp_path / "MME_Benchmark").rename(root / "MME_Benchmark")
    with pytest.raises(DataError, match=r"MME_Benchmark/OCR/0001.txt has no image"):
        list(load_task("mme", data=tmp_path).samples())


@pytest.mark.parametrize(
    ("name", "file", "image", "row"),
    [
        ("chartqa", "test_human.json", "png/1.png", {"imgname": "1.png", "query": "How many?", "label": "14"}),
        ("docvqa", "val_v1.0.json", "documents/a_1.png",
         {"questionId": 7, "question": "Who?", "image": "documents/a_1.png", "docId": 1, "answers": ["Ann", "ann"]}),
        ("textvqa", "TextVQA_0.5.1_val.json", "train_images/003a8ae2ef43b901.jpg",
         {"question": "What?", "image_id": "003a8ae2ef43b901", "answers": ["a"] * 10, "question_id": 34602}),
    ],
)  # fmt: skip
def test_data_sets_that_are_plain_json(tmp_path, name, file, image, row):
    picture(tmp_path / image)
    (tmp_path / file).write_text(json.dumps([row] if name == "chartqa" else {"data": [row]}))
    (sample,) = load_task(name, data=tmp_path).samples()
    assert sample.images == (tmp_path / image,)


def test_easy_vqa_has_its_official_test_questions():
    held_out = pytest.importorskip("cot.train.held_out")
    samples = list(load_task("easy-vqa", loaders=held_out.LOADERS).samples())
    assert (samples[0].id, samples[0].group) == ("0/1", "0")
    assert len(samples) == 9673
    assert [fact.answer for fact in samples[0].facts] == list(samples[0].target.answers)
    with pytest.raises(DataError, match="unknown split 'dev' of easy-vqa; known: train, test"):
        rows(Path(), loaders=held_out.LOADERS, loader="easy-vqa", split="dev")


@pytest.mark.slow
def test_memory_stays_flat_over_many_rows(tmp_path):
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines(f'{{"number": {number}, "text": "{"x" * 100}"}}\n' for number in range(200_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in load_rows(DataSpec(loader="jsonl", path="a.jsonl"), tmp_path)) == 200_000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
