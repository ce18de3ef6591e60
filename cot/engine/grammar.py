"""Constraints as llguidance grammars: the one definition of what a constraint allows.

In: `Choices`, `Regex` or `JsonSchema`. Out: a grammar, as text. Engines that choose tokens build masks from
it; engines that cannot choose them check replies with it. It compiles nothing.
"""

from cot.engine.base import Choices, Constraint, Regex
from cot.errors import EngineError

REGEX_META = frozenset(r"\.+*?()|[]{}^$")
JSON_WHITESPACE = r"[ ]?"
"""At most one blank between the parts of a JSON text: unbounded blanks let a weak model never end."""


def grammar(constraint: Constraint, lead: str = "") -> str:
    """lead: pattern of what may come before the text. Raises EngineError for what is no constraint at all."""
    from llguidance import LLMatcher

    if isinstance(constraint, Choices) and not any(constraint.values):
        raise EngineError(f"got choices {list(constraint.values)}; expected at least one text that is not empty")
    try:
        if isinstance(constraint, Regex):
            return LLMatcher.grammar_from_regex(f"{lead}(?:{constraint.pattern})" if lead else constraint.pattern)
        if isinstance(constraint, Choices):
            return LLMatcher.grammar_from_regex(f"{lead}(?:{escaped_choices(constraint)})")
        return LLMatcher.grammar_from_json_schema(
            constraint.schema,
            overrides={"whitespace_pattern": JSON_WHITESPACE},
        )
    except ValueError as error:
        raise EngineError(f"invalid constraint {shown(constraint)}: {one_line(str(error))}") from error


def escaped_choices(choices: Choices) -> str:
    """A regular expression, in Rust's syntax, that matches the choices and nothing else."""
    return "|".join("".join(f"\\{char}" if char in REGEX_META else char for char in value) for value in choices.values)


def shown(constraint: Constraint) -> str:
    """A constraint for a message."""
    text = repr(constraint)
    return text if len(text) <= 120 else f"{text[:117]}..."


def one_line(text: str) -> str:
    """A library's message within ours."""
    return " ".join(text.split())[:200]
