"""The sandbox: what the words of a template may do, and what they may cost.

In: a template's body, and how to find what it includes. Out: a compiled `Body`. Only a small part of
Jinja is allowed: text, inputs, conditions, filters, includes, inheritance, and loops that do not nest,
not even through includes. So what a template can cost is bounded by its own size and that of its inputs.
It reads no file; what its filters may make is a matter of `environment`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jinja2
from jinja2 import nodes

from cot.errors import reason
from cot.prompt.environment import FILTERS, Environment

MAX_RENDERED_CHARACTERS: Final = 50_000

MAX_INCLUDES: Final = 64
"""Files that a template may include or extend in all; one that is included twice counts twice."""

MAX_JOINED: Final = 64
"""Names that one `~` or `+` may put together: their text is there at once, before any of it is counted."""

IMAGES: Final = "images"
"""`{{ images }}` marks where the question's images stand."""

_ALLOWED_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Concat, nodes.List, nodes.Tuple, nodes.Filter, nodes.Test,
    nodes.Keyword, nodes.Include, nodes.Extends, nodes.Block,
)  # fmt: skip

Resolve = Callable[[str], str]
"""Name of an included template -> its body. Raises PromptError."""


@dataclass(frozen=True)
class Body:
    """A compiled body.

    trees: name -> syntax tree of all that it is made of; its own name is "".
    files: name -> text of what it includes and extends.
    """

    compiled: jinja2.Template
    trees: dict[str, nodes.Template]
    files: dict[str, str]


def compile_body(text: str, resolve: Resolve) -> Body:
    """Check and compile. Raises jinja2.TemplateSyntaxError for what is not allowed, and what `resolve` raises."""
    environment = Environment()
    checker = _Checker(environment, resolve)
    checker.file("", text, _Place())
    # What was checked is what runs, even if a file changes in between.
    environment.loader = jinja2.DictLoader(checker.files)
    return Body(environment.from_string(text), checker.trees, checker.files)


def compile_expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
    """Check and compile one expression, what a template may have between `{{` and `}}`: `[answer]`, `a ~ b`.

    The result takes the values of the names in it, and gives the expression's value; a name without a value
    makes it raise jinja2.UndefinedError, there or as soon as what it gave is used.
    Raises jinja2.TemplateSyntaxError for what is not allowed.
    """
    environment = Environment()
    try:
        # Before it is compiled: what can be computed then already is, and may take all memory.
        _Checker(environment, _no_file, images_are_values=True).file("", f"{{{{ ({text}) }}}}", _Place())
        # An expression and nothing else; only then is what was checked the same as what runs.
        compiled = environment.compile_expression(text, undefined_to_none=False)
    except (RecursionError, ValueError) as error:
        raise jinja2.TemplateSyntaxError(f"{reason(error)}; expected something shorter", 1) from error
    name = text.strip()
    if not name.isidentifier() or name.lower() in ("true", "false", "none"):
        return compiled
    # Most are only a name, and a data set can have very many rows. What is missing has Jinja's own error.
    return lambda values: values[name] if name in values else compiled(values)


def _no_file(name: str) -> str:
    raise jinja2.TemplateSyntaxError(f"{name!r} cannot be included here", 1)


@dataclass(frozen=True)
class _Place:
    """Where in the template something stands."""

    name: str = ""
    above: tuple[str, ...] = ()
    in_loop: bool = False
    in_branch: bool = False
    in_block: bool = False

    def refuse(self, node: nodes.Node, message: str) -> jinja2.TemplateSyntaxError:
        return jinja2.TemplateSyntaxError(message, node.lineno, self.name or None)


class _Checker:
    """Walks a template and all that it is made of. Raises TemplateSyntaxError at the first thing not allowed."""

    def __init__(self, environment: Environment, resolve: Resolve, *, images_are_values: bool = False) -> None:
        """images_are_values: `images` is a name like others, and not where the question's images stand."""
        self._reserved = ("self", "super") if images_are_values else ("self", "super", IMAGES)
        self._environment = environment
        self._resolve = resolve
        self._uses = 0
        self.trees: dict[str, nodes.Template] = {}
        self.files: dict[str, str] = {}

    def file(self, name: str, text: str, place: _Place) -> None:
        tree = self._environment.parse(text, name=name or None)
        self.trees[name] = tree
        self._node(tree, dataclasses.replace(place, name=name, above=(*place.above, name) if name else ()))

    def _node(self, node: nodes.Node, place: _Place) -> None:
        if _is_super(node):
            # What it gives grows with each template that another extends, so nothing may be made of it.
            raise place.refuse(node, "super() can only stand alone: `{{ super() }}`")
        if not isinstance(node, _ALLOWED_NODES):
            raise place.refuse(node, f"{type(node).__name__.lower()} is not allowed in templates")
        if isinstance(node, nodes.Getattr | nodes.Getitem) and (name := _part(node)).startswith("_"):
            raise place.refuse(node, f"{name} begins with _, which is not allowed in templates")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise place.refuse(node, f"there is no filter {node.name!r}; known: {', '.join(FILTERS)}")
        joins = isinstance(node, nodes.Concat | nodes.Add | nodes.List | nodes.Tuple)
        if joins and sum(1 for _ in node.find_all(nodes.Name)) > MAX_JOINED:
            raise place.refuse(node, f"more than {MAX_JOINED} names are put together; write them one after another")
        if isinstance(node, nodes.Name) and node.name in self._reserved:
            raise place.refuse(node, f"{node.name} is not allowed here; {{{{ {IMAGES} }}}} can only stand alone")
        if isinstance(node, nodes.Include | nodes.Extends):
            self._other(node, place)
            return
        inside = self._inside(node, place)
        for child in node.iter_child_nodes():
            if not isinstance(node, nodes.Output):
                self._node(child, inside)
            elif isinstance(child, nodes.Name) and child.name == IMAGES:
                if place.in_loop or place.in_branch:
                    raise place.refuse(child, f"{{{{ {IMAGES} }}}} cannot stand in a loop or a condition")
            elif _is_super(child):
                if place.in_loop or not place.in_block:
                    raise place.refuse(child, "super() can only stand in a block, and not in a loop")
            else:
                self._node(child, inside)

    @staticmethod
    def _inside(node: nodes.Node, place: _Place) -> _Place:
        """The place of what stands in `node`."""
        if isinstance(node, nodes.For):
            if place.in_loop:
                raise place.refuse(node, "a loop in a loop is not allowed in templates")
            return dataclasses.replace(place, in_loop=True)
        if isinstance(node, nodes.If):
            return dataclasses.replace(place, in_branch=True)
        if isinstance(node, nodes.Block):
            # Blocks in blocks could call each other for ever; two calls of super() double the text at each level.
            if place.in_loop or place.in_block:
                raise place.refuse(node, "a block in a loop or in another block is not allowed in templates")
            if sum(_is_super(call) for call in node.find_all(nodes.Call)) > 1:
                raise place.refuse(node, "a block can use super() once")
            return dataclasses.replace(place, in_block=True)
        return place

    def _other(self, node: nodes.Include | nodes.Extends, place: _Place) -> None:
        if not isinstance(node.template, nodes.Const) or not isinstance(node.template.value, str):
            raise place.refuse(node, 'include and extends take one name in quotes, like "direct/answer"')
        if isinstance(node, nodes.Include) and node.ignore_missing:
            raise place.refuse(node, "`ignore missing` is not allowed in templates: a missing file is an error")
        name = node.template.value
        if name in place.above:
            raise place.refuse(node, f"{name!r} includes itself")
        self._uses += 1
        if self._uses > MAX_INCLUDES:
            raise place.refuse(node, f"more than {MAX_INCLUDES} files are included; expected fewer")
        if name not in self.files:
            self.files[name] = self._resolve(name)
        self.file(name, self.files[name], place)


def _part(node: nodes.Getattr | nodes.Getitem) -> str:
    """What is taken of a value, where the template names it."""
    return node.attr if isinstance(node, nodes.Getattr) else str(getattr(node.arg, "value", ""))


def _is_super(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "super"
        and not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
    )
