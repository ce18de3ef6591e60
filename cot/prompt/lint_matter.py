"""What is wrong, or may be wrong, with what a template says about itself.

In: front matter as YAML has it, which need not be valid. Out: findings. It reads no file, and no body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cot.errors import PromptError, did_you_mean
from cot.prompt.matter import FrontMatter, check_matter


@dataclass(frozen=True)
class Finding:
    """One thing about a template. An error stops it, or makes it wrong; a warning need not."""

    level: Literal["error", "warning"]
    text: str


def check_keys(matter: dict[Any, Any]) -> Iterator[Finding]:
    """Keys that there are not, and those that had better be there."""
    known = list(FrontMatter.model_fields)
    for key in matter:
        if key not in known:
            hint = did_you_mean(str(key), known)
            yield Finding("error", f"unknown front matter key {key!r}{hint}; known: {', '.join(known)}")
    if "output" not in matter:
        yield Finding("warning", "output is missing: the model may say anything; say for example `output: yes_no`")
    if "max_tokens" not in matter:
        default = FrontMatter.model_fields["max_tokens"].default
        yield Finding("warning", f"max_tokens is missing: up to {default} are generated; say what the answer needs")


def check_kinds(matter: dict[Any, Any]) -> Iterator[Finding]:
    """What an output needs of the inputs."""
    inputs = matter.get("inputs")
    for output, name, kind in (("wants", "wants", "text"), ("choice", "choices", "list")):
        given = inputs.get(name) if isinstance(inputs, dict) else None
        if matter.get("output") == output and (given.get("kind") if isinstance(given, dict) else None) != kind:
            yield Finding("error", f"output {output} needs the input {name!r}: `inputs: {{{name}: {{kind: {kind}}}}}`")


def check_values(matter: dict[Any, Any], name: str) -> Iterator[Finding]:
    """What is missing, or is not what its key takes, as loading the template of this name says it: the first of it."""
    try:
        check_matter({key: value for key, value in matter.items() if key in FrontMatter.model_fields}, name=name)
    except PromptError as error:
        yield Finding("error", str(error))
