"""Checks replies against constraints: a server's word that it held them is not taken.

In: a constraint and a text. Out: the text that fits, or None. llguidance decides, as it does for the local
engine, so that the same texts pass; it takes time in proportion to the text, whatever the pattern.
"""

import json
from functools import lru_cache
from typing import Any, Final

from cot.choice import bare, find_choice
from cot.engine.base import Choices, Constraint, JsonSchema, Regex
from cot.engine.grammar import grammar, one_line, shown
from cot.engine.remote.dialect import unfenced
from cot.errors import EngineError

COMPILED_AT_MOST: Final = 64
MAX_CHECKED_BYTES: Final = 2**20
"""A longer text fits no constraint."""


@lru_cache(maxsize=1)
def _byte_vocabulary() -> Any:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


@lru_cache(maxsize=COMPILED_AT_MOST)
def _compiled(constraint: Constraint) -> Any:
    from llguidance import LLMatcher

    matcher = LLMatcher(_byte_vocabulary(), grammar(constraint), log_level=0)
    if matcher.is_error():
        raise EngineError(f"invalid constraint {shown(constraint)}: {one_line(matcher.get_error())}")
    return matcher


def check_constraint(constraint: Constraint) -> None:
    """Raises EngineError for an invalid pattern, schema or choice."""
    _compiled(constraint)


def fitting(constraint: Constraint, text: str, *, cut: bool = False) -> str | None:
    """`text`, or `text` without the blanks around it, whichever fits; else the choice that it means, or what stands
    between quotes, behind "Answer:" or before a final full stop, as answers are read; None if none fits.

    cut: whether the text was cut short; then it fits if something that begins with it would.
    JSON may stand in a fence of Markdown, and be spaced and escaped in any way; the order of its fields is free where
    the schema lists them.
    """
    forms = [text, text.lstrip() if cut else text.strip()]
    if isinstance(constraint, JsonSchema) and not cut and len(text) <= MAX_CHECKED_BYTES:
        forms.append(unfenced(text))
    if isinstance(constraint, Regex) and not cut and len(text) <= MAX_CHECKED_BYTES:
        forms.append(bare(text))
    for found in dict.fromkeys(forms):
        if isinstance(constraint, JsonSchema) and not cut:
            if _fits_schema(constraint, found):
                return found
        elif isinstance(constraint, Choices):
            if found in constraint.values or (cut and any(value.startswith(found) for value in constraint.values)):
                return found
        elif _matches(constraint, found, cut=cut):
            return found
    if isinstance(constraint, Choices) and not cut and len(text) <= MAX_CHECKED_BYTES:
        return find_choice(text, constraint.values, lettered=constraint.lettered)
    return None


def _matches(constraint: Constraint, text: str, *, cut: bool) -> bool:
    tokens = list(text.encode("utf-8", "surrogatepass")[: MAX_CHECKED_BYTES + 1])
    if len(tokens) > MAX_CHECKED_BYTES:
        return False
    matcher = _compiled(constraint).deep_copy()
    taken = matcher.try_consume_tokens(tokens)
    return taken == len(tokens) and not matcher.is_error() and (cut or bool(matcher.is_accepting()))


def _fits_schema(constraint: JsonSchema, text: str) -> bool:
    if len(text) > MAX_CHECKED_BYTES:
        return False
    try:
        value = _ordered(json.loads(text, parse_constant=_no_number), json.loads(constraint.schema))
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return False
    return _matches(constraint, written, cut=False)


def _ordered(value: Any, schema: Any) -> Any:
    """`value` with its fields in the order in which the schema lists them, the only one that grammars know."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list):
        return [_ordered(item, schema.get("items")) for item in value]
    listed = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(listed, dict):
        return value
    names = [name for name in listed if name in value] + [name for name in value if name not in listed]
    return {name: _ordered(value[name], listed.get(name)) for name in names}


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
