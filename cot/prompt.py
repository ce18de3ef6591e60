"""Template file -> rendered text and hashes.

In: the name of a template (`decompose/plan`) and its inputs. Out: a `Rendered` prompt.
Templates are Jinja with YAML front matter, in an immutable sandbox and of a small part of the
language: text, inputs, conditions, filters and loops that do not nest. So what a template can cost is
bounded by its own size and that of its inputs. Undefined names, unknown inputs, wrong kinds and
outputs beyond `MAX_RENDERED_CHARACTERS` are errors.
It asks no model and knows no strategy.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import jinja2
import yaml
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cot.config import prompts_folder
from cot.errors import PromptError, reason

MAX_TEMPLATE_BYTES: Final = 100_000
MAX_RENDERED_CHARACTERS: Final = 50_000

_ALLOWED_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Concat, nodes.List, nodes.Tuple, nodes.Filter, nodes.Test,
    nodes.Keyword,
)  # fmt: skip
_ALLOWED_FILTERS: Final = (
    "abs", "capitalize", "count", "default", "first", "float", "int", "join", "last", "length", "lower", "replace",
    "reverse", "sort", "string", "title", "trim", "truncate", "unique", "upper",
)  # fmt: skip

_KINDS: Final[dict[str, type | tuple[type, ...]]] = {"text": str, "number": (int, float), "list": (list, tuple)}


class Input(BaseModel):
    """One input of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "number", "list"]
    """Type of the value."""
    required: bool = False
    """Whether it must be given."""
    default: Any = None
    """Value where it is not given."""


class FrontMatter(BaseModel):
    """What stands between the `---` lines of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Folder and file name without ending: `decompose/plan`."""
    description: str
    """One sentence for people."""
    version: int = Field(ge=1)
    """Raised with every change of meaning."""
    inputs: dict[str, Input]
    """Names that the template may use."""
    output: Literal["text", "choice", "number", "yes_no", "plan", "wants"]
    """What the model's text must be; `wants`: the type that the sub-question asks for."""
    max_tokens: int = Field(ge=1, le=4096)
    """Tokens that the answer may take."""


@dataclass(frozen=True)
class Rendered:
    """A prompt, ready to send.

    template_sha256: of the template file's bytes. sha256: of the rendered text, UTF-8.
    """

    text: str
    template: str
    template_sha256: str
    sha256: str
    max_tokens: int


@dataclass(frozen=True)
class Template:
    """A loaded template."""

    matter: FrontMatter
    sha256: str
    body: jinja2.Template

    def render(self, **inputs: Any) -> Rendered:
        """Fill the template in. Raises PromptError for missing, unknown or wrong inputs, or a failing template."""
        values = self._checked(inputs)
        pieces: list[str] = []
        length = 0
        try:
            for piece in self.body.generate(**values):
                length += len(piece)
                if length > MAX_RENDERED_CHARACTERS:
                    raise PromptError(
                        f"{self.matter.name}: rendered text exceeds {MAX_RENDERED_CHARACTERS:,} characters;"
                        " shorten its inputs or its loops"
                    )
                pieces.append(piece)
        except PromptError:
            raise
        except Exception as error:  # a template can make any operation fail
            raise PromptError(f"{self.matter.name}: {error}") from error
        text = "".join(pieces).strip()
        return Rendered(
            text, self.matter.name, self.sha256, hashlib.sha256(text.encode()).hexdigest(), self.matter.max_tokens
        )

    def _checked(self, inputs: dict[str, Any]) -> dict[str, Any]:
        known = self.matter.inputs
        if unknown := sorted(set(inputs) - set(known)):
            raise PromptError(f"{self.matter.name}: unknown inputs {unknown}; known: {sorted(known)}")
        values = {}
        for name, spec in known.items():
            if name not in inputs and spec.required:
                raise PromptError(f"{self.matter.name}: input {name!r} ({spec.kind}) is missing")
            value = inputs.get(name, spec.default)
            if name in inputs and not isinstance(value, _KINDS[spec.kind]):
                raise PromptError(f"{self.matter.name}: input {name!r} must be a {spec.kind}, got {value!r}")
            values[name] = value
        return values


def _bounded(grow: Callable[..., str]) -> Callable[..., str]:
    """A filter that can multiply text, with what it takes bounded before it works."""

    def filtered(value: Any, *arguments: Any) -> str:
        sizes = [len(a) for a in (value, *arguments) if hasattr(a, "__len__")]
        if len(sizes) > 1 and (max(sizes) + 1) * (sum(sizes) - max(sizes) + 1) > 10 * MAX_RENDERED_CHARACTERS:
            raise jinja2.exceptions.SecurityError("a filter was given too much text")
        return grow(value, *arguments)

    return filtered


def _environment() -> ImmutableSandboxedEnvironment:
    # Templates say where lines end; a block that ends a line does not swallow the break.
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=False)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _ALLOWED_FILTERS}
    environment.filters["join"] = _bounded(lambda values, separator="": separator.join(str(v) for v in values))
    environment.filters["replace"] = _bounded(lambda text, old, new: str(text).replace(old, new))
    return environment


def _check(node: nodes.Node, *, in_loop: bool = False) -> None:
    """Raises TemplateSyntaxError at the first thing that is not allowed."""
    name = type(node).__name__.lower()
    if not isinstance(node, _ALLOWED_NODES):
        raise jinja2.TemplateSyntaxError(f"{name} is not allowed in templates", node.lineno)
    if isinstance(node, nodes.For):
        if in_loop:
            raise jinja2.TemplateSyntaxError("a loop in a loop is not allowed in templates", node.lineno)
        in_loop = True
    for child in node.iter_child_nodes():
        _check(child, in_loop=in_loop)


def parse_template(source: str, *, name: str) -> Template:
    """Read a template from its text. Raises PromptError, naming the template."""
    if not source.startswith("---\n") or "\n---\n" not in source[4:]:
        raise PromptError(f"{name}: expected YAML front matter between two `---` lines at the top")
    head, _, body = source[4:].partition("\n---\n")
    try:
        matter = FrontMatter.model_validate(yaml.safe_load(head))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromptError(f"{name}: front matter is not valid: {where}: {first['msg']}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PromptError(f"{name}: front matter is not YAML: {reason(error)}") from error
    if matter.name != name:
        raise PromptError(f"{name}: its front matter says name: {matter.name}; expected {name}")
    try:
        _check(_ENVIRONMENT.parse(body))
        compiled = _ENVIRONMENT.from_string(body)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"{name}: line {error.lineno} of its body: {error.message}") from error
    except (RecursionError, ValueError, ArithmeticError) as error:
        raise PromptError(f"{name}: its body cannot be read: {error}") from error
    return Template(matter, hashlib.sha256(source.encode()).hexdigest(), compiled)


_ENVIRONMENT: Final = _environment()


@cache
def load_template(name: str) -> Template:
    """Load a shipped template by name. Raises PromptError if there is none or it is malformed."""
    folder = Path(prompts_folder()).resolve()
    path = (folder / f"{name}.jinja").resolve()
    if folder not in path.parents or not path.is_file():
        known = sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.jinja"))
        raise PromptError(f"no template {name!r}; known: {', '.join(known)}")
    if path.stat().st_size > MAX_TEMPLATE_BYTES:
        raise PromptError(f"{name}: larger than {MAX_TEMPLATE_BYTES:,} bytes")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{name}: cannot be read: {error}; expected text in UTF-8") from error
    return parse_template(source, name=name)
