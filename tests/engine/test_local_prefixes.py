"""The prefix tree: the longest known beginning, within the budget at every moment."""

import random

import torch
from torch import Tensor

from cot.engine.local.prefixes import PrefixTree

TOKEN_BYTES = 8


def values(key: str, start: int, end: int) -> Tensor:
    """Keys and values that tell which tokens they are of: shape (1, 2, tokens, 1, 1), 4 bytes each."""
    codes = torch.tensor([float(hash(key[: place + 1]) % 1000) for place in range(start, end)])
    return codes.expand(1, 2, -1)[..., None, None].clone()


def test_the_longest_known_beginning_is_found() -> None:
    tree = PrefixTree(10_000, TOKEN_BYTES)
    for key in ("abcdef", "abcxyz", "abcde", "q"):
        tree.insert(key, lambda start, end, key=key: values(key, start, end))  # type: ignore[misc]
    for key, known in (("abcdefg", 6), ("abcxq", 4), ("ab", 2), ("abcdef", 6), ("q", 1), ("x", 0)):
        length, segments = tree.match(key)
        assert length == known
        if segments:
            assert torch.equal(torch.cat(segments, dim=2), values(key, 0, known))
    assert tree.bytes == (6 + 3 + 1) * TOKEN_BYTES


def test_the_budget_holds_while_something_is_copied() -> None:
    rng = random.Random(0)
    tree = PrefixTree(40 * TOKEN_BYTES, TOKEN_BYTES)
    copied = 0

    for _ in range(300):
        key = "".join(rng.choices("ab", k=rng.randint(1, 60)))

        def copy(start: int, end: int, key: str = key) -> Tensor:
            nonlocal copied
            copied += 1
            assert tree.bytes + (end - start) * TOKEN_BYTES <= tree.budget
            return values(key, start, end)

        tree.insert(key, copy)
        length, segments = tree.match(key)
        assert not segments or torch.equal(torch.cat(segments, dim=2), values(key, 0, length))
    assert copied > 100
    tree.shrink(0)
    assert (tree.bytes, tree.match("a")) == (0, (0, []))
