"""Users' own strategies: a folder of templates, and a file that says which steps follow which.

In: `strategy.yaml` in a folder of templates. Out: an `OwnStrategy`, all of which was checked, its templates and tools
too. `follow_own` follows it.
"""

import hashlib
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cot.answer import show_value
from cot.errors import PromptError, ToolError
from cot.planner.asking import check_output
from cot.prompt import load_template, search_path
from cot.prompt.matter import FrontMatter, first_problem, read_yaml
from cot.prompt.source import read_inside
from cot.step import Value
from cot.tools.find import find_tool
from cot.tools.tool import Tool

FILE: Final = "strategy.yaml"
MAX_STEPS: Final = 16
_NAME: Final = r"^[a-z][a-z0-9_]{0,39}$"
_GIVEN: Final = {"question": "text", "choices": "list"}
"""Inputs that every template may take without saying from where, and their kinds."""


class OwnStep(BaseModel):
    """One question to the model, or one use of a tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    """What later steps call its answer."""
    template: str | None = None
    """`strategy/step`; by default the one of this name in the strategy's own folder."""
    tool: str | None = Field(default=None, min_length=1)
    """A tool that is used in place of a question to the model."""
    takes: dict[str, str] = Field(default_factory=dict)
    """Input of the template, or argument of the tool -> the earlier step whose answer goes there."""
    arguments: dict[str, Value] = Field(default_factory=dict)
    """Arguments of the tool that are always the same; a list of numbers is written as text: `[0, 0, 1, 0.5]`."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _plain(cls, arguments: object) -> object:
        if not isinstance(arguments, dict):
            return arguments
        plain = {}
        for name, value in arguments.items():
            if isinstance(value, list) and all(type(part) in (int, float) for part in value):
                value = f"[{', '.join(map(show_value, value))}]"
            if not isinstance(value, Value):
                raise ValueError(f"got {value!r:.80} for {name!r}; expected text, a number, true or false")
            plain[name] = value
        return plain

    @model_validator(mode="after")
    def _asks_or_uses(self) -> "OwnStep":
        if self.tool and self.template:
            raise ValueError("got both `template` and `tool`; expected one of them")
        if self.arguments and not self.tool:
            raise ValueError("got `arguments` without a tool; a template's inputs are filled in by `takes`")
        if both := sorted(set(self.arguments) & set(self.takes)):
            raise ValueError(f"got {both[0]!r} in `arguments` and in `takes`; expected it in one of them")
        return self


class OwnStrategy(BaseModel):
    """What a `strategy.yaml` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    """One sentence for people."""
    steps: tuple[OwnStep, ...] = Field(min_length=1, max_length=MAX_STEPS)
    """In an order in which each comes behind those that it takes from."""
    answer: str | None = None
    """The step whose answer is that of the whole question; by default the last one."""

    @property
    def last(self) -> str:
        """Name of the step that answers."""
        return self.answer or self.steps[-1].name


def own_strategies() -> dict[str, str]:
    """Names of users' own strategies, and the file of each; the first folder of the search path that has one wins."""
    found: dict[str, str] = {}
    for folder in search_path():
        for path in sorted(folder.path.glob(f"*/{FILE}")):
            found.setdefault(path.parent.name, str(path))
    return dict(sorted(found.items()))


def load_own(name: str) -> tuple[OwnStrategy, str] | None:
    """A user's own strategy and the SHA-256 of its file; None if there is none of this name.

    Raises PromptError for the first thing that is wrong with it or with one of its templates.
    """
    for folder in search_path():
        path = folder.path / name / FILE
        if not path.exists():
            continue
        text = read_inside(path, folder.path, name=str(path))
        try:
            strategy = OwnStrategy.model_validate(read_yaml(text, origin=str(path)))
        except ValidationError as error:
            raise PromptError(f"{path}: {first_problem(error)}; expected description, steps and answer") from error
        _check(name, strategy, str(path))
        return strategy, hashlib.sha256(text.encode()).hexdigest()
    return None


def _check(name: str, strategy: OwnStrategy, origin: str) -> None:
    before: list[str] = []
    for step in strategy.steps:
        where = f"{origin}: step {step.name!r}"
        if step.name in (*before, *_GIVEN):
            raise PromptError(f"{where}: the name is taken; expected another than {', '.join((*before, *_GIVEN))}")
        for other in step.takes.values():
            if other not in before:
                known = ", ".join(before) or "none"
                raise PromptError(f"{where} takes from {other!r}; expected an earlier step: {known}")
        if step.tool:
            _check_tool(step.tool, step, where)
        else:
            _check_template(load_template(template_of(name, step)).matter, step, where)
        before.append(step.name)
    if strategy.last not in before:
        raise PromptError(f"{origin}: got the answer {strategy.last!r}; expected a step: {', '.join(before)}")
    if next(step for step in strategy.steps if step.name == strategy.last).tool:
        raise PromptError(f"{origin}: the step {strategy.last!r} answers, and uses a tool; expected one that asks")


def _check_tool(name: str, step: OwnStep, where: str) -> None:
    try:
        tool = find_tool(name)
        tool.check(step.arguments, later=(*step.takes, "question"))
    except ToolError as error:
        raise PromptError(f"{where}: {error}") from error
    for taken in step.takes:
        if taken not in tool.arguments.model_fields:
            known = ", ".join(tool.arguments.model_fields) or "none"
            raise PromptError(f"{where}: the tool {name} has no argument {taken!r}; its arguments: {known}")


def _check_template(matter: FrontMatter, step: OwnStep, where: str) -> None:
    for taken in step.takes:
        if taken not in matter.inputs or matter.inputs[taken].kind != "text":
            texts = ", ".join(name for name, spec in matter.inputs.items() if spec.kind == "text") or "none"
            raise PromptError(f"{where}: {matter.name} has no text input {taken!r}; its text inputs: {texts}")
    for given, spec in matter.inputs.items():
        if spec.required and given not in step.takes and given not in _GIVEN:
            raise PromptError(f"{where}: {matter.name} needs {given!r}; say which step it takes it from")
    for given, kind in _GIVEN.items():
        declared = matter.inputs.get(given)
        if declared and declared.kind != kind and given not in step.takes:
            raise PromptError(f"{where}: {matter.name} has {given!r} of the kind {declared.kind}; expected a {kind}")
    if matter.output in ("plan", "wants", "choice"):
        raise PromptError(
            f"{where}: {matter.name} has the output {matter.output!r}; expected text, phrase, number, count, yes_no,"
            " region or a JSON schema"
        )
    check_output(matter)


def template_of(strategy: str, step: OwnStep) -> str:
    """Name of the template of a step that uses no tool."""
    return step.template or f"{strategy}/{step.name}"


def templates_of(name: str, strategy: OwnStrategy) -> set[str]:
    """Names of all templates that a strategy asks with."""
    return {template_of(name, step) for step in strategy.steps if not step.tool}


def tools_of(strategy: OwnStrategy) -> dict[str, Tool]:
    """The tools that a strategy uses, by name. Raises ToolError."""
    return {step.tool: find_tool(step.tool) for step in strategy.steps if step.tool}


def tool_versions(strategy: OwnStrategy) -> dict[str, str]:
    """What its tools come from, as traces and runs keep it: `tool read_text` -> packages and versions."""
    return {f"tool {name}": tool.version for name, tool in tools_of(strategy).items()}
