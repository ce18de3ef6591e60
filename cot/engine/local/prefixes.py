"""Keys and values of prompts that were computed before, found again by content: a radix tree.

In: the content of a prompt, token by token, where a token of an image is known by the image's hash.
Out: keys and values of the longest beginning that is known. The least recently used ends go first.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from cot.engine.local.slots import Segment


@dataclass(eq=False)
class _Node:
    """A stretch of tokens that follows its parent's."""

    key: tuple[Hashable, ...]
    segment: Segment | None
    parent: "_Node | None" = None
    children: dict[Hashable, "_Node"] = field(default_factory=dict)
    used: int = 0

    @property
    def bytes(self) -> int:
        return 0 if self.segment is None else self.segment.nbytes


class PrefixTree:
    """Known beginnings of prompts, within a memory budget in bytes."""

    def __init__(self, budget: int):
        self.budget = budget
        self.bytes = 0
        self._root = _Node((), None)
        self._clock = itertools.count(1)

    def match(self, key: Sequence[Hashable]) -> tuple[int, list[Segment]]:
        """How many tokens of `key` are known, and their keys and values, stretch by stretch."""
        now = next(self._clock)
        node, length = self._root, 0
        found: list[Segment] = []
        while (child := node.children.get(key[length]) if length < len(key) else None) is not None:
            common = _common(child.key, key, length)
            child.used = now
            if child.segment is not None:
                found.append(child.segment[:, :, :, :common])
            length += common
            if common < len(child.key):
                break
            node = child
        return length, found

    def insert(self, key: Sequence[Hashable], copy: Callable[[int, int], Segment]) -> None:
        """Remember a prompt. copy: gives keys and values of its tokens from a place to another."""
        now = next(self._clock)
        node, length = self._root, 0
        while (child := node.children.get(key[length]) if length < len(key) else None) is not None:
            common = _common(child.key, key, length)
            child.used = now
            length += common
            if common < len(child.key):
                node = self._split(child, common) if length < len(key) else child
                break
            node = child
        if length < len(key):
            segment = copy(length, len(key))
            new = _Node(tuple(key[length:]), segment, node, used=now)
            node.children[key[length]] = new
            self.bytes += new.bytes
            self.shrink(self.budget)

    def shrink(self, budget: int) -> None:
        """Forget what was used longest ago until `budget` bytes are left."""
        while self.bytes > budget:
            leaf = min((node for node in self._nodes() if not node.children), key=lambda node: node.used)
            if leaf.parent is None:
                return
            del leaf.parent.children[leaf.key[0]]
            self.bytes -= leaf.bytes

    def _split(self, node: _Node, length: int) -> _Node:
        """Cut a node in two; returns the first."""
        front = _Node(node.key[:length], None, node.parent, used=node.used)
        if node.segment is not None:
            # In memory of their own, so that forgetting one of them frees it.
            front.segment, node.segment = (part.clone() for part in node.segment.tensor_split([length], dim=3))
        if node.parent is not None:
            node.parent.children[front.key[0]] = front
        node.key = node.key[length:]
        node.parent = front
        front.children[node.key[0]] = node
        return front

    def _nodes(self) -> list[_Node]:
        found, todo = [], [self._root]
        while todo:
            node = todo.pop()
            found.append(node)
            todo.extend(node.children.values())
        return found


def _common(edge: tuple[Hashable, ...], key: Sequence[Hashable], start: int) -> int:
    """How many tokens an edge has in common with `key` from `start` on."""
    length = 0
    for ours, theirs in zip(edge, key[start : start + len(edge)], strict=False):
        if ours != theirs:
            break
        length += 1
    return length
