"""The local engine: one model, one worker thread, any number of requests in flight.

In: requests, from one or more event loops. Out: completions and deltas. The worker answers one request at
a time, in the order in which they came.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cot.engine.base import Completion, Delta, EngineInfo, Request
from cot.errors import EngineError

if TYPE_CHECKING:
    from cot.engine.local.generate import Generator


class LocalEngine:
    """Answers requests with a model in this process. Made by `LocalEngine.load`."""

    def __init__(self, generator: "Generator", info: EngineInfo):
        self._generator: Generator | None = generator
        self._info = info
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cot-engine")
        self._closing = threading.Event()

    @classmethod
    def load(
        cls, model: str | Path, *, device: str = "auto", dtype: str = "auto", revision: str | None = None
    ) -> "LocalEngine":
        """Load a checkpoint folder, or a hub id (which may download). Takes seconds and blocks.

        device: auto, cpu, cuda, cuda:N, mps. dtype: auto, float32, bfloat16, float16.
        revision: branch, tag or commit of a hub id.
        Raises EngineError if it cannot be found, loaded or asked.
        """
        from cot.engine.local.load import load

        loaded = load(model, device=device, dtype=dtype, revision=revision)
        from cot.engine.local.generate import Generator

        return cls(Generator(loaded), loaded.info)

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        return self._info

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Cancelling the awaiting task drops it, or stops it at the next token.

        Raises EngineError; other requests in flight are not affected.
        """
        return await self._submit(request, None)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request piece by piece: the first sample's text, then the completion with an empty text.

        Raises EngineError. Leaving the loop early stops the generation.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def put(piece: str | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        task = asyncio.ensure_future(self._submit(request, put))
        task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield Delta(piece)
            yield Delta("", await task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop what runs, end the worker thread and free the model. Requests in flight fail with EngineError."""
        self._closing.set()
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
        if self._generator is None:
            return
        self._generator = None
        if self._info.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    async def _submit(self, request: Request, on_text: Callable[[str], None] | None) -> Completion:
        if self._closing.is_set():
            raise self._closed()
        cancelled = threading.Event()
        submitted = time.perf_counter()
        work = self._worker.submit(self._work, request, cancelled, submitted, on_text)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            cancelled.set()
            task = asyncio.current_task()
            if self._closing.is_set() and not (task and task.cancelling()):
                raise self._closed() from None
            raise

    def _work(
        self,
        request: Request,
        cancelled: threading.Event,
        submitted: float,
        on_text: Callable[[str], None] | None,
    ) -> Completion:
        """Runs in the worker thread."""
        from cot.engine.local.generate import AbandonedError

        waited = time.perf_counter() - submitted
        if self._generator is None:
            raise self._closed()
        try:
            completion = self._generator.run(
                request, cancelled=lambda: cancelled.is_set() or self._closing.is_set(), on_text=on_text
            )
        except AbandonedError:
            # Nobody reads this error, unless the engine was closed under a request.
            raise self._closed() from None
        return replace(completion, timings=replace(completion.timings, queue_seconds=waited))

    def _closed(self) -> EngineError:
        return EngineError(f"the engine for {self._info.model} is closed; load it again")
