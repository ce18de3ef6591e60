"""What a follow-up is told of the turns before it.

In: turns. Out: an `Earlier` for the planner, which summarises it where it is too long. The summary is kept with the
turn that it was made for, so that taking the turn back takes it back too. Images are called by the numbers that they
have for the follow-up.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from cot.chat.turn import Turn
from cot.model import EMBEDDED
from cot.planner.asked import storable
from cot.question import Earlier, Exchange
from cot.settings import Settings
from cot.trace.event import TracedImage

IMAGE_NUMBER: Final = re.compile(r"\[([0-9]{1,9})\]")
"""How a message calls an image, counted from 1."""

TAKEN_AWAY: Final = "[an image that was taken away]"
"""In place of the number of an image that is no longer attached."""


def remembers(settings: Settings) -> bool:
    """Whether follow-ups are told what was said: as `memory` says; the embedded model cannot make use of it."""
    return settings.memory == "on" or (settings.memory == "auto" and settings.model != EMBEDDED)


def remembered(before: Sequence[Turn], images: Sequence[TracedImage]) -> Earlier:
    """The last summary, and the answered turns since. images: those that the follow-up is about."""
    summary, start, its_images = _last_summary(before)
    exchanges = tuple(
        Exchange(*(renumbered(text, turn.images, images) for text in (said.question, said.answer)))
        for turn in before[start:]
        if (said := _exchange(turn))
    )
    return Earlier(exchanges, renumbered(summary, its_images, images))


def summarised(before: Sequence[Turn], earlier: Earlier) -> dict[str, Any]:
    """Fields of a turn: the summary, and how many turns it stands for, if there is one now."""
    _, start, _ = _last_summary(before)
    if not earlier.summary:
        return {}
    told = [number for number, turn in enumerate(before) if number >= start and _exchange(turn)]
    kept = len(earlier.exchanges)
    first = told[len(told) - kept] if kept else len(before)
    return {"summary": storable(earlier.summary), "summarised": first}


def _last_summary(before: Sequence[Turn]) -> tuple[str, int, tuple[TracedImage, ...]]:
    """The summary, how many turns it stands for, and the images whose numbers it has."""
    with_one = (turn for turn in reversed(before) if turn.summary)
    return next(((turn.summary, turn.summarised, turn.images) for turn in with_one), ("", 0, ()))


def _exchange(turn: Turn) -> Exchange | None:
    if turn.answer is None or not turn.answered:
        return None
    return Exchange(turn.understood or turn.question, turn.answer.text)


def renumbered(text: str, then: Sequence[TracedImage], now: Sequence[TracedImage]) -> str:
    """A text that was said when there were other images, with the numbers of those that are there now."""
    numbers = {image.sha256: number for number, image in enumerate(now, 1)}

    def now_called(named: re.Match[str]) -> str:
        place = int(named[1]) - 1
        if not 0 <= place < len(then):
            return named[0]
        number = numbers.get(then[place].sha256)
        return f"[{number}]" if number else TAKEN_AWAY

    return IMAGE_NUMBER.sub(now_called, text)
