"""How long the rest of many samples takes, as lines of progress tell it.

In: when samples are done. Out: text. It reads no clock.
"""

from typing import Final

SECONDS_BETWEEN_LINES: Final = 10.0
"""Where stderr is no terminal."""


class TimeLeft:
    """Of samples that run side by side. concurrency: samples in flight at most."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._done = 0
        self._first = 0.0

    def finished(self, now: float) -> None:
        """A sample is done. now: in seconds, as everywhere here."""
        self._done += 1
        self._first = self._first or now

    def text(self, left: int, now: float) -> str:
        """Samples a second, and the time that `left` of them take; empty while there is nothing to go by.

        Those that were in flight when the first one finished began with the run: they waited for what is loaded and
        warmed up once, and may be done in one moment. So nothing is told until one is done that began later; from the
        first one to that, all of a batch but one, and one of the next batch, were done.
        """
        if self._done <= self._concurrency or now <= self._first:
            return ""
        rate = (self._done - 1) / (now - self._first)
        minutes, seconds = divmod(round(left / rate), 60)
        return f"  {rate:.1f}/s  {minutes}:{seconds:02d} left"
