"""In what words a model is asked: language, system message, and templates in place of the shipped ones.

In: settings as text. Out: a frozen `Wording`. Templates are looked for when they are rendered, and by `check_template`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cot.errors import UsageError
from cot.prompt import load_template
from cot.prompt.matter import unlike


@dataclass(frozen=True)
class Wording:
    """How a chain speaks to the model.

    system: a system message before every prompt; empty for none. templates: step's template -> the one in its place.
    """

    language: str = "en"
    system: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def recordable(self) -> dict[str, str]:
        """As settings have it, and traces keep it; what is not set is left out."""
        kept = {"language": self.language, "system": self.system, "templates": show_templates(self.templates)}
        return {name: text for name, text in kept.items() if text}


def read_wording(language: object, system: object, templates: object) -> Wording:
    """From settings, or from what a trace says of them."""
    return Wording(str(language or "en"), str(system or ""), read_templates(str(templates or "")))


def read_templates(text: str) -> dict[str, str]:
    """`direct/answer=terse/answer,decompose/plan=my/plan` as names by names; what has no `=` is left out."""
    pairs = (pair.strip().partition("=") for pair in text.split(","))
    return {step: name for step, equals, name in pairs if equals}


def show_templates(templates: Mapping[str, str]) -> str:
    """The text that `read_templates` reads."""
    return ",".join(f"{step}={name}" for step, name in templates.items())


def check_template(step: str, name: str, *, language: str) -> None:
    """Whether a template can stand in place of a step's.

    Raises PromptError if one of them is not there or is malformed, UsageError if they take or give different things.
    """
    old, new = (load_template(one, language=language).matter for one in (step, name))
    if problem := unlike(old, new):
        raise UsageError(f"{name} cannot stand in place of {step}: {problem}; start from: cot prompts new {step}")


def checked_templates(text: str, *, language: str) -> dict[str, str]:
    """As `read_templates`. Raises PromptError or UsageError as `check_template` does."""
    found = read_templates(text)
    for step, name in found.items():
        check_template(step, name, language=language)
    return found
