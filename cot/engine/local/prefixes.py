"""Keys and values of prompts that were computed before, found again by content: a radix tree.

In: the content of a prompt, token by token, where a token of an image is known by the image's hash.
Out: keys and values of the longest beginning that is known. The least recently used ends go first.
"""

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
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
    """Known beginnings of prompts, within a memory budget in bytes. token_bytes: of a token's keys and values."""

    def __init__(self, budget: int, token_bytes: int):
        self.budget = budget
        self._token_bytes = token_bytes
        self.bytes = 0
        self._root = _Node((), None)
        self._clock = itertools.count(1)

    def match(self, key: Sequence[Hashable]) -> tuple[int, list[Segment]]:
        """How many tokens of `key` are known, and their keys and values, stretch by stretch."""
        way = list(self._walk(key))
        segments = [node.segment[:, :, :common] for node, common in way if node.segment is not None]
        return sum(common for _, common in way), segments

    def insert(self, key: Sequence[Hashable], copy: Callable[[int, int], Segment]) -> None:
        """Remember a prompt. copy: gives keys and values of its tokens from a place to another."""
        node, common, length = self._end(key)
        size = (len(key) - length) * self._token_bytes
        if length == len(key) or size > self.budget:
            return
        if self.bytes + size > self.budget:
            # A tenth at a time: what was used longest ago is found by a walk through all.
            self.shrink(min(self.budget - size, self.budget * 9 // 10))
            node, common, length = self._end(key)
            if size != (len(key) - length) * self._token_bytes:
                return
        if common < len(node.key):
            node = self._split(node, common)
        new = _Node(tuple(key[length:]), copy(length, len(key)), node, used=next(self._clock))
        node.children[key[length]] = new
        self.bytes += new.bytes

    def shrink(self, budget: int) -> None:
        """Forget what was used longest ago until `budget` bytes are left."""
        if self.bytes <= budget:
            return
        ends = [(node.used, id(node), node) for node in self._nodes() if node.parent and not node.children]
        heapq.heapify(ends)
        while self.bytes > budget and ends:
            *_, end = heapq.heappop(ends)
            self.bytes -= end.bytes
            parent = end.parent
            if parent is not None:
                del parent.children[end.key[0]]
                if parent.parent and not parent.children:
                    heapq.heappush(ends, (parent.used, id(parent), parent))

    def _end(self, key: Sequence[Hashable]) -> tuple[_Node, int, int]:
        """The last node along `key`, how many of its tokens agree with it, and how many tokens of `key` are known."""
        way = [(self._root, 0), *self._walk(key)]
        return *way[-1], sum(common for _, common in way)

    def _walk(self, key: Sequence[Hashable]) -> Iterator[tuple[_Node, int]]:
        """The nodes along `key` and how many of each one's tokens agree with it: all but for the last one's."""
        now = next(self._clock)
        node, length, common = self._root, 0, 0
        while common == len(node.key) and length < len(key) and key[length] in node.children:
            node = node.children[key[length]]
            node.used = now
            common = _common(node.key, key, length)
            length += common
            yield node, common

    def _split(self, node: _Node, length: int) -> _Node:
        """Cut a node in two; returns the first."""
        front = _Node(node.key[:length], None, node.parent, used=node.used)
        if node.segment is not None:
            # In memory of their own, so that forgetting one of them frees it.
            front.segment, node.segment = (part.clone() for part in node.segment.tensor_split([length], dim=2))
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
