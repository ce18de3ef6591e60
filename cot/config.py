"""Settings: what the user may choose, and where each value came from.

In: command line values, `COT_*` environment variables, `./cot.toml`, and the user's
`config.toml`, the first that names a setting wins. Out: a frozen `Settings`, and the
folders that ship with the package. Settings are read once; nothing is written.
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
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from cot.errors import ConfigError, reason
from cot.image import DEFAULT_MAX_PIXELS, HARD_MAX_PIXELS, ImageLimits
from cot.source import DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT_SECONDS

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

CALIBRATION_FILE = "calibration.json"
"""Name of the file in a checkpoint's folder that is read where the user's own says nothing of the model."""

_HOMES = ("XDG_CONFIG_HOME", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
"""Environment variables that say where the user's settings folder is."""

_log = logging.getLogger(__name__)


class Settings(BaseModel):
    """What the user may choose. Made by `load_settings`; each field is one name in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    model: str = Field(default="embedded", min_length=1)
    """`embedded`, a checkpoint folder, a Hugging Face model id, or a server's URL: `http://host:8000/v1#model`."""
    strategy: str = Field(
        default="route", pattern=r"^[a-z][a-z0-9_]*$",
        description="a name of a to z, 0 to 9 and _, a letter first, as in route or decompose",
    )  # fmt: skip
    """How a question is answered: `route`, `decompose`, `direct`, `cot`, `vote`, `verify`, or one of your own."""
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,4})?$", examples=["en", "zh"])
    """Language of the prompt templates; steps without a translation are asked in English."""
    system: str = Field(default="", max_length=4000, examples=["Answer in one word."])
    """A system message before every prompt of `cot ask` and `cot chat`; empty for none."""
    templates: str = Field(
        default="", max_length=1000, pattern=r"^([\w-]+/[\w-]+=[\w-]+/[\w-]+(,[\w-]+/[\w-]+=[\w-]+/[\w-]+)*)?$",
        examples=["direct/answer=terse/answer"],
    )  # fmt: skip
    """Templates in place of those of a step, for `cot ask` and `cot chat`; they must take and give the same."""
    memory: str = Field(default="auto", pattern=r"^(auto|on|off)$", examples=["auto", "on", "off"])
    """Whether a chat puts a follow-up into words that stand alone; `auto`: not with `embedded`, which cannot."""
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$", examples=["auto", "cpu", "mps", "cuda", "cuda:1"]
    )
    """`auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or `cuda:1`."""
    quantize: str = Field(default="none", pattern=r"^(none|nf4|fp4|int8)$", examples=["none", "nf4", "fp4", "int8"])
    """How the decoder of a local model shrinks while it is loaded; `none` leaves the checkpoint as it is."""
    kv_memory: str = Field(
        default="auto", pattern=r"^(auto|[1-9][0-9]{0,6}(MiB|GiB))$",
        description="auto, or a whole number of MiB or GiB, as in 512MiB or 2GiB",
    )  # fmt: skip
    """Memory for keys and values of a local model; `auto` is a quarter of what is free."""
    compile: bool = False
    """Whether a local model's decoding is compiled, which takes a while at first and pays over many answers."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of everything that is drawn at random."""
    max_steps: int = Field(default=32, ge=1, le=1000)
    """Steps of one chain at most."""
    max_tokens: int = Field(default=2048, ge=1, le=10_000_000)
    """Tokens generated for one question at most, over all its steps."""
    max_seconds: float = Field(default=300.0, gt=0, le=1e6, allow_inf_nan=False)
    """Seconds spent on one question at most, loading the model not counted."""
    trace_dir: Path = Field(default_factory=lambda: platformdirs.user_state_path("cot") / "traces")
    """Folder of the traces. In a settings file it is relative to that file."""
    redact: str = Field(
        default="none", pattern=r"^(none|(prompts|images|all)(,(prompts|images|all))*)$",
        examples=["none", "prompts", "images", "prompts,images", "all"],
    )  # fmt: skip
    """What is left out of traces as they are written, with what could repeat it."""
    calibration: Path = Field(
        default_factory=lambda: platformdirs.user_config_path("cot") / CALIBRATION_FILE, examples=["calibration.json"]
    )
    """File of what strategies and confidences are tuned by for each model, as `cot calibrate` writes it; it need not
    exist. Relative as `trace_dir` is."""
    max_image_pixels: int = Field(default=DEFAULT_MAX_PIXELS, ge=1, le=HARD_MAX_PIXELS)
    """Width times height of an image at most."""
    max_image_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=1, le=2**32)
    """Size of an image file at most, in bytes."""
    image_timeout_seconds: float = Field(default=DEFAULT_TIMEOUT_SECONDS, gt=0, le=3600, allow_inf_nan=False)
    """Seconds that the download of one image may take."""

    _set_by: dict[str, tuple[object, str]] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same, wherever they came from."""
        return isinstance(other, Settings) and dict(self) == dict(other)

    def set_by(self, name: str) -> str:
        """The environment variable or file that gave a setting its value; empty if neither did."""
        value, origin = self._set_by.get(name, (None, ""))
        return origin if value == getattr(self, name) else ""

    @property
    def kv_bytes(self) -> int | None:
        """`kv_memory` in bytes, None for `auto`."""
        if self.kv_memory == "auto":
            return None
        return int(self.kv_memory[:-3]) * {"MiB": 2**20, "GiB": 2**30}[self.kv_memory[-3:]]

    @property
    def image_limits(self) -> ImageLimits:
        """What an image may cost to open."""
        return ImageLimits(self.max_image_bytes, self.max_image_pixels, self.image_timeout_seconds)


NAMES = tuple(Settings.model_fields)
"""The settings, in order."""


def load_settings(
    overrides: Mapping[str, object], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[Settings, dict[str, str]]:
    """Settings, and for each name where its value came from, for people.

    overrides: values from the command line; None means not given there.
    environment: instead of the process's. An empty variable counts as not set; an unknown
        `COT_*` variable is a logged warning, since another program may own it.
    folder: where `cot.toml` is looked for, instead of the current folder.
    Raises ConfigError for an unknown name in a file or in overrides, and for a value of the
    wrong type or range anywhere.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    origins = dict.fromkeys(NAMES, DEFAULT)
    for path in (user_file(), (folder or Path()) / PROJECT_FILE):
        for name, value in _read_file(path).items():
            values[name], origins[name] = _checked(name, value, f"{name} in {path}", path.parent), str(path)
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
    settings = Settings.model_validate(values)
    settings._set_by.update(
        (name, (values[name], origin)) for name, origin in origins.items() if origin not in (DEFAULT, COMMAND_LINE)
    )
    return settings, origins


def with_setting(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one of them changed, from the text that a person typed. Raises ConfigError."""
    check_name(name)
    return settings.model_copy(update={name: _parsed(name, text, name)})


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


def prompts_folder() -> Path:
    """Folder of the prompt templates, one folder a strategy."""
    return _shipped("prompts")


def tasks_folder() -> Path:
    """Folder of the evaluation tasks."""
    return _shipped("tasks")


def suites_folder() -> Path:
    """Folder of the evaluation suites."""
    return _shipped("suites", "evals/suites")


def weights_folder() -> Path:
    """Folder of the embedded model: an ordinary transformers checkpoint."""
    folder = Path(__file__).resolve().parent / "weights"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"the embedded model is not in {folder}; expected config.json there; install cot again")
    return folder


def model_folder(model: str | Path) -> Path | None:
    """The checkpoint folder that a model's name stands for, if there is one. Raises ConfigError as `weights_folder`."""
    if model == "embedded":
        return weights_folder()
    # An unknown home folder, or a name that no folder can have, is no folder either.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        folder = Path(model).expanduser()
        if folder.is_dir():
            return folder
    return None


def is_server(model: str) -> bool:
    """Whether a model's name is the URL of a server."""
    return model.lower().startswith(("http://", "https://"))


def _shipped(name: str, place: str | None = None) -> Path:
    """A folder that a wheel has inside the package, and a checkout beside it, at `place` if not under its name."""
    package = Path(__file__).resolve().parent
    if (package / name).is_dir():
        return package / name
    beside = package.parent / (place or name)
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise ConfigError(f"the folder {name} is neither in {package} nor beside it; install cot again")


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
