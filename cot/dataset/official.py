"""Loaders of published data sets in the files that their authors give, and of a folder of images.

Those that are plain JSONL, JSON or TSV need none.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cot.dataset.spec import SHOWN, DataSpec, Row, data_path, existing
from cot.dataset.table import delimited, listed, read_json
from cot.errors import DataError, reason

IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_MOST_MME_BYTES: Final = 100_000
_MOST_INDEX_CHARACTERS: Final = 64  # As in VLMEvalKit.


def folder_of_images(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """Every image below a folder, by name: `image`, `name` without ending, and `folder`, that of the image.

    What begins with a dot is passed over.

    Names are ground truths too, so accents are one character with their letter (NFC), as models write them; file
    systems may have them apart.
    """
    root = data_path(spec, folder)
    if not root.is_dir():
        raise DataError(f"{root} is no folder; expected one with images; check the path in the task")
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        hidden = any(part.startswith(".") for part in place.parts)
        if path.suffix.lower() in IMAGE_ENDINGS and not hidden and path.is_file():
            image_id = place.as_posix()
            names = {"image_id": image_id, "name": path.stem, "folder": path.parent.name}
            composed = {field: unicodedata.normalize("NFC", name) for field, name in names.items()}
            yield Row({"image": path, **composed}, str(path))


def vqav2(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """VQAv2's questions (`path`) and `annotations`: the questions' fields, `image` and `answers`, one an annotator.

    `image` is the name that the picture has in COCO, `COCO_val2014_000000000042.jpg`. split: in place of the file's
    own `data_subtype`. Raises DataError for a question without annotation, and for files of another form.
    """
    path = data_path(spec, folder)
    answers = existing(spec.annotations, folder, "the loader 'vqav2' needs annotations")
    asked, annotated = read_json(path), read_json(answers)
    if not isinstance(asked, dict) or not isinstance(annotated, dict):
        raise DataError(f"{path} and {answers}: expected two objects, with `questions` and with `annotations`")
    known = {
        found["question_id"]: found
        for number, found in enumerate(listed(annotated.get("annotations"), answers), 1)
        if _has(found, ("question_id", "answers"), f"{answers}, annotation {number}")
        and _is_id(found["question_id"], f"{answers}, annotation {number}")
    }
    split = spec.split or asked.get("data_subtype", "")
    for number, question in enumerate(listed(asked.get("questions"), path), 1):
        where = f"{path}, question {number}"
        _has(question, ("question_id", "image_id", "question"), where)
        _is_id(question["question_id"], where)
        annotation = known.get(question["question_id"])
        if annotation is None:
            raise DataError(f"{where}: question_id {question['question_id']!r} has no annotation in {answers}")
        yield Row(_vqav2_values(question, annotation, split, where), where)


def mme(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """MME's folders, one a category: a text file an image, with lines of a question, a tab, and Yes or No.

    The categories may lie in a folder `MME_Benchmark`. Images lie beside the texts, or in `images` beside
    `questions_answers_YN`. Fields: `image`, `image_id`, `category`, `number` (from 1), `question`, `answer`.
    """
    root = data_path(spec, folder)
    if (root / "MME_Benchmark").is_dir():
        root /= "MME_Benchmark"
    for category in sorted(path for path in root.glob(SHOWN) if path.is_dir()):
        split = category / "questions_answers_YN"
        texts, images = (split, category / "images") if split.is_dir() else (category, category)
        for text in sorted(texts.glob(f"{SHOWN}.txt")):
            image = next((path for ending in IMAGE_ENDINGS if (path := images / (text.stem + ending)).is_file()), None)
            if image is None:
                raise DataError(f"{text} has no image; expected {images / text.stem} with one of {IMAGE_ENDINGS}")
            for number, (question, answer) in _mme_lines(text):
                values = {
                    "image": image, "image_id": f"{category.name}/{text.stem}", "category": category.name,
                    "number": number, "question": question, "answer": answer,
                }  # fmt: skip
                yield Row(values, f"{text}, line {number}")


def vlmeval(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """A TSV file of VLMEvalKit: its columns, of which `image` is a file in base64, or several in brackets.

    A cell of `image` that is too short for an image is the `index` of the row that has it, and is replaced by that
    one's. Raises DataError where there is none.
    """
    named = {cell for row in delimited(spec, folder) if len(cell := _cell(row, "image")) <= _MOST_INDEX_CHARACTERS}
    # Only images that are named by another row are kept; each pass reads the file a row at a time.
    kept = {i: _cell(row, "image") for row in delimited(spec, folder) if (i := _cell(row, "index")) in named}
    for row in delimited(spec, folder):
        cell = _cell(row, "image")
        if cell in named:
            cell = kept.get(cell, "")
            if len(cell) <= _MOST_INDEX_CHARACTERS:
                raise DataError(f"{row.where}: no row has the image {_cell(row, 'image')!r}; is the file complete?")
        yield Row({**row.values, "image": cell}, row.where)


def _cell(row: Row, column: str) -> str:
    if column not in row.values:
        raise DataError(f"{row.where}: there is no column {column!r}; expected a TSV file of VLMEvalKit")
    return str(row.values[column])


def _vqav2_values(question: dict[str, Any], annotation: dict[str, Any], split: str, where: str) -> dict[str, Any]:
    try:
        answers = [str(given["answer"]) for given in annotation["answers"]]
        image = f"COCO_{split}_{int(question['image_id']):012d}.jpg"
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: {reason(error)}; expected a numbered image and answers as VQAv2 has them") from error
    others = {name: annotation.get(name) for name in ("question_type", "answer_type", "multiple_choice_answer")}
    return {**others, **question, "image": image, "answers": answers}


def _mme_lines(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    if path.stat().st_size > _MOST_MME_BYTES:
        raise DataError(f"{path} has more than {_MOST_MME_BYTES} bytes; expected two lines of MME")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {reason(error)}; expected text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            question, tab, answer = line.rpartition("\t")
            if not tab:
                raise DataError(f"{path}, line {number}: got {line[:60]!r}; expected a question, a tab, and Yes or No")
            yield number, (question.strip(), answer.strip())


def _is_id(value: Any, where: str) -> bool:
    if not isinstance(value, int | str):
        raise DataError(f"{where}: question_id is a {type(value).__name__}; expected a number or text")
    return True


def _has(value: Any, names: tuple[str, ...], where: str) -> bool:
    if not isinstance(value, dict) or not set(names) <= set(value):
        raise DataError(f"{where}: expected an object with {', '.join(names)}; is this the file of VQAv2?")
    return True
