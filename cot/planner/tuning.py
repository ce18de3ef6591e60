"""Numbers that strategies go by, and the file that holds them for each model.

In: a calibration file, which is JSON: `{"embedded": {"keep": 0.62, "accept": 0.3}}`. Out: a `Tuning`.
What is not in the file has its default; `cot.planner.calibrate` finds better values.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cot.errors import ConfigError, reason

MAX_FILE_BYTES: Final = 2**20
"""A calibration file is at most 1 MiB."""


class Tuning(BaseModel):
    """What a strategy may be tuned by. The defaults are guesses for a model that nobody has measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keep: Annotated[float, Field(ge=0, le=1)] = 0.5
    """`route` keeps a direct answer of at least this confidence, and asks for no plan; 0 never plans."""
    accept: Annotated[float, Field(ge=0, le=1)] = 0.25
    """`route` takes an answer by steps of at least this confidence in place of the direct one."""
    samples: Annotated[int, Field(ge=1, le=64)] = 8
    """`vote` draws at most so many, beside the direct answer."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.7
    """`vote` draws with it."""
    rounds: Annotated[int, Field(ge=1, le=4)] = 2
    """Rounds of sub-questions, the plan's own among them; later ones ask for what is still unknown."""


_FILE: Final = TypeAdapter(dict[str, Tuning])


def load_tuning(path: Path, model: str) -> Tuning:
    """The model's tuning; the defaults if the file is missing or does not name the model.

    Raises ConfigError if the file cannot be read, is too large, or holds anything else.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file; expected a calibration in JSON, or nothing there")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Tuning()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}; expected a calibration in JSON") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes; expected a small calibration in JSON")
    try:
        return _FILE.validate_json(data).get(model, Tuning())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f'{path}: {where and f"{where}: "}{first["msg"]}; expected for example {{"embedded": {{"keep": 0.6}}}}'
        ) from error
