"""What runs templates: Jinja without its globals, and with filters that cannot multiply text without bound.

In: nothing. Out: an `Environment`. Of a value only its items and attributes can be had, never its methods, and lists
stay lists: what a function or an iterator is shown as differs in every process. Only `join` makes text of a list, and
printing does: text of lists of texts of lists would double its backslashes with each. What a template may say at all is
checked by `sandbox`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.exceptions import FilterArgumentError, SecurityError
from jinja2.filters import do_reverse, do_truncate, do_unique
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_FILTERED_CHARACTERS: Final = 500_000
"""Of the text that a filter makes which can multiply text."""

FILTERS: Final = (
    "abs", "capitalize", "count", "default", "first", "float", "int", "join", "last", "length", "lower", "replace",
    "reverse", "sort", "string", "title", "trim", "truncate", "unique", "upper",
)  # fmt: skip
_OF_TEXT: Final = ("capitalize", "lower", "string", "title", "trim", "truncate", "upper")


class Environment(ImmutableSandboxedEnvironment):
    """Its filters are `FILTERS`; `~` takes what the filter `string` takes."""

    def __init__(self) -> None:
        # Templates say where lines end; a block that ends a line does not swallow the break.
        super().__init__(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=False)
        self.globals.clear()
        own = {
            "default": _or_default, "join": _join, "replace": _replace, "reverse": _reverse,
            "truncate": self._truncate, "unique": self._unique,
        }  # fmt: skip
        filters = {name: own.get(name, self.filters[name]) for name in FILTERS}
        self.filters = filters | {name: _of_text(filters[name]) for name in _OF_TEXT}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`one.items` is what the mapping `one` has under that name, and no method of mappings."""
        return obj[attribute] if isinstance(obj, Mapping) and attribute in obj else super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Methods are not: nothing can be called, so that they could only be shown."""
        is_method = callable(value) and not isinstance(value, jinja2.Undefined)
        return super().is_safe_attribute(obj, attr, value) and not is_method

    def wrap_str_format(self, value: Any) -> None:
        """No method of a text is an exception."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        """What raises SecurityError as soon as it is used."""
        kind = type(obj).__name__
        hint = f"a {kind} has no value {attribute!r}; expected an item of it, or a filter: `| {FILTERS[-1]}`"
        return self.undefined(hint, exc=SecurityError)

    def _generate(self, source: nodes.Template, *arguments: Any, **named: Any) -> str:
        for joined in list(source.find_all(nodes.Concat)):
            joined.nodes = [
                nodes.Filter(node, "string", [], [], None, None, lineno=node.lineno, environment=self)
                for node in joined.nodes
            ]
        return super()._generate(source, *arguments, **named)

    def _truncate(self, text: str, length: int = 255, *more: Any, **named: Any) -> str:
        """Jinja's `truncate`, which asserts that its end fits."""
        try:
            return do_truncate(self, text, length, *more, **named)
        except AssertionError as error:
            raise FilterArgumentError(f"truncate: {error}") from error

    def _unique(self, values: Iterable[Any], *arguments: Any, **named: Any) -> list[Any]:
        return list(do_unique(self, values, *arguments, **named))


def _reverse(value: Any) -> Any:
    turned = do_reverse(value)
    return turned if isinstance(turned, str) else list(turned)


def _or_default(value: Any, instead: Any = "", boolean: bool = False) -> Any:
    """Jinja's `default`, for which an input that was left out, and is None, is as good as none."""
    missing = value is None or isinstance(value, jinja2.Undefined)
    return instead if missing or (boolean and not value) else value


# With a context, so that Jinja does not compute constants while it compiles, where nothing bounds their sum.
@jinja2.pass_context
def _join(_: Context, values: Iterable[Any], separator: Any = "") -> str:
    texts, between = [_text(value) for value in values], _text(separator)
    _check_size(sum(map(len, texts)) + len(between) * (len(texts) - 1))
    return between.join(texts)


@jinja2.pass_context
def _replace(_: Context, value: Any, old: Any, new: Any) -> str:
    text, old, new = _text(value), _text(old), _text(new)
    _check_size(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _check_size(characters: int) -> None:
    """Of a text that is not made yet."""
    if characters > MAX_FILTERED_CHARACTERS:
        raise SecurityError(
            f"a filter makes too much text: {characters:,} characters; expected at most {MAX_FILTERED_CHARACTERS:,}"
        )


def _of_text(make: Callable[..., str]) -> Callable[..., str]:
    """A filter that takes anything but a list, as text."""
    return lambda value, *arguments, **named: make(_text(value), *arguments, **named)


def _text(value: Any) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str | jinja2.Undefined):
        raise SecurityError("got a list where text must stand; expected text; put its parts together with `join`")
    return str(value)
