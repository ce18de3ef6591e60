"""Whether it makes sense to go on: an engine that is gone fails on every sample that is left.

In: an engine, and results as they come. Out: an EngineError that says why a run stops. A sample that fails for a reason
of its own (a damaged image, a prompt that is too long) costs itself alone, as long as any other one goes well.
"""

from collections.abc import AsyncIterator
from typing import Final

from cot.engine.base import Completion, Delta, Engine, EngineInfo, Request
from cot.errors import EngineError, RequestError
from cot.evaluate.result import SampleResult

MOST_FAILED_CALLS: Final = 20
"""Calls in a row that an engine fails on before a run stops, whatever they ask."""

MOST_FAILED_SAMPLES: Final = 100
"""Samples that fail before a run stops in which none has gone well, whatever the reasons."""


class WatchedEngine:
    """An engine whose failures are counted. A request that it refuses for what is asked is no failure of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.failed_calls = 0
        """In a row, up to now."""
        self.last_failure = ""

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        return self._engine.info

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises EngineError."""
        try:
            completion = await self._engine.complete(request)
        except RequestError:
            self.failed_calls = 0
            raise
        except EngineError as error:
            self.failed_calls += 1
            self.last_failure = str(error)
            raise
        self.failed_calls = 0
        return completion

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request piece by piece; not counted."""
        return self._engine.stream(request)

    async def close(self) -> None:
        """Free the model or the connections."""
        await self._engine.close()


class Health:
    """How a run does. engines: those that it asks."""

    def __init__(self, *engines: WatchedEngine) -> None:
        self._engines = engines
        self._failed = 0
        self._fine = False

    def known(self, result: SampleResult) -> None:
        """A result of an earlier start: where one went well, others can."""
        self._fine = self._fine or result.status != "errored"

    def check(self, result: SampleResult) -> None:
        """Take a result that is on disk. Raises EngineError if going on makes no sense."""
        self.known(result)
        self._failed += result.failed
        again = "mend that, and give the same command with --retry-errors: it does again what failed, and goes on"
        for engine in self._engines:
            if engine.failed_calls >= MOST_FAILED_CALLS:
                raise EngineError(
                    f"stopped: {engine.info.model} failed {engine.failed_calls} times in a row, the last time with:"
                    f" {engine.last_failure}; {again}"
                )
        if not self._fine and self._failed >= MOST_FAILED_SAMPLES:
            raise EngineError(
                f"stopped: all {self._failed} samples so far failed, the last with: {result.explanation}; {again}"
            )
