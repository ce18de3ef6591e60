"""A row that runs: the slot that it stands in is its place in the list of those that do.

In: rows and the logits of their last tokens. Out: what they take next.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cot.engine.local.family import Positions
from cot.engine.local.job import Job
from cot.engine.local.row import Row, take_next
from cot.engine.local.slots import Segment, Slots
from cot.errors import EngineError


@dataclass(eq=False)
class Running:
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


def choose(slots: Slots, first: int, rows: Sequence[Running], logits: Tensor) -> list[int]:
    """Let rows, from slot `first` on, take their next tokens, and answer those who are done.

    Returns the slots of those that could: what another one holds must not be remembered.
    """
    results = take_next([one.row for one in rows], logits)
    sound = []
    for slot, (one, taken) in enumerate(zip(rows, results, strict=True), first):
        job = one.job
        if isinstance(taken, EngineError):
            # What is not a number would spoil the next row there, even hidden.
            slots.clear(slot)
            job.fail(taken)
            continue
        sound.append(slot)
        one.pending = taken
        job.first_token_at = job.first_token_at or time.perf_counter()
        if one.row.done:
            job.finish()
    return sound
