"""YAML as people write it: no tags, no names that are given twice, and no aliases.

In: text. Out: plain values. A few lines of aliases can stand for gigabytes. What else may be said is for others to
check.
"""

from typing import Any

import yaml

from cot.errors import reason


def load_plain(text: str) -> Any:
    """Read YAML. Raises ValueError, which says why, for text that is none."""
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError, AttributeError, LookupError) as error:
        # Foreign tags and odd numbers make PyYAML raise almost anything.
        raise ValueError(reason(error)) from error


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
