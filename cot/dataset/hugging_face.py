"""Data sets of Hugging Face, by the optional package `datasets`: saved in a folder, or on the hub.

In: `path: my-folder`, as `save_to_disk` made it, or `path: hf://owner/name`, which is downloaded once; `split` and
`config`. Out: rows; an image is the bytes of its file, or the path of one that came with the data set, a class its
name. No code of a data set is run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cot.dataset.parquet import SHORT, as_written
from cot.dataset.spec import HUB, DataSpec, Row, data_path
from cot.errors import DataError, reason

OLDEST: Final = 4
"""Version of the package, the first that runs no code of a data set."""


def hugging_face(spec: DataSpec, folder: Path) -> Iterator[Row]:
    """The rows of one split. Raises DataError for a data set that is not there, or has other splits."""
    library = _library()
    try:
        found, name, inside = _found(library, spec, folder)
    except DataError:
        raise
    except Exception as error:
        # Whatever a library raises that reads files and asks a server.
        raise DataError(f"{spec.path}: {reason(error)}; expected a data set of Hugging Face") from error
    if hasattr(found, "keys"):
        splits = list(found.keys())
        if spec.split not in splits:
            raise DataError(f"{name}: got the split {spec.split!r}; expected one of: {', '.join(map(str, splits))}")
        found = found[spec.split]
    number = 0
    try:
        kinds = {column: _innermost(feature) for column, feature in found.features.items()}
        for values in found.to_iterable_dataset().decode(False):
            number += 1
            plain = {column: _plain(value, kinds.get(column), inside) for column, value in values.items()}
            yield Row(plain, f"{name}, row {number}")
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}, after row {number}: {reason(error)}; fetch or save it again") from error


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"this loader needs the package datasets: pip install 'datasets>={OLDEST}'") from error
    major = str(datasets.__version__).partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST:
        raise DataError(
            f"got the package datasets {datasets.__version__}; expected {OLDEST} or newer, which runs no code of a data"
            f" set: pip install 'datasets>={OLDEST}'"
        )
    return datasets


def _found(library: Any, spec: DataSpec, folder: Path) -> tuple[Any, str, tuple[Path, ...]]:
    """The data set, what it is called, and the folders that its files are in."""
    # The bars are for people, and the standard error of an evaluation has its own.
    library.disable_progress_bars()
    if spec.path is not None and spec.path.startswith(HUB):
        name = spec.path.removeprefix(HUB)
        return library.load_dataset(name, spec.config), spec.path, _downloaded(library, name)
    path = data_path(spec, folder)
    return library.load_from_disk(str(path)), str(path), (path,)


def _downloaded(library: Any, name: str) -> tuple[Path, ...]:
    """Where the files of a data set on the hub come to lie, and its archives are unpacked. Beside them, in the cache,
    are the user's token and what else was ever downloaded."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}"
    return repository, Path(library.config.EXTRACTED_DATASETS_PATH)


def _innermost(feature: Any) -> Any:
    """What a column is made of, or the lists in it."""
    while (inner := feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)) is not None:
        feature = inner
    return feature


def _plain(value: Any, kind: Any, inside: tuple[Path, ...]) -> Any:
    if isinstance(value, list):
        return [_plain(one, kind, inside) for one in value]
    if hasattr(kind, "int2str"):
        return kind.int2str(value) if isinstance(value, int) and value >= 0 else None
    if (short := getattr(kind, "dtype", "")) in SHORT:
        return as_written(value, short)
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        return value["bytes"] if value["bytes"] is not None or value["path"] is None else _file(value["path"], inside)
    if isinstance(value, dict) and isinstance(kind, dict):
        return {name: _plain(one, _innermost(kind.get(name)), inside) for name, one in value.items()}
    return value


def _file(name: str, inside: tuple[Path, ...]) -> Path:
    path = (inside[0] / name).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in inside):
        # Data comes from outside: it must not choose what else of this machine a model is shown.
        raise DataError(f"the image {name!r:.200} is not in {inside[0]}; expected it there; save it with its images")
    return path
