"""The model of a conversation, loaded in the background while the user types.

In: a function that loads what settings name, and settings, which may change. Out: the engine, once it is there.
There is one at a time: the one before is closed before the next one is loaded, so that memory holds one model only.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Literal, TypeVar

from cot.engine.base import Engine
from cot.errors import CotError, EngineError, reason
from cot.settings import Settings

T = TypeVar("T")
Load = Callable[[Settings], Engine]
"""Loads a model. Raises EngineError."""

OF_THE_MODEL: Final = ("model", "device", "quantize", "kv_memory", "compile")
"""Settings that say what is loaded, and how."""

_POLL_SECONDS: Final = 0.02


def in_background(work: Callable[[], T]) -> Future[T]:
    """Run in a thread that does not keep the process alive: nobody waits for a download that he has given up."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="cot-chat", daemon=True).start()
    return outcome


async def finished(outcome: Future[T]) -> T:
    """Wait for work in the background. Being cancelled leaves it alone: another message may want it still."""
    while not outcome.done():
        await asyncio.sleep(_POLL_SECONDS)
    return outcome.result()


class Engines:
    """Holds the engine that settings name."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._named: tuple[object, ...] = ()
        self._outcome: Future[Engine] | None = None

    @property
    def state(self) -> Literal["not loaded", "loading", "ready", "failed"]:
        """Where the loading stands."""
        if self._outcome is None:
            return "not loaded"
        if not self._outcome.done():
            return "loading"
        return "failed" if self._outcome.exception() else "ready"

    def want(self, settings: Settings) -> None:
        """Begin to load, unless it is what is loaded. What failed before is tried again."""
        named = tuple(getattr(settings, name) for name in OF_THE_MODEL)
        if named == self._named and self.state in ("loading", "ready"):
            return
        self._named, before = named, self._outcome
        self._outcome = in_background(lambda: self._replace(before, settings))

    async def ready(self, settings: Settings) -> Engine:
        """The engine, when it is loaded. Raises CotError if it cannot be."""
        self.want(settings)
        assert self._outcome is not None
        return await finished(self._outcome)

    async def tried(self, settings: Settings, seconds: float) -> bool:
        """Begin to load, and wait for so long at most: whether that was too short. Raises CotError if it failed."""
        try:
            await asyncio.wait_for(self.ready(settings), seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Close the engine; one that is still being loaded ends with the process."""
        if self._outcome is not None and self.state == "ready":
            asyncio.run(self._outcome.result().close())

    def _replace(self, before: Future[Engine] | None, settings: Settings) -> Engine:
        if before is not None and before.exception() is None:
            asyncio.run(before.result().close())
        try:
            return self._load(settings)
        except CotError:
            raise
        except Exception as error:
            raise EngineError(
                f"the model {settings.model!r} cannot be loaded: {reason(error)}; name another one with /model NAME"
            ) from error
