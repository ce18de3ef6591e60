"""Whether it makes sense to go on: an engine that is gone fails on every sample that is left.

In: an engine, and results as they come. Out: an EngineError that says why a run stops. A sample that fails for a reason
of its own (a damaged image, a prompt that is too long) costs itself alone, as long as any other one goes well.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from cot.engine.base import Completion, Delta, Engine, EngineInfo, Request
from cot.errors import EngineError, RequestError
from cot.evaluate.result import SampleResult

MOST_FAILED_CALLS: Final = 20
"""Calls in a row that an engine fails on before a run stops, whatever they ask."""

MOST_SILENT_SAMPLES: Final = 5
"""Samples in a row whose time ran out on an engine from which nothing came back, before a run stops."""

_TIMES_THE_LONGEST: Final = 2
"""So much longer than any answer took must nothing come back before an engine is called silent, and not slow."""

MOST_FAILED_SAMPLES: Final = 100
"""Samples that fail before a run stops in which none has gone well, whatever the reasons."""


@dataclass
class Record:
    """How an engine did. failed_calls, silent_samples: in a row, up to now. silent_seconds: of the last of these.

    answered_at: when something came back last, if only a refusal. longest_seconds: that it ever took.
    """

    failed_calls: int = 0
    last_failure: str = ""
    silent_samples: int = 0
    silent_seconds: float = 0.0
    answered_at: float = 0.0
    longest_seconds: float = 0.0


class WatchedEngine:
    """An engine whose failures are counted. A request that it refuses for what is asked is no failure of the engine.

    went_silent: whether a call was ended from outside, as when the time of a sample is up, and for most of its wait
    nothing had come back from the engine to anyone. A slow one answers others meanwhile, or takes as long every time.
    """

    def __init__(self, engine: Engine, record: Record | None = None) -> None:
        """record: shared with others that stand before the same engine."""
        self._engine = engine
        self.record = record or Record()
        self.went_silent = False

    def for_sample(self) -> "WatchedEngine":
        """The same engine, for the calls of one sample."""
        return WatchedEngine(self._engine, self.record)

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        return self._engine.info

    @property
    def gone(self) -> str:
        """Why it makes no sense to ask it any more; empty where it does."""
        record, model = self.record, self.info.model
        if record.failed_calls >= MOST_FAILED_CALLS:
            return f"{model} failed {record.failed_calls} times in a row, the last time with: {record.last_failure}"
        if record.silent_samples >= MOST_SILENT_SAMPLES:
            return (
                f"nothing came back from {model} for {record.silent_samples} samples in a row, the last time in"
                f" {record.silent_seconds:.4g} seconds; see whether it still runs"
            )
        return ""

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises EngineError."""
        begun = time.monotonic()
        try:
            completion = await self._engine.complete(request)
        except asyncio.CancelledError:
            self._cut_off(begun)
            raise
        except RequestError:
            self._answered(begun)
            raise
        except EngineError as error:
            self.record.failed_calls += 1
            self.record.last_failure = str(error)
            raise
        self._answered(begun)
        return completion

    def _answered(self, begun: float) -> None:
        record = self.record
        record.failed_calls = record.silent_samples = 0
        record.answered_at = time.monotonic()
        record.longest_seconds = max(record.longest_seconds, record.answered_at - begun)

    def _cut_off(self, begun: float) -> None:
        record, now = self.record, time.monotonic()
        silent = now - max(begun, record.answered_at)
        if silent > max((now - begun) / 2, _TIMES_THE_LONGEST * record.longest_seconds):
            record.silent_samples += not self.went_silent
            record.silent_seconds = silent
            self.went_silent = True

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
            if why := engine.gone:
                is_silent = engine.record.failed_calls < MOST_FAILED_CALLS
                longer = "; where the model needs so long, set a larger --max-seconds, and another --out" * is_silent
                raise EngineError(f"stopped: {why}; {again}{longer}")
        if not self._fine and self._failed >= MOST_FAILED_SAMPLES:
            raise EngineError(
                f"stopped: all {self._failed} samples so far failed, the last with: {result.explanation}; {again}"
            )
