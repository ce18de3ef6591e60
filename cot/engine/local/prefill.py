"""Prompts of rows that join: what is known of them is looked up, the rest computed in as few passes as fit.

In: rows that have room in the slots. Out: the same rows running, each with its first token. A prompt is remembered
as soon as it is computed, so that those behind it find what they share with it.
"""

from collections.abc import Hashable
from contextlib import suppress
from functools import partial

import torch

from cot.engine.local.forward import Forward
from cot.engine.local.job import explain
from cot.engine.local.load import Loaded
from cot.engine.local.prefixes import PrefixTree
from cot.engine.local.running import Running, choose
from cot.engine.local.slots import Slots
from cot.errors import EngineError

MAX_PREFILL_TOKENS = 4096
"""Prompt tokens of one pass, padding included: more would not be faster, and take more memory."""


class Prefill:
    """Computes prompts for one batch. tree: of the prompts that are remembered."""

    def __init__(self, loaded: Loaded, slots: Slots, tree: PrefixTree, forward: Forward):
        self._loaded, self._slots, self._tree, self._forward = loaded, slots, tree, forward

    def join(self, joining: list[Running], running: list[Running]) -> None:
        """Compute prompts. Rows that need the same unknown image wait for the first of them, then share it.

        Those that could be computed stand at the end of `running` then, the others are told why not.
        """
        while joining:
            seeing: dict[Hashable, list[Running]] = {}
            reading, later = [], []
            first_seen: set[Hashable] = set()
            for one in joining:
                marker = self._look_up(one)
                if marker is None:
                    reading.append(one)
                elif marker in first_seen:
                    later.append(one)
                else:
                    first_seen.add(marker)
                    seeing.setdefault(one.job.prompt.pixel_shapes, []).append(one)
            for group in [*seeing.values(), reading]:
                for part in _parts(group):
                    self._prefill(part, running)
            joining = later

    def _look_up(self, one: Running) -> Hashable:
        """Find what is known of a row's prompt. Returns the first unknown image's key, None if all are known."""
        prompt = one.job.prompt
        # The last token is always computed: its logits are wanted.
        known, segments = self._tree.match(prompt.key[:-1])
        unseen = [(start, end) for start, end in prompt.spans if end > known]
        # An image is known as a whole or not at all; what of several cannot be cut apart, neither.
        if unseen and (known > unseen[0][0] or (len(unseen) < len(prompt.spans) and not prompt.divisible)):
            first = prompt.spans[0][0] if not prompt.divisible else unseen[0][0]
            known, segments = self._tree.match(prompt.key[:first])
            unseen = [(start, end) for start, end in prompt.spans if end > known]
        one.length, one.known = known, segments
        one.pending = list(prompt.ids[known:])
        return prompt.key[unseen[0][0]] if unseen else None

    def _prefill(self, group: list[Running], running: list[Running]) -> None:
        """Compute what is unknown of some prompts in one pass. If that fails, each alone."""
        first = len(running)
        lengths = [one.length for one in group]
        failed: EngineError | None = None
        try:
            self._slots.reserve(first + len(group), max(one.job.prompt.tokens for one in group))
            for row, one in enumerate(group, first):
                start = 0
                for segment in one.known:
                    self._slots.restore(row, start, segment)
                    start += segment.shape[2]
            running.extend(group)
            pixels = [one.job.prompt.pixels_after(one.length) for one in group]
            logits = self._forward.logits(
                first, group, {name: torch.cat([p[name] for p in pixels]) for name in pixels[0]}
            )
        except Exception as error:
            failed = explain(error, self._loaded, [one.job.request for one in group])
        # Behind `except`, since an error holds what the pass had computed up to it.
        if failed:
            del running[first:]
            if len(group) == 1:
                group[0].job.fail(failed)
                return
            for one, length in zip(group, lengths, strict=True):
                one.length, one.pending = length, list(one.job.prompt.ids[length:])
                self._prefill([one], running)
            return
        group[0].job.batches += 1
        for one, length in zip(group, lengths, strict=True):
            one.known = []
            if one.row is one.job.rows[0]:
                one.job.cached_tokens = length
        for slot in choose(self._slots, first, group, logits):
            # Where there is no memory to remember a prompt, it is computed again.
            with suppress(RuntimeError):
                self._tree.insert(running[slot].job.prompt.key, partial(self._slots.copy, slot))


def _parts(group: list[Running]) -> list[list[Running]]:
    """Cut a group so that no pass takes more than `MAX_PREFILL_TOKENS`; rows of like length go together."""
    parts: list[list[Running]] = []
    for one in sorted(group, key=lambda one: len(one.pending)):
        if not parts or (len(parts[-1]) + 1) * len(one.pending) > MAX_PREFILL_TOKENS:
            parts.append([])
        parts[-1].append(one)
    return parts
