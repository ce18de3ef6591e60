"""Front matter: what a template says about itself.

In: the text of a template file. Out: `FrontMatter`, and the body behind it. It renders nothing.
"""

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cot.errors import PromptError, reason
from cot.prompt.plain_yaml import load_plain
from cot.prompt.sandbox import IMAGES

OUTPUTS: Final = (
    "text", "choice", "number", "yes_no", "count", "phrase", "plan", "region", "wants",
)  # fmt: skip
"""What the model's text can be held to by name; `wants`: the kind that the input `wants` names."""

MAX_EXAMPLES: Final = 32

_KINDS: Final[dict[str, type | tuple[type, ...]]] = {"text": str, "number": (int, float), "list": (list, tuple)}
_IN_YAML: Final = {
    "extra_forbidden": "there is no such key",
    "tuple_type": "Input should be a list, like [a, b]",
    "string_type": "Input should be text; put numbers, dates, true and false between quotes",
}
"""What pydantic calls otherwise than who writes YAML does."""
_RESERVED: Final = ("self", "super", "loop", IMAGES)


class Input(BaseModel):
    """One input of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "number", "list"]
    """Type of the value."""
    required: bool = False
    """Whether it must be given."""
    default: Any = None
    """Value where it is not given."""

    def fits(self, value: object) -> bool:
        """Whether a value is of this kind."""
        return isinstance(value, _KINDS[self.kind]) and not isinstance(value, bool)

    @model_validator(mode="after")
    def _default_fits(self) -> "Input":
        if self.default is not None and not self.fits(self.default):
            raise ValueError(f"got the default {self.default!r}; expected a {self.kind}")
        return self


class Example(BaseModel):
    """A question with its answer, shown to the model before the real one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str | None = None
    """Path of an image, relative to the template."""
    inputs: dict[str, Any] = {}
    """What the template is rendered with."""
    output: str
    """What the model should say to that."""


class FrontMatter(BaseModel):
    """What stands between the `---` lines of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Folder and file name without ending: `decompose/plan`; the same in every language."""
    description: str
    """One sentence for people."""
    version: int = Field(default=1, ge=1)
    """Raised with every change of meaning."""
    inputs: dict[str, Input] = {}
    """Names that the template may use."""
    output: str | dict[str, Any] = "text"
    """What the model's text must be: a name of `OUTPUTS`, or `{json_schema: ...}`."""
    max_tokens: int = Field(default=256, ge=1, le=4096)
    """Tokens that the answer may take."""
    stop: tuple[str, ...] = Field(default=(), max_length=8)
    """The model's text ends before the first of these."""
    examples: tuple[Example, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    """Shown to the model first, each as a turn of its own."""

    @property
    def json_schema(self) -> str | None:
        """The schema that the output must fit, as JSON text; None if it is not JSON."""
        return json.dumps(self.output["json_schema"]) if isinstance(self.output, dict) else None

    @field_validator("output", mode="before")
    @classmethod
    def _known_output(cls, output: object) -> str | dict[str, Any]:
        if isinstance(output, dict):
            if list(output) == ["json_schema"] and isinstance(output["json_schema"], dict):
                _check_json(output)
                return output
        elif isinstance(output, str) and output in OUTPUTS:
            return output
        raise ValueError(f"got {output!r}; expected one of {', '.join(OUTPUTS)}, or {{json_schema: {{...}}}}")

    @field_validator("inputs")
    @classmethod
    def _usable_names(cls, inputs: dict[str, Input]) -> dict[str, Input]:
        for name in inputs:
            if not name.isidentifier() or name in _RESERVED:
                raise ValueError(
                    f"got the input name {name!r}; expected letters, digits and _, and none of {_RESERVED}"
                )
        return inputs

    @field_validator("stop")
    @classmethod
    def _stop_is_text(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if not all(stop):
            raise ValueError("got an empty stop text; expected at least one character")
        return stop


def _check_json(output: dict[str, Any]) -> None:
    try:
        json.dumps(output, allow_nan=False)
    except (TypeError, ValueError) as error:  # YAML has .nan and .inf, JSON has not
        raise ValueError(f"{error}; expected what JSON can say") from error


def split_source(source: str) -> tuple[str | None, str]:
    """Front matter (None if there is none) and body."""
    if not source.startswith("---\n") or "\n---\n" not in source[3:]:
        return None, source
    head, _, body = source[3:].partition("\n---\n")
    return head, body


def read_yaml(text: str, *, origin: str) -> Any:
    """YAML without tags, aliases and names that are given twice. Raises PromptError, naming the origin."""
    try:
        return load_plain(text)
    except ValueError as error:
        raise PromptError(
            f"{origin} is not YAML: {reason(error)}; expected lines like `key: value`, and texts with ?, : or # between"
            " quotes"
        ) from error


def read_matter(head: str, *, name: str) -> FrontMatter:
    """Check front matter. Raises PromptError with the first thing that is wrong."""
    return check_matter(read_yaml(head, origin=f"{name}: front matter"), name=name)


def check_matter(found: Any, *, name: str) -> FrontMatter:
    """The same for YAML that was read already."""
    try:
        matter = FrontMatter.model_validate(found)
    except ValidationError as error:
        raise PromptError(f"{name}: front matter is not valid: {first_problem(error)}") from error
    if matter.name != name:
        raise PromptError(f"{name}: its front matter says name: {matter.name}; expected {name}")
    return matter


def unlike(old: FrontMatter, new: FrontMatter) -> str:
    """Why a template cannot stand in place of another, which takes and gives something else; empty if it can."""
    if json.dumps(old.output, sort_keys=True) != json.dumps(new.output, sort_keys=True):
        shown = [one.output if isinstance(one.output, str) else "JSON" for one in (new, old)]
        return f"its output is {shown[0]}, expected {shown[1]}"
    given = {name: spec.kind for name, spec in old.inputs.items()}
    for name, kind in given.items():
        if name not in new.inputs or new.inputs[name].kind != kind:
            return f"it has no input {name!r} of the kind {kind}"
    missing = [name for name, spec in new.inputs.items() if spec.required and name not in given]
    return f"it needs the input {missing[0]!r}, which this step does not have" if missing else ""


def first_problem(error: ValidationError) -> str:
    """What pydantic found first: `inputs.question.kind: Input should be ...`."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = _IN_YAML.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
