"""A short YAML file -> a frozen model, with errors that name the file and the field."""

import hashlib
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from cot.errors import TaskError, reason
from cot.prompt.plain_yaml import load_plain

MAX_BYTES: Final = 100_000

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path, model: type[M]) -> tuple[M, str]:
    """What a file says, and the SHA-256 of its bytes in hex. Raises TaskError, which names the file."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise TaskError(f"{path} has more than {MAX_BYTES} bytes; expected a short file of YAML")
        found = load_plain(data.decode())
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {reason(error)}; expected a file of YAML") from error
    except ValueError as error:
        raise TaskError(f"{path} is no YAML: {reason(error)}; expected lines like: name: my-task") from error
    if not isinstance(found, dict):
        raise TaskError(f"{path} holds a {type(found).__name__}; expected lines like: name: my-task")
    try:
        return model.model_validate(found), hashlib.sha256(data).hexdigest()
    except (ValidationError, RecursionError) as error:
        raise TaskError(f"{path}: {_first(error, model)}") from error


def _first(error: ValidationError | RecursionError, model: type[BaseModel]) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply; expected a plain file"
    found = error.errors(include_url=False, include_input=False)
    # A name that is written wrong is also missing; what was written tells more.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown field {where!r}; known: {', '.join(_known(first['loc'][:-1], model))}"
    if first["type"] == "missing":
        return f"the field {where!r} is missing; expected it beside the others"
    return f"{where}: {first['msg']}; see docs/tasks.md"


def _known(place: tuple[Any, ...], model: type[BaseModel]) -> tuple[str, ...]:
    """The fields that are known at a place."""
    for name in place:
        said = model.model_fields[name].annotation if name in model.model_fields else None
        kinds = [kind for kind in (said, *get_args(said)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not kinds:
            break
        model = kinds[0]
    return tuple(model.model_fields)
