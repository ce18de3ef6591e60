"""Takes lines one after another in a thread of its own, so that the next ones can be typed meanwhile.

In: lines. Out: what the session tells. Stopping interrupts the line that is being taken, and none that waits is taken.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from cot.chat.engines import in_background
from cot.chat.session import Session
from cot.chat.take import take


class Answering:
    """Lines that wait, and the one that is being taken."""

    def __init__(self, session: Session, *, begun: Callable[[str], None], ended: Callable[[], None]) -> None:
        """begun: called with each line before it is taken. ended: when the user wants to go, or after a fault.

        Both are called in the thread that takes the lines.
        """
        self._session: Final = session
        self._begun, self._ended = begun, ended
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._cancel: Callable[[], object] | None = None
        self._taking = self._stopped = self._closed = False
        self._outcome = in_background(self._take_all)

    @property
    def busy(self) -> bool:
        """Whether a line is being taken."""
        return self._taking

    @property
    def waiting(self) -> int:
        """Lines that are to be taken after it."""
        return len(self._lines)

    def add(self, line: str) -> None:
        """Take a line when those before it are done."""
        with self._changed:
            self._lines.append(line)
            self._changed.notify()

    def stop(self) -> list[str]:
        """Interrupt the line that is being taken; the lines behind it, which will not be taken."""
        with self._changed:
            dropped = list(self._lines)
            self._lines.clear()
            if self._taking and not self._stopped and self._cancel:
                self._cancel()
            self._stopped = True
        return dropped

    def close(self) -> None:
        """Stop, and wait until what was said is kept. Raises what was not expected in the other thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.stop()
        self._outcome.result()

    def _take_all(self) -> None:
        try:
            while (line := self._next()) is not None and not self._session.leaving:
                self._begun(line)
                asyncio.run(self._take(line))
                self._taking = False
        finally:
            self._ended()

    def _next(self) -> str | None:
        with self._changed:
            while not self._lines and not self._closed and not self._session.leaving:
                self._changed.wait()
            if self._closed or not self._lines:
                return None
            self._taking, self._stopped = True, False
            return self._lines.popleft()

    async def _take(self, line: str) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        with self._changed:
            if self._stopped or task is None:
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await take(self._session, line)
        finally:
            with self._changed:
                self._cancel = None
