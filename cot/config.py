"""Where the value of each setting comes from.

In: command line values, `COT_*` environment variables, `./cot.toml`, and the user's
`config.toml`, the first that names a setting wins. Out: a frozen `Settings`, whose fields `cot.settings`
has. Settings are read once; nothing is written.

A `cot.toml` may come with a folder that somebody else made, so its paths lead to what is below that folder, since files
are written there, and it takes back nothing of what the user's own file says of traces: `redact` leaves out what either
names, and `trace_dir` is the user's, if that file has one.
"""

import contextlib
import difflib
import functools
import json
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import TypeAdapter, ValidationError

from cot.errors import ConfigError, reason
from cot.settings import NAMES, Settings

PREFIX = "COT_"
"""Environment variables are the setting's name in capitals behind this."""

PROJECT_FILE = "cot.toml"
"""Read from the current folder only, not from the folders above it."""

KEY_VARIABLE = "COT_API_KEY"
"""The key of a remote server. No setting, since settings are shown and recorded."""

DEFAULT = "default"
COMMAND_LINE = "command line"
"""Where a value came from, if from no variable and no file."""

MAX_FILE_BYTES = 2**20
"""A settings file is at most 1 MiB."""

_HOMES = ("XDG_CONFIG_HOME", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
"""Environment variables that say where the user's settings folder is."""

_log = logging.getLogger(__name__)


def load_settings(
    overrides: Mapping[str, object], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[Settings, dict[str, str]]:
    """Settings, and for each name where its value came from, for people.

    overrides: values from the command line; None means not given there.
    environment: instead of the process's. An empty variable counts as not set; an unknown
        `COT_*` variable is a logged warning, since another program may own it.
    folder: where `cot.toml` is looked for, instead of the current folder.
    Raises ConfigError for an unknown name in a file or in overrides, for a value of the
    wrong type or range anywhere, and for a path of a `cot.toml` that leads out of its folder.
    """
    environment = os.environ if environment is None else environment
    own, project = user_file(), (folder or Path()) / PROJECT_FILE
    values = _of_file(own)
    origins = dict.fromkeys(NAMES, DEFAULT) | dict.fromkeys(values, str(own))
    for name, value in _of_file(project).items():
        if name == "trace_dir" and name in values:
            continue
        origin = str(project)
        if name == "redact" and values.get(name, "none") != "none":
            before, value = values[name], _either(values[name], value)
            origin = str(own) if value == before else f"{project} and {own}"
        values[name], origins[name] = value, origin
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not text or variable == KEY_VARIABLE:
            continue
        if name not in NAMES or variable != PREFIX + name.upper():
            _log.warning("warning: environment variable %s is no setting%s", variable, _nearest(name, NAMES, PREFIX))
            continue
        values[name], origins[name] = _parsed(name, text, variable), variable
    for name, value in overrides.items():
        check_name(name)
        if value is not None:
            values[name] = _checked(name, value, f"--{name.replace('_', '-')}", Path())
            origins[name] = COMMAND_LINE
    told = {name: origin for name, origin in origins.items() if origin not in (DEFAULT, COMMAND_LINE)}
    settings = Settings.made_of(values, told, folders_file=str(project))
    for name, value in values.items():
        if isinstance(value, Path) and settings.set_by_folder(name):
            _check_below(project.parent, value, name, f"{name} in {project}")
    return settings, origins


def with_setting(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one of them changed, from the text that a person typed. Raises ConfigError."""
    check_name(name)
    return settings.with_value(name, _parsed(name, text, name))


def check_name(name: str, where: str = "") -> None:
    """Raises ConfigError for a name that no setting has. where: behind the name in the message."""
    if name not in NAMES:
        raise ConfigError(f"unknown setting {name!r}{where}{_nearest(name, NAMES)}; known: {', '.join(NAMES)}")


def user_file() -> Path:
    """The user's own settings file, which need not exist."""
    return _user_file(tuple(os.environ.get(name) for name in _HOMES))


@functools.lru_cache(maxsize=8)
def _user_file(homes: tuple[str | None, ...]) -> Path:
    # Remembered, since the templates of users' own lie beside it and every prompt looks for them there.
    return platformdirs.user_config_path("cot") / "config.toml"


def _of_file(path: Path) -> dict[str, object]:
    """The values of a settings file, checked one by one."""
    return {name: _checked(name, value, f"{name} in {path}", path.parent) for name, value in _read_file(path).items()}


def _either(own: object, folders: object) -> str:
    """What is left out of traces where two files say something of it."""
    if "all" in f"{own},{folders}".split(","):
        return "all"
    return ",".join(dict.fromkeys(what for what in f"{own},{folders}".split(",") if what != "none"))


def _check_below(folder: Path, path: Path, name: str, origin: str) -> None:
    """Raises ConfigError for a path that leads, by links too, out of the folder whose file names it."""
    with contextlib.suppress(OSError, RuntimeError):
        if path.resolve().is_relative_to(folder.resolve()):
            return
    raise ConfigError(
        f"{origin}: got {_short(str(path))}; expected a path below that file's folder, which may be a stranger's; if "
        f"you want this one, name it yourself, in {PREFIX}{name.upper()} or in your own settings file"
    )


def _read_file(path: Path) -> dict[str, object]:
    try:
        if path.is_fifo():
            raise ConfigError(f"{path} is a named pipe; expected a TOML file, or none")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; expected a TOML file, or none") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes; expected a small TOML file")
    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 at byte {error.start}; expected a TOML file in UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {reason(error)}; expected lines like: max_steps = 20") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply; expected lines like: max_steps = 20") from error
    for name in found:
        check_name(name, f" in {path}")
    return found


def _checked(name: str, value: object, origin: str, folder: Path) -> object:
    """A typed value: no text for a number, no bool for an int."""
    if isinstance(value, Path):
        value = str(value)
    empty_path = value == "" and Settings.model_fields[name].annotation is Path
    if not isinstance(value, str | int | float) or empty_path:
        raise ConfigError(f"{origin}: got {_short(value)}; expected {_expected(name)}")
    try:
        # Strict JSON knows no paths, so text becomes one, and keeps numbers, text and truth apart.
        checked = _type(name).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{origin}: got {_short(value)}; expected {_expected(name)}") from error
    return _located(checked, origin, folder)


def _parsed(name: str, text: str, variable: str) -> object:
    """The text of an environment variable."""
    try:
        return _located(_type(name).validate_strings(text), variable, Path())
    except ValidationError as error:
        raise ConfigError(f"{variable}: got {_short(text)}; expected {_expected(name)}") from error


def _located(value: object, origin: str, folder: Path) -> object:
    if not isinstance(value, Path):
        return value
    if "\0" in str(value):
        raise ConfigError(f"{origin}: got {_short(str(value))}; no path holds the character NUL; leave it out")
    try:
        # Absolute, since it is kept in conversations that are gone on with elsewhere.
        return (folder / value.expanduser()).absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"{origin}: got {str(value)!r}, a home folder that is not known; give the whole path"
        ) from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"{origin}: got {str(value)!r}, and the current folder was deleted; give the whole path"
        ) from error


@functools.cache
def _type(name: str) -> TypeAdapter[Any]:
    field = Settings.model_fields[name]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def _expected(name: str) -> str:
    """What a setting takes, in words: `an integer from 1 to 1000`."""
    schema = _type(name).json_schema()
    if "description" in schema:
        return str(schema["description"])
    if schema["type"] == "boolean":
        return "true or false"
    kind = {"integer": "an integer", "number": "a number", "string": "text"}[schema["type"]]
    if schema.get("format") == "path" and "examples" not in schema:
        return "the path of a folder, as text"
    if "examples" in schema:
        return f"text like {', '.join(map(repr, schema['examples']))}"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}, at most {schema['maximum']:g}"
    if "minimum" in schema:
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    return f"{kind}, not empty"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _nearest(name: str, known: tuple[str, ...], prefix: str = "") -> str:
    """`, did you mean 'max_steps'?`, or with a prefix `, did you mean 'COT_MAX_STEPS'?`, or nothing."""
    near = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
    return f", did you mean {prefix + near[0].upper() if prefix else near[0]!r}?" if near else ""
