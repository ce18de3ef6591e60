"""YAML as people write it: no tags, no names that are given twice, and no aliases.

In: text. Out: plain values. Close to YAML 1.2, but that only true, false, null and numbers as people write them are
more than text: `yes`, `off`, `3:30`, `007`, `0x1F`, `2024-01-01` and `=` are text, where PyYAML, which reads YAML 1.1,
takes them for truth values, numbers, dates and worse. A few lines of aliases can stand for gigabytes. What else may be
said is for others to check.
"""

import re
from typing import Any, Final

import yaml

from cot.errors import reason

_READ: Final = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
"""How truth values and numbers are written, and what they can begin with."""
_TEXT: Final = ("tag:yaml.org,2002:value", "tag:yaml.org,2002:timestamp")
"""What is no more than text."""


def load_plain(text: str) -> Any:
    """Read YAML. Raises ValueError, which says why, for text that is none."""
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError, AttributeError, LookupError) as error:
        # Foreign tags and odd numbers make PyYAML raise almost anything.
        raise ValueError(_said(error)) from error


def _said(error: Exception) -> str:
    """What is wrong, and in which line, without the text around it, which PyYAML repeats twice."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return reason(error)


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"{key.value!r} in line {line} is there already; write it once")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep=deep)


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_READ, *_TEXT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _begins) in _READ.items():
    _Plain.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$"), list(_begins))
