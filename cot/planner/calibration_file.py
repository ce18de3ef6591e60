"""The file that holds what was fitted to each model, and finding what fits the model that answers.

In: a JSON file: `{"embedded": {"revision": "sha256:…", "keep": 0.62, "samples": 4}}`. Out: a `Tuning`. An entry
says which weights it was made with, so that others do not use it by mistake; one that does not say so holds for
whatever goes by its name. What is not in the file has its default.
"""

import contextlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from cot.engine.base import EngineInfo
from cot.errors import ConfigError, reason
from cot.model import CALIBRATION_FILE, model_folder
from cot.planner.tuning import Tuning
from cot.settings import Settings

MAX_FILE_BYTES: Final = 2**20
"""A calibration file is at most 1 MiB."""


class Entry(Tuning):
    """The tuning of one model, and what it was made with."""

    revision: str | None = None
    """Hash or commit of the weights; None holds for any."""
    quantization: str | None = None
    """How they were quantised; None holds for any."""
    measured: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    """What it gained when it was made, for people."""

    @property
    def tuning(self) -> Tuning:
        """The numbers alone."""
        return Tuning.model_validate({name: getattr(self, name) for name in Tuning.model_fields})

    def misfit(self, info: EngineInfo) -> str:
        """Why it does not hold for what answers; empty if it does."""
        if self.revision is not None and self.revision != info.revision:
            return "was made with other weights"
        if self.quantization is not None and self.quantization != info.quantization:
            return f"was made with quantisation {self.quantization}, and now it is {info.quantization}"
        return ""


_FILE: Final = TypeAdapter(dict[str, Entry])


def tuning_for(settings: Settings, info: EngineInfo) -> tuple[Tuning, str]:
    """The tuning of what answers, and what a person should know about it, if anything.

    The file that the settings name comes first, then the one beside the model's weights, then the defaults.
    Raises ConfigError if a file cannot be read, is too large, or holds anything else.
    """
    own = read_entries(settings.calibration)
    folder = model_folder(settings.model)
    shipped = read_entries(folder / CALIBRATION_FILE) if folder else {}
    for entries in (own, shipped):
        if entry := _fitting(entries, settings.model, info):
            return entry.tuning, ""
    misfit = own[settings.model].misfit(info) if settings.model in own else ""
    return Tuning(), misfit and f"{settings.calibration} is not used: its calibration of {settings.model} {misfit}"


def _fitting(entries: dict[str, Entry], model: str, info: EngineInfo) -> Entry | None:
    """The entry of this name, or one of the same weights under another name."""
    named = sorted(entries.items(), key=lambda item: item[0] != model)
    known = (entry for name, entry in named if name == model or entry.revision is not None)
    return next((entry for entry in known if not entry.misfit(info)), None)


def read_entries(path: Path) -> dict[str, Entry]:
    """What a calibration file holds, by model; nothing if there is no file. Raises ConfigError."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is no file; expected a calibration in JSON, or nothing there")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}; expected a calibration in JSON") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes; expected a small calibration in JSON")
    try:
        return _FILE.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f'{path}: {where and f"{where}: "}{first["msg"]}; expected for example {{"embedded": {{"keep": 0.6}}}}'
        ) from error


def kept_beside(path: Path) -> Path:
    """Where the file that was there is kept."""
    return path.with_name(f"{path.name}.before")


def check_writable(path: Path) -> None:
    """Find out before a long measurement; its folder is made.

    Raises ConfigError if no file can be written there, or the one that is there cannot be kept.
    """
    if (kept := kept_beside(path)).is_dir():
        raise ConfigError(f"{kept} is a folder, and the calibration before is kept under that name; rename the folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def write_entry(path: Path, model: str, entry: Entry | None) -> Entry | None:
    """Put a model's entry into a file, or take it out; other models' stay. The entry that was there is given back.

    Raises ConfigError if the file that is there cannot be read, or none can be written there.
    """
    entries = read_entries(path)
    before = entries.pop(model, None)
    if entry is not None:
        entries[model] = entry
    plain = {name: one.model_dump(mode="json", exclude_unset=True) for name, one in sorted(entries.items())}
    # A name that nobody knows before: a link of that name would be written through.
    temporary = path.with_name(f".cot-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _unwritable(path, error) from error
    return before


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {reason(error)}; name another file with --out")
