"""The difference between two templates: what they say about themselves, and what they are rendered to.

In: two loaded templates and inputs. Out: lines of a unified difference. It asks no model.
"""

import difflib
from collections.abc import Iterator
from typing import Any

import yaml

from cot.prompt.template import Template


def difference(old: Template, new: Template, inputs: dict[str, Any], *, labels: tuple[str, str]) -> tuple[str, ...]:
    """Lines without line ends, none if both are the same.

    inputs: each template takes those that it knows. Raises PromptError if one cannot be rendered with them.
    """
    matter = _unified(_matter(old), _matter(new), labels, "front matter")
    return (*matter, *_unified(_rendered(old, inputs), _rendered(new, inputs), labels, "rendered"))


def _unified(old: list[str], new: list[str], labels: tuple[str, str], part: str) -> Iterator[str]:
    return difflib.unified_diff(old, new, f"{labels[0]} ({part})", f"{labels[1]} ({part})", lineterm="")


def _matter(template: Template) -> list[str]:
    # Defaults are left out: what no file says is no difference between files.
    said = template.matter.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(said, sort_keys=True, allow_unicode=True).splitlines()


def _rendered(template: Template, inputs: dict[str, Any]) -> list[str]:
    known = {name: value for name, value in inputs.items() if name in template.matter.inputs}
    return template.render(**known).transcript.splitlines()
