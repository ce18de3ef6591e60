"""The names of the strategies, for who needs no more than these: `cot/planner/run.py` has what they stand for."""

import re
from typing import TYPE_CHECKING, Final

from cot.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from cot.planner.own import OwnStrategy

STRATEGY_NAMES: Final = ("direct", "decompose", "cot", "vote", "verify", "route")
"""Those that ship."""

_NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")


def strategy_names() -> tuple[str, ...]:
    """All strategies: those that ship, then the user's own."""
    from cot.planner.own import own_strategies

    return (*STRATEGY_NAMES, *(name for name in own_strategies() if not name_problem(name)))


def name_problem(name: str) -> str:
    """Why a folder of this name is no strategy of the user's own; empty if it can be one."""
    if name in STRATEGY_NAMES:
        return f"got the name {name!r} of a strategy that ships; expected another; rename the folder"
    if not _NAME.fullmatch(name):
        return f"got the name {name!r}; expected a to z, 0 to 9 and _, a letter first, 64 at most; rename the folder"
    return ""


def check_strategy(name: str) -> None:
    """Raises UsageError for a strategy that there is not, and PromptError for one of the user's own that is wrong."""
    if name not in STRATEGY_NAMES:
        find_own(name)


def find_own(name: str) -> "tuple[OwnStrategy, str]":
    """The user's own strategy of this name, and the SHA-256 of its file. Raises as `check_strategy`."""
    from cot.planner.own import load_own

    own = None if name_problem(name) else load_own(name)
    if own is None:
        known = strategy_names()
        raise UsageError(f"unknown strategy {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    return own
