"""The batch: rows of many requests that run together, join when there is room and leave when they are done.

In: prepared jobs. Out: their answers, token for token those of one `generate` call a request. An image is
encoded once and a shared beginning computed once as long as the prefix tree remembers it.
"""

import time
from collections import deque
from collections.abc import Callable

import torch

from cot.engine.local.compiled import CompiledDecode
from cot.engine.local.family import positions
from cot.engine.local.forward import Forward
from cot.engine.local.job import Job, explain
from cot.engine.local.load import Loaded
from cot.engine.local.prefill import Prefill
from cot.engine.local.prefixes import PrefixTree
from cot.engine.local.running import Running, choose
from cot.engine.local.slots import Slots
from cot.errors import EngineError, RequestError

KEPT_SHARE = 0.25
"""Share of the memory that the slots of rows that are gone may keep: less is not worth another allocation."""
ROWS_SHARE = 0.75
"""Share of the memory that several rows may take together: what they have in common should stay known."""


class Batch:
    """Answers jobs with one loaded model. Not safe to call from two threads at once.

    kv_bytes: memory for keys and values, of running rows and remembered prefixes together.
    on_uncompiled: lets passes of one token a row be compiled, and is called with the reason if they cannot be; None to
    compile nothing.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        kv_bytes: int,
        max_rows: int,
        on_uncompiled: Callable[[str], None] | None = None,
    ):
        text = loaded.model.config.get_text_config()
        self._loaded = loaded
        self._slots = Slots(text.num_hidden_layers, doubling=on_uncompiled is not None)
        self._kv_bytes, self._max_rows = kv_bytes, max_rows
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._token_bytes: int = 2 * text.num_hidden_layers * heads * head_dim * loaded.model.dtype.itemsize
        self._tree = PrefixTree(kv_bytes, self._token_bytes)
        self._compiled = CompiledDecode(loaded, self._slots, on_uncompiled) if on_uncompiled else None
        self._forward = Forward(loaded, self._slots, self._compiled)
        self._prefill = Prefill(loaded, self._slots, self._tree, self._forward)
        self._waiting: deque[Running] = deque()
        self._joining: list[Running] = []
        self._running: list[Running] = []

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
        self._waiting.extend(Running(job, row, where) for row in job.rows)

    def step(self) -> None:
        """Let waiting rows join, then take one token, or more where a constraint leaves no choice, for every row."""
        # A graph keeps track of the versions of what it writes to, which inference mode does not.
        with torch.no_grad() if self._compiled else torch.inference_mode():
            self._take_step()

    def _take_step(self) -> None:
        self._leave()
        self._joining = self._next()
        self._prefill.join(self._joining, self._running)
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
        # Large memory is better kept for prefixes, but graphs are made for the buffers as they are.
        kept = self._compiled is not None and self._compiled.works
        if not self._running and self._slots.bytes > KEPT_SHARE * self._kv_bytes and not kept:
            self._slots.release()

    def _next(self) -> list[Running]:
        """Waiting rows for which there is room, in order."""
        found: list[Running] = []
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
            self._tree.budget = self._kv_bytes - self._needed(rows, longest)
            self._tree.shrink(self._tree.budget)
            self._slots.reserve(rows, longest)
        return found

    def _fit(self, rows: int, tokens: int, share: float) -> bool:
        """Whether so many rows of so many tokens take no more than a share of the memory."""
        held = self._slots.capacity(rows, tokens) * self._token_bytes
        return held <= share * self._kv_bytes and self._needed(rows, tokens) <= self._kv_bytes

    def _needed(self, rows: int, tokens: int) -> int:
        """Bytes that so many rows of so many tokens take, at most, while room is made for them."""
        return self._slots.capacity(rows, tokens) * self._token_bytes + self._slots.twice(rows, tokens)

    def _refuse(self, job: Job, tokens: int) -> None:
        job.fail(
            RequestError(
                f"the request may need {tokens} tokens of keys and values, "
                f"{self._slots.capacity(1, tokens) * self._token_bytes / 2**20:.1f} MiB; "
                f"the budget is {self._kv_bytes / 2**20:.1f} MiB: raise the setting kv_memory, or allow fewer tokens"
            )
        )

    def _advance(self, first: int, rows: list[Running]) -> None:
        """Take a token for rows that run, from slot `first` on. If that fails, for each half of them."""
        if not rows:
            return
        failed: EngineError | None = None
        try:
            logits = self._forward.logits(first, rows, {})
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
        choose(self._slots, first, rows, logits)
