"""The batch: rows of many requests that run together, join when there is room and leave when they are done.

In: prepared jobs. Out: their answers, token for token those of one `generate` call a request. An image is
encoded once and a shared beginning computed once as long as the prefix tree remembers it.
"""

import time
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from cot.engine.local.family import Positions, positions
from cot.engine.local.job import Job, explain
from cot.engine.local.load import Loaded
from cot.engine.local.prefixes import PrefixTree
from cot.engine.local.row import Row, take_next
from cot.engine.local.slots import Segment, Slots
from cot.errors import EngineError, RequestError

KEPT_SHARE = 0.25
"""Share of the memory that the slots of rows that are gone may keep: less is not worth another allocation."""
ROWS_SHARE = 0.75
"""Share of the memory that several rows may take together: what they have in common should stay known."""
MAX_PREFILL_TOKENS = 4096
"""Prompt tokens of one pass, padding included: more would not be faster, and take more memory."""


@dataclass(eq=False)
class _Running:
    """A row in its slot.

    length: tokens that the slot holds. pending: tokens that the next pass takes.
    """

    job: Job
    row: Row
    positions: Positions | None
    pending: list[int] = field(default_factory=list)
    length: int = 0
    known: list[Segment] = field(default_factory=list)

    @property
    def longest(self) -> int:
        """Tokens at the end, at most."""
        return self.job.prompt.tokens + self.row.max_tokens


class Batch:
    """Answers jobs with one loaded model. Not safe to call from two threads at once.

    kv_bytes: memory for keys and values, of running rows and remembered prefixes together.
    """

    def __init__(self, loaded: Loaded, *, kv_bytes: int, max_rows: int):
        text = loaded.model.config.get_text_config()
        self._loaded = loaded
        self._slots = Slots(text.num_hidden_layers)
        self._kv_bytes, self._max_rows = kv_bytes, max_rows
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._token_bytes: int = 2 * text.num_hidden_layers * heads * head_dim * loaded.model.dtype.itemsize
        self._tree = PrefixTree(kv_bytes, self._token_bytes)
        self._device, self._dtype = loaded.model.device, loaded.model.dtype
        self._waiting: deque[_Running] = deque()
        self._joining: list[_Running] = []
        self._running: list[_Running] = []

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._waiting or self._running)

    @property
    def full(self) -> bool:
        """Whether more jobs would only wait longer."""
        return len(self._waiting) >= self._max_rows

    @property
    def kv_bytes(self) -> int:
        """Memory of keys and values now."""
        return self._slots.bytes + self._tree.bytes

    def add(self, job: Job) -> None:
        """Let a job wait for room."""
        inputs = job.prompt.inputs
        try:
            where = positions(self._loaded.model, inputs["input_ids"], inputs)
        except Exception as error:
            job.fail(explain(error, self._loaded, [job.request]))
            return
        self._waiting.extend(_Running(job, row, where) for row in job.rows)

    @torch.inference_mode()
    def step(self) -> None:
        """Let waiting rows join, then take one token, or more where a constraint leaves no choice, for every row."""
        self._leave()
        self._joining = self._next()
        self._join(self._joining)
        self._joining = []
        # Some are done with their first token.
        self._leave()
        self._advance(0, [*self._running])

    def fail(self, error: EngineError) -> None:
        """Fail everything that runs or waits."""
        for one in [*self._waiting, *self._joining, *self._running]:
            one.job.fail(error)
        self._waiting.clear()
        self._joining = []
        self._leave()

    def _leave(self) -> None:
        """Free the slots of rows that are done or that nobody waits for; the last rows move into the gaps."""
        for index in range(len(self._running) - 1, -1, -1):
            one = self._running[index]
            if one.row.done or one.job.over:
                last = self._running.pop()
                if last is not one:
                    self._slots.move(len(self._running), index, last.length)
                    self._running[index] = last
        # Large memory is better kept for prefixes.
        if not self._running and self._slots.bytes > KEPT_SHARE * self._kv_bytes:
            self._slots.release()

    def _next(self) -> list[_Running]:
        """Waiting rows for which there is room, in order."""
        found: list[_Running] = []
        longest = max((one.longest for one in self._running), default=0)
        while self._waiting and len(self._running) + len(found) < self._max_rows:
            one = self._waiting[0]
            if one.job.over:
                self._waiting.popleft()
                continue
            needed = max(longest, one.longest)
            rows = len(self._running) + len(found) + 1
            if rows == 1 and not self._fit(rows, needed, ROWS_SHARE):
                # Rows that are gone may have needed another shape.
                self._slots.release()
            if not self._fit(rows, needed, 1 if rows == 1 else ROWS_SHARE):
                if rows > 1:
                    break
                self._refuse(one.job, needed)
                continue
            longest = needed
            one.job.started = one.job.started or time.perf_counter()
            found.append(self._waiting.popleft())
        if found:
            rows = len(self._running) + len(found)
            self._tree.budget = self._kv_bytes - self._slots.capacity(rows, longest) * self._token_bytes
            self._tree.shrink(self._tree.budget)
            self._slots.reserve(rows, longest)
        return found

    def _fit(self, rows: int, tokens: int, share: float) -> bool:
        """Whether so many rows of so many tokens take no more than a share of the memory."""
        return self._slots.capacity(rows, tokens) * self._token_bytes <= share * self._kv_bytes

    def _refuse(self, job: Job, tokens: int) -> None:
        job.fail(
            RequestError(
                f"the request may need {tokens} tokens of keys and values, "
                f"{tokens * self._token_bytes / 2**20:.1f} MiB; "
                f"the budget is {self._kv_bytes / 2**20:.1f} MiB: raise it, or allow fewer tokens"
            )
        )

    def _join(self, joining: list[_Running]) -> None:
        """Compute prompts. Rows that need the same unknown image wait for the first of them, then share it."""
        while joining:
            seeing: dict[Hashable, list[_Running]] = {}
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
                    self._prefill(part)
            joining = later

    def _look_up(self, one: _Running) -> Hashable:
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

    def _prefill(self, group: list[_Running]) -> None:
        """Compute what is unknown of some prompts in one pass. If that fails, each alone."""
        first = len(self._running)
        lengths = [one.length for one in group]
        failed: EngineError | None = None
        try:
            self._slots.reserve(first + len(group), max(one.job.prompt.tokens for one in group))
            for row, one in enumerate(group, first):
                start = 0
                for segment in one.known:
                    self._slots.restore(row, start, segment)
                    start += segment.shape[2]
            self._running.extend(group)
            pixels = [one.job.prompt.pixels_after(one.length) for one in group]
            logits = self._forward(first, group, {name: torch.cat([p[name] for p in pixels]) for name in pixels[0]})
        except Exception as error:
            failed = explain(error, self._loaded, [one.job.request for one in group])
        # Behind `except`, since an error holds what the pass had computed up to it.
        if failed:
            del self._running[first:]
            if len(group) == 1:
                group[0].job.fail(failed)
                return
            for one, length in zip(group, lengths, strict=True):
                one.length, one.pending = length, list(one.job.prompt.ids[length:])
                self._prefill([one])
            return
        group[0].job.batches += 1
        for one, length in zip(group, lengths, strict=True):
            one.known = []
            if one.row is one.job.rows[0]:
                one.job.cached_tokens = length
        for slot in self._choose(first, group, logits):
            # Where there is no memory to remember a prompt, it is computed again.
            with suppress(RuntimeError):
                self._tree.insert(self._running[slot].job.prompt.key, partial(self._slots.copy, slot))

    def _advance(self, first: int, rows: list[_Running]) -> None:
        """Take a token for rows that run, from slot `first` on. If that fails, for each half of them."""
        if not rows:
            return
        failed: EngineError | None = None
        try:
            logits = self._forward(first, rows, {})
        except Exception as error:
            failed = explain(error, self._loaded, [one.job.request for one in rows])
        # Behind `except`, since an error holds what the pass had computed up to it.
        if failed:
            if len(rows) == 1:
                rows[0].job.fail(failed)
                return
            half = len(rows) // 2
            self._advance(first, rows[:half])
            self._advance(first + half, rows[half:])
            return
        self._choose(first, rows, logits)

    def _forward(self, first: int, rows: list[_Running], pixels: dict[str, Tensor]) -> Tensor:
        """Feed the pending tokens of rows, from slot `first` on. Returns logits of their last ones, (rows, vocab)."""
        model = self._loaded.model
        counts = [len(one.pending) for one in rows]
        tokens = max(counts)
        places = self._slots.open(first, [one.length for one in rows], counts, self._device)
        ids = torch.tensor([[self._loaded.pad_id] * (tokens - len(one.pending)) + one.pending for one in rows])
        out = model(
            input_ids=ids.to(self._device),
            attention_mask=self._slots.mask(places, self._dtype),
            position_ids=self._positions(rows, places),
            past_key_values=self._slots.cache,
            use_cache=True,
            logits_to_keep=1,
            **pixels,
        )
        logits: Tensor = out.logits[:, -1].float()
        for one in rows:
            one.length += len(one.pending)
            one.pending = []
        return logits

    def _positions(self, rows: list[_Running], places: Tensor) -> Tensor:
        """Positions of the pending tokens at these places, shape (rows, tokens), or (axes, rows, tokens)."""
        padded = [
            pad(one.positions.of(one.length, one.length + len(one.pending)), (places.shape[1] - len(one.pending), 0))
            for one in rows
            if one.positions
        ]
        return torch.stack(padded, dim=1).to(self._device) if padded else places

    def _choose(self, first: int, rows: list[_Running], logits: Tensor) -> list[int]:
        """Let rows, from slot `first` on, take their next tokens, and answer those who are done.

        Returns the slots of those that could: what another one holds must not be remembered.
        """
        results = take_next([one.row for one in rows], logits)
        sound = []
        for slot, (one, taken) in enumerate(zip(rows, results, strict=True), first):
            job = one.job
            if isinstance(taken, EngineError):
                # What is not a number would spoil the next row there, even hidden.
                self._slots.clear(slot)
                job.fail(taken)
                continue
            sound.append(slot)
            one.pending = taken
            job.first_token_at = job.first_token_at or time.perf_counter()
            if one.row.done:
                job.finish()
        return sound


def _parts(group: list[_Running]) -> list[list[_Running]]:
    """Cut a group so that no pass takes more than `MAX_PREFILL_TOKENS`; rows of like length go together."""
    parts: list[list[_Running]] = []
    for one in sorted(group, key=lambda one: len(one.pending)):
        if not parts or (len(parts[-1]) + 1) * len(one.pending) > MAX_PREFILL_TOKENS:
            parts.append([])
        parts[-1].append(one)
    return parts
