"""The names of the strategies, for who needs no more than these: `cot/planner/run.py` has what they stand for."""

from typing import Final

from cot.errors import UsageError

STRATEGY_NAMES: Final = ("direct", "decompose", "cot", "vote", "verify", "route")


def check_strategy(name: str) -> None:
    """Raises UsageError for a strategy that there is not."""
    if name not in STRATEGY_NAMES:
        raise UsageError(f"unknown strategy {name!r}; known: {', '.join(STRATEGY_NAMES)}")
