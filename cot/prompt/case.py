"""Cases beside a template: what its prompt must look like, and what its answers must be.

In: `<step>.cases.yaml`, a list of cases. Out: a `Result` for each. A case says its inputs; what must hold of the
prompt made of them (`prompt`); the model's answer, recorded (`output`) or to be asked for (`live: true`);
and what must hold of that (`expect`). Parsers, the tokenizer and the model are arguments: this file knows none.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from cot.errors import CotError, PromptError
from cot.image import LoadedImage, load_image
from cot.prompt.matter import first_problem, read_yaml
from cot.prompt.source import Located, inside, read_inside
from cot.prompt.template import Rendered, Template

MAX_CASES: Final = 1000
MAX_CASES_BYTES: Final = 2**20

Parse = Callable[[str, str, Sequence[str]], object]
"""Model text, kind and choices -> its value. Raises CotError if it is not of the kind."""
Count = Callable[[str], int]
"""Tokens of a text."""
Ask = Callable[[Rendered, "Case", tuple[LoadedImage, ...]], Awaitable[tuple[str, int]]]
"""A rendered case -> what a model says to it, and its tokens."""


class Checks(BaseModel):
    """What must hold of a text. Those that are not given are not asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contains: str | tuple[str, ...] = ()
    """One text, or several, that must all be in it."""
    equals: str | None = None
    """The whole text, blanks around it aside."""
    matches: str | None = Field(default=None, max_length=1000)
    """A regular expression (Python's) that must match somewhere; `^` and `$` hold it to lines."""
    parses_as: str | None = Field(default=None, alias="parses-as")
    """A kind of output that it must be read as: `count`, `yes_no`, `plan`, `json`."""
    max_tokens: int | None = Field(default=None, alias="max-tokens", ge=0)
    """Tokens at most."""

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"got {pattern!r}; expected a regular expression: {error}") from error
        return pattern


class Case(BaseModel):
    """One case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """What it shows, for people."""
    inputs: dict[str, Any] = {}
    """What the template is rendered with."""
    images: tuple[str, ...] = ()
    """Paths of the question's images, relative to the case file; only live cases need them."""
    prompt: Checks = Checks()
    """What must hold of the rendered prompt."""
    output: str | None = None
    """A recorded answer."""
    live: bool = False
    """Whether a model is asked instead."""
    expect: Checks = Checks()
    """What must hold of the answer."""

    @model_validator(mode="after")
    def _checks_something(self) -> "Case":
        answered = self.live or self.output is not None
        if self.live and self.output is not None:
            raise ValueError("got both `output` and `live: true`; expected one: a recorded answer or a model's")
        if self.expect != Checks() and not answered:
            raise ValueError("got `expect` without an answer; add `output: ...` or `live: true`")
        if self.prompt == Checks() and self.expect == Checks():
            raise ValueError("it checks nothing; add `prompt: {contains: ...}`, or `expect` with an answer")
        return self


@dataclass(frozen=True)
class Result:
    """How a case went. problems: empty unless it failed. output: what was checked, if there was an answer."""

    case: str
    status: Literal["passed", "failed", "skipped"]
    problems: tuple[str, ...] = ()
    output: str | None = None


def read_cases(found: Located) -> tuple[Case, ...]:
    """The cases of a template; none if it has no case file. Raises PromptError if the file is malformed."""
    path = found.cases_path
    if not path.exists():
        return ()
    text = read_inside(path, found.folder.path, name=path.name, max_bytes=MAX_CASES_BYTES)
    raw = read_yaml(text, origin=str(path))
    if not isinstance(raw, list) or not 0 < len(raw) <= MAX_CASES:
        raise PromptError(f"{path}: expected a list of 1 to {MAX_CASES} cases, each `- name: ...`")
    try:
        return TypeAdapter(tuple[Case, ...]).validate_python(raw)
    except ValidationError as error:
        raise PromptError(f"{path}: case {first_problem(error)} (the first case is 0)") from error


async def run_case(
    template: Template, case: Case, found: Located, *, parse: Parse, count: Count, ask: Ask | None = None
) -> Result:
    """Render a case and check it; live ones are skipped if there is no model to ask."""
    try:
        rendered = template.render(**case.inputs)
        choices = _choices(template.checked(case.inputs).get("choices"))
        problems = [f"prompt: {p}" for p in failed(case.prompt, rendered.transcript, parse, count, choices)]
        if case.live and ask is None:
            return Result(case.name, "failed" if problems else "skipped", tuple(problems))
        output = case.output
        if case.live and ask is not None:
            output, tokens = await ask(rendered, case, case_images(case, found))
            count = {output: tokens}.__getitem__  # the engine's own count
        if output is not None:
            problems += failed(case.expect, output, parse, count, choices)
    except CotError as error:
        return Result(case.name, "failed", (str(error),))
    return Result(case.name, "failed" if problems else "passed", tuple(problems), output)


def case_images(case: Case, found: Located) -> tuple[LoadedImage, ...]:
    """The images of a case. Raises PromptError or ImageError."""
    folder = found.path.parent
    return tuple(load_image(Path(inside(folder / path, found.folder.path, name=case.name))) for path in case.images)


def failed(checks: Checks, text: str, parse: Parse, count: Count, choices: Sequence[str]) -> list[str]:
    """What does not hold of a text, each with what was got and what was expected."""
    problems = []
    wanted = (checks.contains,) if isinstance(checks.contains, str) else checks.contains
    problems += [f"contains: got {_short(text)}; expected {_short(part)} in it" for part in wanted if part not in text]
    if checks.equals is not None and text.strip() != checks.equals.strip():
        problems.append(f"equals: got {_short(text)}; expected {_short(checks.equals)}")
    if checks.matches is not None and not re.search(checks.matches, text, re.MULTILINE):
        problems.append(f"matches: got {_short(text)}; expected a match of {_short(checks.matches)}")
    if checks.parses_as is not None:
        try:
            parse(text, checks.parses_as, choices)
        except CotError as error:
            problems.append(f"parses-as {checks.parses_as}: {error}")
    if checks.max_tokens is not None and (tokens := count(text)) > checks.max_tokens:
        problems.append(f"max-tokens: got {tokens}; expected at most {checks.max_tokens}")
    return problems


def _choices(given: object) -> tuple[str, ...]:
    return tuple(str(choice) for choice in given) if isinstance(given, list | tuple) else ()


def _short(text: str) -> str:
    return repr(text if len(text) <= 160 else f"{text[:100]}…{text[-50:]}")
