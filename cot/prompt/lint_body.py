"""What the body of a template does with its inputs, told from its syntax tree.

In: a compiled body. Out: names. It renders nothing.
"""

from collections.abc import Iterator

from jinja2 import meta, nodes

from cot.prompt.sandbox import IMAGES, Body


def used_inputs(body: Body) -> set[str]:
    """Names that a template and all it is made of take from outside."""
    used: set[str] = set()
    for name, tree in body.trees.items():
        # An included file also sees what the loops around it bind.
        bound = _loop_names(body) if name else set()
        used |= meta.find_undeclared_variables(tree) - bound
    return used - {IMAGES, "super"}


def shown_bare(body: Body, names: set[str]) -> set[str]:
    """Those of these names that are shown, or looped over, without a condition or a default that names them."""
    return {name for tree in body.trees.values() for name in _bare(tree, names)}


def varies_before_images(body: Body) -> str | None:
    """The first input that stands before the images, if any does: from there on, no two prompts share anything."""
    first = None
    for node in _in_order(body, body.trees[""], {}):
        if node.name == IMAGES:
            return first
        if node.ctx == "load" and node.name != "super":
            first = first or node.name
    return None


def _bare(node: nodes.Node, names: set[str]) -> Iterator[str]:
    if isinstance(node, nodes.If | nodes.CondExpr):
        names = names - {name.name for name in node.test.find_all(nodes.Name)} - _own_name(node.test)
        children = [child for child in node.iter_child_nodes() if child is not node.test]
    else:
        children = list(node.iter_child_nodes())
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name in names:
        yield node.name
    # A default, or `a or b`, says what is to be shown instead.
    elif not isinstance(node, nodes.And | nodes.Or | nodes.Test) and getattr(node, "name", "") != "default":
        for child in children:
            yield from _bare(child, names)


def _own_name(node: nodes.Node) -> set[str]:
    return {node.name} if isinstance(node, nodes.Name) else set()


def _loop_names(body: Body) -> set[str]:
    loops = [loop for tree in body.trees.values() for loop in tree.find_all(nodes.For)]
    return {"loop"} | {name.name for loop in loops for name in loop.target.find_all(nodes.Name)} | {
        loop.target.name for loop in loops if isinstance(loop.target, nodes.Name)
    }  # fmt: skip


def _in_order(body: Body, node: nodes.Node, blocks: dict[str, nodes.Block]) -> Iterator[nodes.Name]:
    """Names in the order in which they are rendered: with includes inlined, and blocks as the heir has them."""
    if isinstance(node, nodes.Template) and (parents := list(node.find_all(nodes.Extends))):
        blocks = {block.name: block for block in node.find_all(nodes.Block)} | blocks
        yield from _in_order(body, _file(body, parents[0]), blocks)
    elif isinstance(node, nodes.Include):
        yield from _in_order(body, _file(body, node), {})
    elif isinstance(node, nodes.Name):
        yield node
    else:
        if isinstance(node, nodes.Block):
            node = blocks.get(node.name, node)
        for child in node.iter_child_nodes():
            yield from _in_order(body, child, blocks)


def _file(body: Body, node: nodes.Include | nodes.Extends) -> nodes.Template:
    assert isinstance(node.template, nodes.Const)  # the sandbox has refused all else
    return body.trees[node.template.value]
