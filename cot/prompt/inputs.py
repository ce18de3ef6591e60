"""Inputs for looking at a template: those that a person types, or examples.

In: `name=value` texts, or a template with its examples and cases. Out: values of the declared kinds.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from cot.errors import PromptError, UsageError
from cot.prompt.case import read_cases
from cot.prompt.matter import FrontMatter, Input
from cot.prompt.source import Located

_MADE_UP: Final[dict[str, Any]] = {"number": 3, "list": ["one", "two"]}


def typed_inputs(given: Sequence[str], matter: FrontMatter) -> dict[str, Any]:
    """Values of `name=value` texts. A list is JSON, or comma separated. Raises UsageError."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"got the input {text!r}; expected name=value, for example question='How many dogs?'")
        if name not in matter.inputs:
            raise UsageError(f"got the input {name!r}; {matter.name} knows {', '.join(matter.inputs) or 'none'}")
        if name in values:
            raise UsageError(f"got the input {name!r} twice; give it once, a list as {name}=a,b")
        values[name] = _typed(name, value, matter.inputs[name])
    return values


def example_inputs(matter: FrontMatter, found: Located) -> tuple[dict[str, Any], str]:
    """Values to look at a template with, and where they come from: its first example, its first case, or made up."""
    if matter.examples:
        return matter.examples[0].inputs, "its first example"
    origin = "made up"
    try:
        if cases := read_cases(found):
            return cases[0].inputs, f"the case {cases[0].name!r}"
    except PromptError:
        origin = f"made up, since its cases cannot be read (cot prompts test {found.name} says why)"
    required = {name: spec for name, spec in matter.inputs.items() if spec.required}
    return {name: _MADE_UP.get(spec.kind, f"<{name}>") for name, spec in required.items()}, origin


def _typed(name: str, value: str, spec: Input) -> Any:
    if spec.kind == "text":
        return value
    if spec.kind == "list" and not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",")] if value.strip() else []
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not spec.fits(found):
        expected = "a number" if spec.kind == "number" else 'a list, like a,b or ["a", "b"]'
        raise UsageError(f"got {name}={value[:100]!r}; expected {expected}")
    return found
