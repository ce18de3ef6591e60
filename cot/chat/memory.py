"""What a follow-up is told of the turns before it.

In: turns. Out: an `Earlier` for the planner, which summarises it where it is too long. The summary is kept with the
turn that it was made for, so that taking the turn back takes it back too.
"""

from collections.abc import Sequence
from typing import Any

from cot.chat.turn import Turn
from cot.model import EMBEDDED
from cot.planner.asked import storable
from cot.question import Earlier, Exchange
from cot.settings import Settings


def remembers(settings: Settings) -> bool:
    """Whether follow-ups are told what was said: as `memory` says; the embedded model cannot make use of it."""
    return settings.memory == "on" or (settings.memory == "auto" and settings.model != EMBEDDED)


def remembered(before: Sequence[Turn]) -> Earlier:
    """The last summary, and the answered turns since."""
    summary, start = _last_summary(before)
    return Earlier(tuple(exchange for exchange in map(_exchange, before[start:]) if exchange), summary)


def summarised(before: Sequence[Turn], earlier: Earlier) -> dict[str, Any]:
    """Fields of a turn: the summary, and how many turns it stands for, if there is one now."""
    _, start = _last_summary(before)
    if not earlier.summary:
        return {}
    told = [number for number, turn in enumerate(before) if number >= start and _exchange(turn)]
    kept = len(earlier.exchanges)
    first = told[len(told) - kept] if kept else len(before)
    return {"summary": storable(earlier.summary), "summarised": first}


def _last_summary(before: Sequence[Turn]) -> tuple[str, int]:
    return next(((turn.summary, turn.summarised) for turn in reversed(before) if turn.summary), ("", 0))


def _exchange(turn: Turn) -> Exchange | None:
    if turn.answer is None or not turn.answered:
        return None
    return Exchange(turn.understood or turn.question, turn.answer.text)
