"""The names of the strategies, for who needs no more than these: `cot/planner/run.py` has what they stand for."""

from typing import TYPE_CHECKING, Final

from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.planner.own import OwnStrategy

STRATEGY_NAMES: Final = ("direct", "decompose", "cot", "vote", "verify", "route")
"""Those that ship."""


def strategy_names() -> tuple[str, ...]:
    """All strategies: those that ship, then the user's own."""
    from cot.planner.own import own_strategies

    return (*STRATEGY_NAMES, *(name for name in own_strategies() if name not in STRATEGY_NAMES))


def check_strategy(name: str) -> None:
    """Raises UsageError for a strategy that there is not, and PromptError for one of the user's own that is wrong."""
    if name not in STRATEGY_NAMES:
        find_own(name)


def find_own(name: str) -> "tuple[OwnStrategy, str]":
    """The user's own strategy of this name, and the SHA-256 of its file. Raises as `check_strategy`."""
    from cot.planner.own import load_own

    own = load_own(name) if name.isidentifier() else None
    if own is None:
        raise UsageError(f"unknown strategy {name!r}; known: {', '.join(strategy_names())}")
    return own
