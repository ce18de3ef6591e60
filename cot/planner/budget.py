"""Hard limits on one chain of steps.

In: how many calls, tokens and seconds a question may take. Out: how many tokens the next call may
generate, or a ChainStopped that says which limit was reached. It counts; it asks nobody.
"""

import asyncio
import time
from dataclasses import dataclass

from cot.errors import CotError, UsageError
from cot.step import StopReason


@dataclass(frozen=True)
class Budget:
    """What one question may take.

    max_steps: questions to the model (plan, sub-questions, decision, direct answer), >= 1.
    max_tokens: tokens generated over the whole chain, >= 1. max_seconds: wall clock, > 0.
    Raises UsageError for values out of range.
    """

    max_steps: int = 32
    max_tokens: int = 2048
    max_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_tokens", "max_seconds"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} is {value}; expected more than 0")


class ChainStopped(CotError):
    """A chain must not ask the model any more: a budget is used up, or the model failed."""

    def __init__(self, stop_reason: StopReason, message: str) -> None:
        super().__init__(message)
        self.stop_reason = stop_reason


class Allowance:
    """What is left of a budget while calls are in flight. The clock runs from the start."""

    def __init__(self, budget: Budget) -> None:
        """Start the clock."""
        self._budget = budget
        self._start = time.monotonic()
        self._steps = 0
        self._used = 0
        self._reserved = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, negative behind it."""
        return self._budget.max_seconds - self.seconds

    @property
    def steps_left(self) -> int:
        """Calls that may still be made."""
        return self._budget.max_steps - self._steps

    @property
    def tokens_left(self) -> int:
        """Tokens that may still be generated, apart from those that calls in flight hold."""
        return self._budget.max_tokens - self._used - self._reserved

    async def take(self, wanted: int) -> int:
        """Count one call and reserve tokens for it: `wanted`, or what is left.

        While calls in flight hold the tokens that are missing, it waits for them: they seldom use
        all that they reserved. Raises ChainStopped if there is no step, token or second left.
        """
        while self.tokens_left < wanted and self._reserved and self.seconds_left > 0:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        budget = self._budget
        if self.seconds_left <= 0:
            raise ChainStopped("budget_seconds", f"the {budget.max_seconds:g} seconds are used up")
        if self.steps_left <= 0:
            raise ChainStopped("budget_steps", f"the {budget.max_steps} steps are used up")
        granted = min(wanted, self.tokens_left)
        if granted <= 0:
            raise ChainStopped("budget_tokens", f"the {budget.max_tokens} tokens are used up")
        self._steps += 1
        self._reserved += granted
        return granted

    def give_back(self, granted: int, used: int) -> None:
        """End a call that was granted some tokens and used some of them."""
        self._reserved -= granted
        self._used += used
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
