"""Each shipped task on small files in the format in which its data is published."""

import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from cot.errors import DataError
from cot.evaluate.images import image_opener
from cot.evaluate.shots import draw_shots
from cot.metric import Target
from cot.task import Sample, load_task, task_names

ELSEWHERE = {
    "easy-vqa", "scenes", "shapes", "charts", "unseen-style", "calibration", "vqav2", "pope", "mme", "chartqa",
    "docvqa", "textvqa",
}  # fmt: skip
"""Generated, or tested with the loaders."""


def png(colour="red"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


CELL = base64.b64encode(png()).decode()
OTHER = base64.b64encode(png("blue")).decode()


def tsv(*rows):
    lines = [list(rows[0]), *(row.values() for row in rows)]
    return "".join("\t".join(f'"{cell}"' for cell in line) + "\n" for line in lines)


@dataclass
class Case:
    files: dict[str, Any]
    """Name -> what is in it: text, or what is written as JSON."""
    question: str
    answers: tuple[str, ...]
    images: tuple[Any, ...]
    """Names of files, or bytes."""
    id: str
    choices: tuple[str, ...] = ()
    category: str = ""
    kind: tuple[str, int | None] = ("text", None)
    n: int = 1
    right: str = field(default="")
    """What a model says that is right; the first ground truth if nothing else."""


GQA: dict[str, Any] = {
    "201307251": {
        "semantic": [], "entireBalanced": False, "imageId": "n161313", "question": "Is it overcast?", "answer": "no",
        "isBalanced": True, "groups": {"global": None, "local": "13-sky"}, "types": {
            "detailed": "weather", "semantic": "global", "structural": "verify"}, "fullAnswer": "No, it is clear.",
    }
}  # fmt: skip
AOKVQA: dict[str, Any] = {
    "split": "val", "image_id": 461751, "question_id": "22jbM6gDxdaMaunuzgrsBB", "question": "What is in the bag?",
    "choices": ["cake", "cards", "A dog", "ball"], "correct_choice_idx": 2,
    "direct_answers": ["dog"] * 2 + ["a dog"] * 8, "difficult_direct_answer": False, "rationales": ["It barks."],
}  # fmt: skip
SCIENCEQA: dict[str, Any] = {
    "question": "Which is the north pole?", "choices": ["left", "right"], "answer": 1, "hint": "Magnets have poles.",
    "image": "image.png", "task": "closed choice", "grade": "grade5", "subject": "natural science", "topic": "physics",
    "category": "Magnets", "skill": "", "lecture": "", "solution": "", "split": "test",
}  # fmt: skip
MATHVISTA: dict[str, Any] = {
    "question": "How long is it?", "image": "images/1.jpg", "choices": None, "unit": "cm", "precision": 1,
    "answer": "1.2", "question_type": "free_form", "answer_type": "float", "pid": "1",
    "metadata": {"split": "testmini", "language": "english", "task": "geometry problem solving"},
}  # fmt: skip
HALLUSION: dict[str, Any] = {
    "category": "VD", "subcategory": "illusion", "visual_input": "1", "set_id": "0", "figure_id": "1",
    "sample_note": "circle", "question_id": "2", "question": "Is the right circle larger?", "gt_answer_details": "",
    "gt_answer": "0", "filename": "./hallusion_bench/VD/illusion/0_1.png",
}  # fmt: skip
OPTIONS = {"A": "a cat", "B": "a dog", "C": "an owl", "D": "a fox"}
MMMU: dict[str, Any] = {
    "index": "1", "id": "validation_Art_1", "question": "<image 1> What is it?", **OPTIONS, "E": "", "answer": "C",
    "category": "Art", "l2-category": "Art", "split": "validation", "image": CELL,
}  # fmt: skip

CASES = {
    "gqa": Case({"testdev_balanced_questions.json": GQA}, "Is it overcast?", ("no",), ("images/n161313.jpg",),
                "201307251", category="verify"),
    "ok-vqa": Case(
        {"OpenEnded_mscoco_val2014_questions.json": {"info": {}, "data_type": "mscoco", "data_subtype": "val2014",
            "questions": [{"image_id": 297147, "question": "What sport is it?", "question_id": 2971475}]},
         "mscoco_val2014_annotations.json": {"annotations": [{"image_id": 297147, "question_type": "four",
            "answer_type": "other", "question_id": 2971475, "confidence": 3, "answers": [
                {"answer_id": n, "raw_answer": "racing", "answer_confidence": "yes", "answer": "race"}
                for n in range(10)]}]}},
        "What sport is it?", ("race",) * 10, ("val2014/COCO_val2014_000000297147.jpg",), "2971475"),
    "a-okvqa": Case({"aokvqa_v1p0_val.json": [AOKVQA]}, AOKVQA["question"], ("C",), ("val2017/000000461751.jpg",),
                    AOKVQA["question_id"], tuple(AOKVQA["choices"])),
    "a-okvqa-direct": Case(
        {"aokvqa_v1p0_val.json": [AOKVQA, {**AOKVQA, "question_id": "2", "difficult_direct_answer": True}]},
        AOKVQA["question"], tuple(AOKVQA["direct_answers"]), ("val2017/000000461751.jpg",), AOKVQA["question_id"],
        right="a dog"),
    "infographicvqa": Case(
        {"infographicsVQA_val_v1.0_withQT.json": {"dataset_name": "infographicVQA", "data": [
            {"questionId": 98313, "question": "How many are male?", "image_local_name": "37313.jpeg", "image_url": "",
             "ocr_output_file": "37313.json", "answers": ["61%"], "data_split": "val"}]}},
        "How many are male?", ("61%",), ("infographicsvqa_images/37313.jpeg",), "98313"),
    "scienceqa": Case(
        {"problems.json": {"1": SCIENCEQA, "2": {**SCIENCEQA, "image": None}, "3": {**SCIENCEQA, "split": "val"}}},
        "Magnets have poles.\nWhich is the north pole?", ("B",), ("images/test/1/image.png",), "1", ("left", "right"),
        "natural science"),
    "mathvista": Case(
        {"testmini.json": {"1": MATHVISTA, "2": {**MATHVISTA, "pid": "2", "choices": ["A", "B"], "answer": "B",
                                                "answer_type": "text", "precision": None, "unit": None}}},
        "How long is it? (Unit: cm)", ("1.2",), ("images/1.jpg",), "1", (), "geometry problem solving", ("float", 1),
        n=2, right="It is 1.23 cm, so the answer is 1.23"),
    "realworldqa": Case(
        {"annotations.json": [{"image": "0.webp", "question": "Which way? Answer with the letter.", "answer": "A"}]},
        "Which way? Answer with the letter.", ("A",), ("images/0.webp",), "1"),
    "hallusionbench": Case(
        {"HallusionBench.json": [HALLUSION, {**HALLUSION, "visual_input": "0", "filename": None}]},
        HALLUSION["question"], ("no",), ("hallusion_bench/VD/illusion/0_1.png",), "VD/illusion/0/1/2",
        category="illusion"),
    "mmstar": Case(
        {"MMStar.tsv": tsv({"index": "0", "question": "What is it?", **OPTIONS, "answer": "A",
                            "category": "coarse perception", "l2_category": "image scene", "image": CELL})},
        "What is it?", ("A",), (png(),), "0", tuple(OPTIONS.values()), "coarse perception"),
    "ai2d": Case(
        {"AI2D_TEST.tsv": tsv(
            {"index": "1", "image": "2", "question": "What is P?", **OPTIONS, "answer": "B"},
            {"index": "2", "image": CELL, "question": "What is O?", **OPTIONS, "answer": "A"})},
        "What is P?", ("B",), (png(),), "1", tuple(OPTIONS.values()), n=2),
    "mmmu": Case(
        {"MMMU_DEV_VAL.tsv": tsv(
            {**MMMU, "image": f"['{CELL}', '{OTHER}']"},
            {**MMMU, "index": "2", "split": "dev"},
            {**MMMU, "index": "3", "A": "['24/7', '3.429']", "B": "Other Answers", "C": "", "D": "", "answer": "A"})},
        MMMU["question"], ("C",), (png(), png("blue")), "1", tuple(OPTIONS.values()), "Art", n=2),
}  # fmt: skip


VQA_TRAIN = (
    {"info": {}, "data_type": "mscoco", "data_subtype": "train2014",
     "questions": [{"image_id": 9, "question": "What sport?", "question_id": 90}]},
    {"annotations": [{"image_id": 9, "question_id": 90, "answers": [
        {"answer_id": n, "answer": "race" if n else "run"} for n in range(10)]}]},
)  # fmt: skip
DOCVQA_TRAIN = {"data": [{"questionId": 9, "question": "How many?", "image": "documents/9.png", "answers": ["61%"],
                          "image_local_name": "9.jpeg"}]}  # fmt: skip
TEXTVQA_TRAIN = {"data": [{"question_id": 9, "question": "What brand?", "image_id": "9", "answers": ["nokia"] * 10}]}

TRAIN = {
    "vqav2": Case(dict(zip(("v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"),
                           VQA_TRAIN, strict=True)),
                  "What sport?", ("race",), ("train2014/COCO_train2014_000000000009.jpg",), "90"),
    "ok-vqa": Case(dict(zip(("OpenEnded_mscoco_train2014_questions.json", "mscoco_train2014_annotations.json"),
                            VQA_TRAIN, strict=True)),
                   "What sport?", ("race",), ("train2014/COCO_train2014_000000000009.jpg",), "90"),
    "textvqa": Case({"TextVQA_0.5.1_train.json": TEXTVQA_TRAIN}, "What brand?", ("nokia",), ("train_images/9.jpg",),
                    "9"),
    "gqa": Case({"train_balanced_questions.json": GQA}, "Is it overcast?", ("no",), ("images/n161313.jpg",),
                "201307251"),
    "a-okvqa": Case({"aokvqa_v1p0_train.json": [AOKVQA]}, AOKVQA["question"], ("A dog",),
                    ("train2017/000000461751.jpg",), AOKVQA["question_id"], tuple(AOKVQA["choices"])),
    "a-okvqa-direct": Case(
        {"aokvqa_v1p0_train.json": [AOKVQA, {**AOKVQA, "question_id": "2", "difficult_direct_answer": True}]},
        AOKVQA["question"], ("a dog",), ("train2017/000000461751.jpg",), AOKVQA["question_id"]),
    "docvqa": Case({"train_v1.0.json": DOCVQA_TRAIN}, "How many?", ("61%",), ("documents/9.png",), "9"),
    "infographicvqa": Case({"infographicsVQA_train_v1.0.json": DOCVQA_TRAIN}, "How many?", ("61%",),
                           ("infographicsvqa_images/9.jpeg",), "9"),
    "chartqa": Case({"../train/train_human.json": [{"imgname": "9.png", "query": "How much?", "label": "3"}]},
                    "How much?", ("3",), ("../train/png/9.png",), "1"),
    "scienceqa": Case({"problems.json": {"1": SCIENCEQA, "9": {**SCIENCEQA, "split": "train"}}},
                      "Magnets have poles.\nWhich is the north pole?", ("right",), ("images/train/9/image.png",), "9",
                      ("left", "right")),
    "mmmu": Case({"MMMU_DEV_VAL.tsv": tsv(MMMU, {**MMMU, "index": "9", "split": "dev"})}, MMMU["question"],
                 ("an owl",), (), "9", tuple(OPTIONS.values())),
}  # fmt: skip
"""Where examples come from, and the one that is drawn; its answer is what a model should say."""


@pytest.fixture
def folder(tmp_path):
    """Writes the files of a case, and its images."""
    place = tmp_path / "test"

    def written(case):
        place.mkdir()
        for name, content in case.files.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(content if isinstance(content, str) else json.dumps(content))
        for image in case.images:
            if isinstance(image, str):
                (place / image).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 6), "red").save(place / image)
        return place

    return written


def test_every_task_is_tested():
    assert set(CASES) | ELSEWHERE == set(task_names())


@pytest.mark.parametrize("name", CASES)
def test_a_task_reads_what_its_authors_publish(folder, name):
    case = CASES[name]
    data = folder(case)
    task = load_task(name, data=data)
    samples = list(task.samples())
    first = samples[0]
    assert len(samples) == case.n
    assert (first.id, first.question, first.category) == (case.id, case.question, case.category)
    assert (first.target.answers, first.target.choices) == (case.answers, case.choices)
    assert (first.target.answer_type, first.target.precision) == case.kind
    assert first.images == tuple(data / image if isinstance(image, str) else image for image in case.images)
    assert task.metric(case.right or case.answers[0], first.target).value == 1.0
    assert task.survey().n == case.n


@pytest.mark.parametrize("name", TRAIN)
def test_examples_are_those_of_the_training_set(folder, name):
    case = TRAIN[name]
    shots = draw_shots(load_task(name, data=folder(case)), 1, seed=0, images=image_opener())
    ((example,), _) = shots.before(Sample("none", "none", "?", (), Target(("a",)), "nowhere"), ())
    assert shots.ids == (case.id,)
    assert (example.question, example.answer, example.choices) == (case.question, *case.answers, case.choices)
    assert all(image.source.endswith(case.images[0].removeprefix("../")) for image in example.images if case.images)


def test_mmmu_scores_a_row_by_its_type(folder):
    choice, open_ended = load_task("mmmu", data=folder(CASES["mmmu"])).samples()
    metric = load_task("mmmu").metric
    assert (open_ended.target.choices, open_ended.target.answers) == ((), ("['24/7', '3.429']",))
    assert [metric(text, open_ended.target).status for text in ("It is 3.429", "A")] == ["correct", "wrong"]
    assert [metric(text, choice.target).status for text in ("(C)", "3.429")] == ["correct", "unparsed"]


def test_mmstar_with_its_options_in_the_question(tmp_path):
    row = {"index": "0", "question": "What is it?\nOptions: A: a cat, B: a dog, C: an owl, D: a fox", "answer": "B",
           "category": "c", "image": CELL}  # fmt: skip
    (tmp_path / "MMStar.tsv").write_text(tsv(row))
    (sample,) = load_task("mmstar", data=tmp_path).samples()
    assert sample.target.choices == ("A", "B", "C", "D")


def test_a_file_of_vlmevalkit_that_is_not_whole(tmp_path):
    row = {"index": "1", "image": "7", "question": "What is P?", **OPTIONS, "answer": "B"}
    (tmp_path / "AI2D_TEST.tsv").write_text(tsv(row))
    with pytest.raises(DataError, match="AI2D_TEST.tsv, line 2: no row has the image '7'"):
        list(load_task("ai2d", data=tmp_path).samples())
    (tmp_path / "AI2D_TEST.tsv").write_text("index\tquestion\n1\ta\n")
    with pytest.raises(DataError, match="line 2: there is no column 'image'"):
        list(load_task("ai2d", data=tmp_path).samples())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_type": "complex"}, "json, '1': answer_type is .complex.; expected one of: text, integer"),
        ({"precision": 1.5}, "precision is 1.5; expected a whole number"),
        ({"precision": None}, "got a float with precision None"),
    ],
)
def test_a_ground_truth_of_no_kind(folder, change, message):
    data = folder(CASES["mathvista"])
    (data / "testmini.json").write_text(json.dumps({"1": {**MATHVISTA, **change}}))
    with pytest.raises(DataError, match=message):
        list(load_task("mathvista", data=data).samples())
