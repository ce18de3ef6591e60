"""What a task says of its data, and what a loader gives: one row after another.

Nothing here reads a file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from cot.errors import DataError, MissingDataError, quoted, reason

Name = Annotated[str, Field(min_length=1, max_length=4096)]

SHOWN: Final = "[!.]*"
"""Names of files that a file system does not hide: archives made on a Mac have a `._1.jpg`, no image, for each `1.jpg`.
"""

HUB: Final = "hf://"
"""How the name of a data set on the hub of Hugging Face begins."""


class DataSpec(BaseModel):
    """The `data` of a task file. Which of the fields a loader reads is its own matter; paths may be relative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loader: Name
    """`jsonl`, `json`, `json-map`, `csv`, `tsv`, `parquet`, `hugging-face`, `python`, `folder`, `vqav2`, `mme`,
    `vlmeval`, `easy-vqa` or `generated`."""
    path: Name | None = None
    """The data file or folder."""
    split: Name | None = None
    """Which part of the data, where a loader has several."""
    config: Name | None = None
    """Of a data set of Hugging Face that has several."""
    fields: tuple[Name, ...] = ()
    """Names of the columns of a CSV or TSV file that has no line with them."""
    rows: Name | None = None
    """Of a JSON file that holds an object: the name under which the list of rows is."""
    annotations: Name | None = None
    """The file of answers, where they are not in `path`."""
    images: Name | None = None
    """Folder that the paths of images start from; by default that of the data."""
    n: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Rows at most; generators make so many."""

    @property
    def is_relative(self) -> bool:
        """Whether a path of it starts from a folder that is given: not where all is generated, downloaded, in a package
        or at a fixed place."""
        names = [name for name in (self.path, self.annotations, self.images) if name is not None]
        return any(not name.startswith((HUB, "~")) and not Path(name).is_absolute() for name in names)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. where: the file and line it came from, for messages."""

    values: Mapping[str, Any]
    where: str


Loader = Callable[[DataSpec, Path], Iterator[Row]]
"""A task's data, and the folder that its paths are relative to -> rows. Raises DataError."""


def data_path(spec: DataSpec, folder: Path) -> Path:
    """Where the data lies. Raises DataError if the task does not say, or nothing is there."""
    return existing(spec.path, folder, f"the loader {spec.loader!r} needs a path")


def existing(name: str | None, folder: Path, missing: str) -> Path:
    """A file or folder that must be there. missing: what to say where it has no name."""
    if name is None:
        raise DataError(f"{missing}; expected the name of a file or folder")
    path = _placed(name, folder)
    if not path.exists():
        raise MissingDataError(
            f"{path} does not exist; expected the data there; put it there, or name its folder with --data"
        )
    return path


def images_folder(spec: DataSpec, folder: Path) -> Path:
    """The folder that the paths of images start from."""
    if spec.images is not None:
        return _placed(spec.images, folder)
    if spec.path is None:
        return folder
    path = _placed(spec.path, folder)
    return path if path.is_dir() else path.parent


def _placed(name: str, folder: Path) -> Path:
    try:
        return folder / Path(name).expanduser()
    except RuntimeError as error:
        raise DataError(f"{quoted(name)}: {reason(error)}; expected a path in the task; write it out") from error
