"""The local engine: one model, one thread that runs it, any number of requests in flight.

In: requests, from one or more event loops. Out: completions and deltas. A second thread prepares prompts
and images meanwhile. What is pending runs as one batch (`batch`) where the family allows it, and one
request after another (`generate`) where it does not.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Union

from cot.engine.base import Completion, Delta, EngineInfo, Request
from cot.engine.streaming import OnText, deltas
from cot.errors import EngineError, reason

if TYPE_CHECKING:
    import torch

    from cot.engine.local.batch import Batch
    from cot.engine.local.generate import OneByOne
    from cot.engine.local.job import Job
    from cot.engine.local.load import Loaded

BATCHING = "running batch, shared prefixes"
KV_SHARE_OF_FREE = 0.25
"""Share of free memory that keys and values may take unless something else is asked for."""
CLOSE_SECONDS = 5.0
"""How long closing waits for each thread: a chat template without end, or a step of minutes, must hold nobody up."""
MAX_ROWS = {"cpu": 32, "cuda": 64}
"""Rows of a batch, by kind of device: on a CPU more rows are not faster."""


_log = logging.getLogger(__name__)


class _Refused:
    """Arrives in place of a job that could not be prepared, or that nobody waits for."""


class LocalEngine:
    """Answers requests with a model in this process. Made by `LocalEngine.load`."""

    def __init__(self, loaded: "Loaded", *, kv_bytes: int | None = None, compile: bool = False):
        from cot.engine.local.job import Preparer

        self._closing = threading.Event()
        self._asking = threading.Lock()
        self._preparer: Preparer | None = Preparer(loaded)
        self._info = loaded.info
        self._runner = self._make_runner(loaded, kv_bytes, compile)
        self._arrived: queue.SimpleQueue[Job | _Refused | None] = queue.SimpleQueue()
        self._submitted = 0
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._preparing = threading.Thread(target=self._prepare_all, name="cot-engine-prepare", daemon=True)
        self._thread = threading.Thread(target=self._serve, name="cot-engine", daemon=True)
        self._preparing.start()
        self._thread.start()

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        revision: str | None = None,
        kv_bytes: int | None = None,
        compile: bool = False,
        fetch: bool = True,
    ) -> "LocalEngine":
        """Load a checkpoint folder, or a hub id (which may download). Takes seconds and blocks.

        device: auto, cpu, cuda, cuda:N, mps. dtype: auto, float32, bfloat16, float16.
        quantize: none (as the checkpoint is), nf4, fp4 or int8.
        revision: branch, tag or commit of a hub id.
        kv_bytes: memory for keys and values, running and remembered; by default a quarter of what is free.
        compile: compile decoding, which takes a while at first; where it cannot be, the engine runs without and
        `info` says why.
        fetch: whether the hub may be asked for a hub id, which has to be in the cache if not.
        Raises EngineError if it cannot be found, loaded or asked, and ConfigError if it may not be fetched.
        """
        from cot.engine.local.load import load

        loaded = load(model, device=device, dtype=dtype, quantize=quantize, revision=revision, fetch=fetch)
        return cls(loaded, kv_bytes=kv_bytes, compile=compile)

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        return self._info

    @property
    def kv_bytes(self) -> int:
        """Memory that keys and values take now."""
        return self._runner.kv_bytes

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Cancelling the awaiting task drops it, or stops it at the next token.

        Raises EngineError; other requests in flight are not affected.
        """
        return await self._submit(request, None)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request piece by piece: the first sample's text, then the completion with an empty text.

        Raises EngineError. Leaving the loop early stops the generation.
        """
        return deltas(partial(self._submit, request))

    async def close(self) -> None:
        """Stop what runs, end the threads and free the model. Requests in flight fail with EngineError.

        A thread that does not end within `CLOSE_SECONDS` is left to end with the process.
        """
        with self._asking:
            self._closing.set()
            self._asked.put(None)
        await asyncio.to_thread(self._preparing.join, CLOSE_SECONDS)
        while self._preparing.is_alive() and not self._asked.empty():
            # Being closed, these fail at once, instead of waiting behind one that does not end.
            if prepare := self._asked.get():
                prepare()
        self._arrived.put(None)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        if self._preparer is None or self._preparing.is_alive() or self._thread.is_alive():
            return
        self._preparer = None
        del self._runner
        if self._info.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    async def _submit(self, request: Request, on_text: OnText | None) -> Completion:
        cancelled = threading.Event()
        answer: Future[Completion] = Future()
        # From here on nobody but the engine ends it: a task that is cancelled only stops waiting.
        answer.set_running_or_notify_cancel()
        # Another thread's event loop may ask, or close, meanwhile: behind the end of the queue nobody would answer.
        with self._asking:
            if self._closing.is_set():
                raise self._closed()
            self._submitted += 1
            self._asked.put(partial(self._prepare, request, answer, cancelled.is_set, on_text))
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def _prepare_all(self) -> None:
        """Runs in the preparing thread: one request after another, until closed."""
        while (prepare := self._asked.get()) is not None:
            prepare()

    def _prepare(
        self,
        request: Request,
        answer: "Future[Completion]",
        cancelled: Callable[[], bool],
        on_text: OnText | None,
    ) -> None:
        """Runs in the preparing thread."""
        job: Job | _Refused = _Refused()
        if self._closing.is_set() or self._preparer is None:
            answer.set_exception(self._closed())
        elif not cancelled():
            try:
                job = self._preparer.prepare(request, answer, cancelled=cancelled, on_text=on_text)
            except Exception as error:
                # As below: the thread must outlive whatever happens.
                answer.set_exception(error)
            if self._closing.is_set() and not answer.done():
                # Prepared too late: the model's thread may have ended.
                answer.set_exception(self._closed())
        self._arrived.put(job)

    def _serve(self) -> None:
        """Runs in the model's thread: take what has arrived, then step, until closed.

        An idle model waits until all that was asked meanwhile is prepared, or as much as runs together: the same
        questions asked together then begin as the same batch, and give the same probabilities to the last bit.
        """
        arrived = 0
        idle = True
        while True:
            if self._closing.is_set():
                self._runner.fail(self._closed())
                idle = True
            try:
                waits = idle and not self._runner.full and arrived < self._submitted
                job = self._arrived.get(block=waits or (idle and not self._runner.busy))
            except queue.Empty:
                self._step()
                idle = not self._runner.busy
                continue
            if job is None:
                # What was held back for others to be prepared is not begun any more.
                self._runner.fail(self._closed())
                return
            arrived += 1
            if not isinstance(job, _Refused):
                self._runner.add(job)

    def _step(self) -> None:
        try:
            self._runner.step()
        except Exception as error:
            # The thread must outlive whatever happens, or everyone waits for ever.
            self._runner.fail(EngineError(f"{self._info.model} failed: {type(error).__name__}: {reason(error)}"))

    def _make_runner(self, loaded: "Loaded", kv_bytes: int | None, compile: bool) -> Union["Batch", "OneByOne"]:
        """What runs jobs; `info` says which it is."""
        from cot.engine.local.compiled import uncompiled_reason
        from cot.engine.local.family import unbatched_reason

        if alone := unbatched_reason(loaded.model):
            from cot.engine.local.generate import OneByOne

            self._info = replace(self._info, batching=f"one at a time: {alone}")
            if compile:
                self._say_uncompiled("requests are answered one at a time")
            return OneByOne(loaded, abandoned=self._closing.is_set)
        from cot.engine.local.batch import Batch

        self._info = replace(self._info, batching=BATCHING)
        if compile and (reason := uncompiled_reason(loaded)):
            compile = False
            self._say_uncompiled(reason)
        elif compile:
            self._info = replace(self._info, batching=f"{BATCHING}, compiled decoding")
        device = loaded.model.device
        budget = _free_bytes(device) * KV_SHARE_OF_FREE if kv_bytes is None else kv_bytes
        return Batch(
            loaded,
            kv_bytes=int(budget),
            max_rows=MAX_ROWS.get(device.type, 32),
            on_uncompiled=self._give_up_compiling if compile else None,
        )

    def _say_uncompiled(self, reason: str) -> None:
        notes = [*filter(None, [self._info.note]), f"decoding is not compiled: {reason}"]
        self._info = replace(self._info, note="; ".join(notes))

    def _give_up_compiling(self, reason: str) -> None:
        """Called in the model's thread, when a pass could not be compiled."""
        self._info = replace(self._info, batching=BATCHING)
        self._say_uncompiled(reason)
        _log.warning("decoding is not compiled: %s", reason)

    def _closed(self) -> EngineError:
        return EngineError(f"the engine for {self._info.model} is closed; load it again")


def _free_bytes(device: "torch.device") -> int:
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return int(psutil.virtual_memory().available)
