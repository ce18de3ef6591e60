"""A sample: one question about images, with what is true. And the values of expressions made into its parts.

Images are named or held here, never opened.
"""

import base64
import binascii
import hashlib
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Annotated, Any, Final, Literal, get_args

import jinja2
from pydantic import Field, TypeAdapter, ValidationError

from cot.errors import DataError
from cot.metric import AnswerType, Target
from cot.step import Wants

MAX_TEXT_CHARACTERS: Final = 10_000
"""Longest question, id or group."""

MAX_IMAGES: Final = 64

MAX_FACTS: Final = 64

ImageSource = Path | str | bytes
"""A file, a URL, or the bytes of a file."""

_URL: Final = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Fact:
    """A sub-question of a ground-truth program, with its true answer. `#1` in `text` stands for the answer of the
    first fact; `asked` is the text with the references filled in."""

    wants: Wants
    text: str
    answer: str
    asked: str = ""

    def __post_init__(self) -> None:
        if not self.asked:
            object.__setattr__(self, "asked", self.text)


_FACTS: Final = TypeAdapter(Annotated[tuple[Fact, ...], Field(max_length=MAX_FACTS)])


@dataclass(frozen=True, slots=True)
class Sample:
    """One question. group: what samples of one image share. where: the file and line it came from.

    facts: those of its ground-truth program, where it has one. in_groups: names of the task's group scores, each with
    the group that it counts in.
    """

    id: str
    group: str
    question: str
    images: tuple[ImageSource, ...]
    target: Target
    where: str
    category: str = ""
    facts: tuple[Fact, ...] = ()
    in_groups: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRules:
    """How the `images` of a task are read. folder: what relative paths start from."""

    folder: Path
    image_format: Literal["file", "base64"]
    allow_urls: bool


def is_missing(value: Any) -> bool:
    """Whether a cell stands for no value: null, no text, or NaN, which tables of numbers have in its place."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, field: str) -> str:
    """Text, a finite number or a path as text. Raises DataError for anything else, for nothing, and for too much."""
    if isinstance(value, jinja2.Undefined):
        # Only its own error names what is missing.
        str(value)
    if isinstance(value, dict):
        fields = ", ".join(map(str, value))[:100]
        raise DataError(f"{field} holds several fields: {fields}; expected text or a number; name one, as in bird.name")
    if isinstance(value, Decimal) and value.is_finite():
        # What a data base calls numeric comes so out of Parquet, with all its places: 2.50 and 3.00.
        places = f"{value:f}"
        value = places.rstrip("0").rstrip(".") if "." in places else places
    if isinstance(value, bool):
        raise DataError(
            f'{field} is the truth value {value}; expected text or a number; write it out, as in: "yes" if FIELD else'
            ' "no"'
        )
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        # As text it would be a ground truth that nobody gave, and every answer wrong.
        raise DataError(
            f"{field} is {'null' if value is None else value}, which stands for a missing value; expected text or a"
            " finite number; fill it in, or leave the row out with `only`"
        )
    if not isinstance(value, str | int | float | Path):
        raise DataError(f"{field} is a {type(value).__name__}; expected text or a number")
    # A column of whole numbers with a gap comes as floats out of a table, and nobody answers "3.0".
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    if not text:
        raise DataError(f"{field} is empty; expected some text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise DataError(f"{field} has {len(text)} characters; expected at most {MAX_TEXT_CHARACTERS}")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"{field} is not UTF-8: {text[:60]!r}; write it in UTF-8")
    return text


def texts_of(value: Any, field: str, *, drop_empty_end: bool = False) -> tuple[str, ...]:
    """One text, or a list of them. Raises DataError."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    while drop_empty_end and values and is_missing(values[-1]):
        values.pop()
    return tuple(text_of(one, field) for one in values)


def each_once(choices: tuple[str, ...], answers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choices without repetitions, and the ground truths, those that are letters (A first) as the choices they name.

    Published data has rows with equal options, such as MMLU and MedMCQA. Whoever is told of both can only name
    the text, and is right if either is. Raises DataError where it cannot be told what a letter stands for, or one
    choice alone is left.
    """
    left = tuple(dict.fromkeys(choices))
    letters = dict(zip(ascii_uppercase, choices, strict=False))
    if len(left) == len(choices):
        return choices, answers
    if len(left) < 2 or not letters.keys().isdisjoint(choices):
        raise DataError(
            f"choices must be distinct, got {list(choices)!r:.150}; mend them, or leave the row out with `only`"
        )
    return left, tuple(letters.get(answer, answer) for answer in answers)


def images_of(value: Any, rules: ImageRules) -> tuple[ImageSource, ...]:
    """The images of a row, which must be there. Raises DataError."""
    if rules.image_format == "base64" and isinstance(value, str) and value.startswith("["):
        # A cell of a table that holds several is a list in text; base64 has none of its signs.
        value = re.findall(r"[^\[\]\s,'\"]+", value)
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not 1 <= len(values) <= MAX_IMAGES:
        raise DataError(f"images: got {len(values)}; expected 1 to {MAX_IMAGES}")
    return tuple(_image(one, rules) for one in values)


def answer_type_of(value: Any) -> AnswerType:
    """The kind of a ground truth. Raises DataError."""
    known: tuple[AnswerType, ...] = get_args(AnswerType)
    if value not in known:
        raise DataError(f"answer_type is {value!r:.60}; expected one of: {', '.join(known)}")
    return known[known.index(value)]


def precision_of(value: Any) -> int | None:
    """Decimal places, or null. Raises DataError."""
    # A column of whole numbers with a gap is one of floats, and in CSV all cells are text.
    if is_missing(value):
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,4}", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise DataError(f"precision is {value!r:.60}; expected a whole number of decimal places")
    return int(value)


def facts_of(value: Any) -> tuple[Fact, ...]:
    """The facts of a row: a list of objects with `wants`, `text`, `answer` and, where they differ, `asked`, or null.

    Raises DataError.
    """
    try:
        return _FACTS.validate_python(value or ())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"facts {place}: {first['msg']}; expected a list of wants, text, answer and asked") from error


def group_of(images: Sequence[ImageSource], folder: Path) -> str:
    """What stands for images where a task names no group: their paths, or the hash of their bytes."""
    return " ".join(_image_name(image, folder) for image in images)


def names_of(images: Sequence[ImageSource], folder: Path) -> str:
    """What tells images apart wherever the data lies: as `group_of`, but of files outside the folder, as those of a
    package are, the last part of the path alone."""
    return group_of([_within(image, folder) for image in images], folder)


def _within(image: ImageSource, folder: Path) -> ImageSource:
    return folder / image.name if isinstance(image, Path) and not image.is_relative_to(folder) else image


def _image_name(image: ImageSource, folder: Path) -> str:
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()[:16]
    if isinstance(image, Path):
        shown = image.relative_to(folder) if image.is_relative_to(folder) else image
        # A name may hold bytes that are no text, and what stands in results must be.
        named = os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")
        # Of one form, since copying data to another file system may change it.
        return unicodedata.normalize("NFC", named)
    return image


def _image(value: Any, rules: ImageRules) -> ImageSource:
    if isinstance(value, bytes):
        return value
    if isinstance(value, Path):
        return _present(value)
    if isinstance(value, jinja2.Undefined):
        str(value)
    if isinstance(value, dict):
        # As Hugging Face keeps an image in Parquet; its repr would be bytes that nobody can read.
        fields = ", ".join(map(str, value))[:100]
        raise DataError(f"images: got several fields: {fields}; expected an image; name one, as in image.bytes")
    if not isinstance(value, str) or not value:
        raise DataError(f"images: got {value!r:.60}; expected the path of a file, or an image in base64")
    if rules.image_format == "base64":
        return _decoded(value)
    if _URL.match(value):
        if not rules.allow_urls:
            raise DataError(f"images: {value[:100]!r} is a URL; expected a file; download it, or say allow_urls: true")
        return value
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        # A data file comes from outside: it must not choose what else of this machine a model is shown.
        raise DataError(f"images: {value[:100]!r} leads out of the folder {rules.folder}; expected a path inside it")
    if path.as_posix().isascii() or _is_file(rules.folder / path):
        return _present(rules.folder / path)
    return _present(_in_other_form(rules.folder, path))


def _in_other_form(folder: Path, path: PurePosixPath) -> Path:
    """Where it is if the file system writes accents otherwise than the data: as one character with the letter (NFC, as
    Linux and Windows do), or as one behind it (NFD, as macOS may)."""
    found = [folder]
    for part in path.parts:
        forms = dict.fromkeys(unicodedata.normalize(form, part) for form in ("NFC", "NFD"))
        found = [place / form for place in found for form in forms if os.path.exists(place / form)]
    return next(filter(_is_file, found), folder / path)


def _present(path: Path) -> Path:
    if not _is_file(path):
        raise DataError(f"the image {str(path)[:300]!r} does not exist; expected it there; check `images` and --data")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _decoded(text: str) -> bytes:
    # Some writers put "data:image/png;base64," before it.
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"images: {text[:40]!r} is not base64: {error}; for paths leave image_format out") from error
