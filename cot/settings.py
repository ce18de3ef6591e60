"""What the user may choose: names, types, ranges and defaults of the settings.

In: checked values. Out: a frozen `Settings`. `cot.config` finds the values, and makes one of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from cot.image import DEFAULT_MAX_PIXELS, HARD_MAX_PIXELS, ImageLimits
from cot.model import CALIBRATION_FILE, EMBEDDED
from cot.source import DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT_SECONDS


class Settings(BaseModel):
    """What the user may choose. Made by `load_settings`; each field is one name in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    model: str = Field(default=EMBEDDED, min_length=1)
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
    _folders_file: str = PrivateAttr(default="")

    @classmethod
    def made_of(cls, values: Mapping[str, object], origins: Mapping[str, str], *, folders_file: str = "") -> Self:
        """Settings of checked values. origins: by name, the environment variable or file that gave one, if any did.
        folders_file: that of them which came with a folder."""
        settings = cls.model_validate(values)
        settings._folders_file = folders_file
        settings._set_by.update((name, (values[name], origin)) for name, origin in origins.items())
        return settings

    def with_value(self, name: str, value: object) -> Self:
        """The same with a value that a person gave: no variable and no file did, even if one says the same."""
        changed = self.model_copy(update={name: value})
        changed._set_by = {other: by for other, by in self._set_by.items() if other != name}
        return changed

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same, wherever they came from."""
        return isinstance(other, Settings) and dict(self) == dict(other)

    def set_by(self, name: str) -> str:
        """The environment variable or file that gave a setting its value; empty if neither did."""
        value, origin = self._set_by.get(name, (None, ""))
        return origin if value == getattr(self, name) else ""

    def set_by_folder(self, name: str) -> bool:
        """Whether a setting has its value from a file that may be a stranger's, as it came with a folder."""
        return bool(self._folders_file) and self.set_by(name) == self._folders_file

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
