"""The remote engine: a model behind any OpenAI-compatible server, any number of requests in flight.

In: requests, from one or more event loops. Out: completions and deltas. It loads nothing and batches nothing:
the server does. Texts are sent as they are; that no text in a message can pose as a control token of the model
is the server's matter. What comes back is checked here: its shape, its size, and its constraint.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Final, Literal

import httpx

from cot.engine.base import Completion, Delta, EngineInfo, Request, Usage
from cot.engine.remote.address import parse_address, read_key
from cot.engine.remote.chat import Chat
from cot.engine.remote.check import check_constraint
from cot.engine.remote.connections import Connections
from cot.engine.remote.dialect import DIALECTS, Dialect, Server
from cot.engine.remote.discover import discover
from cot.engine.remote.http import Limits
from cot.engine.streaming import OnText, deltas
from cot.errors import EngineError, UnfitReplyError
from cot.trace.plain import plain

CONNECTING_SECONDS: Final = 60.0
"""What finding out about a server may take."""


class RemoteEngine:
    """Answers requests with a model on a server. Made by `RemoteEngine.connect`.

    Log-probabilities are the server's own, mostly over all tokens and not only those that the constraint
    allowed; if it gives none, candidates have none. A constrained answer comes whole, once it was checked.
    """

    def __init__(self, server: Server, connections: Connections, *, load_seconds: float = 0.0):
        self._chat = Chat(server)
        self._connections = connections
        self._load_seconds = load_seconds
        self._running: set[asyncio.Task[Completion]] = set()
        self._closing = threading.Event()

    @classmethod
    async def connect(
        cls,
        url: str,
        model: str | None = None,
        *,
        dialect: Dialect | Literal["auto"] = "auto",
        api_key_variable: str | None = None,
        limits: Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> "RemoteEngine":
        """Find out what a server is, and be ready to ask it.

        url: http or https, mostly with `/v1` at its end; the model's name may stand behind a `#`.
        model: one that it serves; None for the one behind the `#`, or else the only one.
        api_key_variable: environment variable that holds the key, instead of COT_API_KEY.
        transport: used for all connections, instead of one that httpx makes; `close` closes it.
        Raises EngineError.
        """
        if dialect != "auto" and dialect not in DIALECTS:
            raise EngineError(f"unknown dialect {dialect!r}; known: auto, {', '.join(DIALECTS)}")
        begun = time.perf_counter()
        address = parse_address(url)
        limits = limits or Limits()
        connections = Connections(address, read_key(address, api_key_variable), limits, transport=transport)
        http = connections.open()
        try:
            async with http.within(min(CONNECTING_SECONDS, limits.timeout_seconds)):
                server = await discover(http, model or address.model, None if dialect == "auto" else dialect)
        finally:
            await http.close()
        return cls(server, connections, load_seconds=time.perf_counter() - begun)

    @property
    def info(self) -> EngineInfo:
        """What answers. versions: the kind of server, and what it was found to do `without` so far."""
        server = self._chat.server
        versions = {"server": plain(f"{server.dialect} {server.version}".strip(), one_line=True)}
        if lacking := self._chat.lacking:
            versions["without"] = ", ".join(lacking)
        return EngineInfo(
            model=plain(server.model, one_line=True),
            revision=None,
            dtype="unknown",
            quantization="unknown",
            device=self._connections.address.base,
            context_tokens=server.context_tokens,
            versions=versions,
            load_seconds={"connect": self._load_seconds},
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Cancelling the awaiting task ends its connection, which stops most servers.

        Raises EngineError; other requests in flight are not affected.
        """
        return await self._submit(request, None)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request piece by piece: the first sample's text, then the completion with an empty text.

        Raises EngineError. Leaving the loop early ends the connection.
        """
        return deltas(partial(self._submit, request))

    async def close(self) -> None:
        """End all connections. Requests in flight fail with EngineError."""
        self._closing.set()
        running = tuple(self._running)
        for task in running:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                task.get_loop().call_soon_threadsafe(task.cancel)
        here = [task for task in running if task.get_loop() is asyncio.get_running_loop()]
        await asyncio.gather(*here, return_exceptions=True)
        await self._connections.close()

    async def _submit(self, request: Request, on_text: OnText | None) -> Completion:
        if self._closing.is_set():
            raise self._closed()
        task = asyncio.ensure_future(self._answer(request, on_text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._closing.is_set() and not (current and current.cancelling()):
                raise self._closed() from None
            raise

    async def _answer(self, request: Request, on_text: OnText | None) -> Completion:
        """One request, or as many as it takes to get all samples; those that do not fit are left out."""
        if request.n < 1 or request.max_tokens < 1:
            raise EngineError(f"got n={request.n}, max_tokens={request.max_tokens}; expected at least 1 of each")
        if request.constraint:
            check_constraint(request.constraint)
        if request.sampling.temperature == 0:
            # All samples are the same, and servers refuse to make them twice.
            one = await self._in_turn(replace(request, n=1), on_text)
            return replace(one, candidates=one.candidates * request.n)
        if request.n == 1:
            return await self._in_turn(request, on_text)
        drawn = [await self._fitting(request, on_text)] if self._chat.samples else []
        given = max((len(one.candidates) for one in drawn if isinstance(one, Completion)), default=len(drawn))
        if self._chat.samples:
            # What is missing did not fit, nor when it was drawn again.
            given = request.n
        asked = [
            replace(request, n=1, sampling=replace(request.sampling, seed=(request.sampling.seed + i) % 2**32))
            for i in range(given, request.n)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._fitting(one, None if i else on_text)) for i, one in enumerate(asked, given)
                ]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        drawn += [task.result() for task in tasks]
        return _together(drawn)

    async def _fitting(self, request: Request, on_text: OnText | None) -> Completion | UnfitReplyError:
        """Samples that fit, or why there is none: others may."""
        try:
            return await self._in_turn(request, on_text)
        except UnfitReplyError as error:
            return error

    async def _in_turn(self, request: Request, on_text: OnText | None) -> Completion:
        lane = await self._connections.lane()
        asked = time.perf_counter()
        async with lane.turns:
            waited = time.perf_counter() - asked
            async with lane.http.within(self._connections.limits.timeout_seconds):
                completion = await self._chat.ask(lane.http, request, None if request.constraint else on_text)
        if on_text and request.constraint and completion.text:
            on_text(completion.text)
        return replace(completion, timings=replace(completion.timings, queue_seconds=waited))

    def _closed(self) -> EngineError:
        return EngineError(f"the engine for {self._connections.address.base} is closed; connect it again")


def _together(drawn: list[Completion | UnfitReplyError]) -> Completion:
    """One completion of those of single samples, at the cost of all; its timings are those of the slowest.

    Raises UnfitReplyError if none of them fits.
    """
    found = [one for one in drawn if isinstance(one, Completion)]
    unfit = [one for one in drawn if isinstance(one, UnfitReplyError)]
    usage = sum((one.usage for one in found), Usage()) + sum((Usage(**one.usage) for one in unfit), Usage())
    if not found:
        raise UnfitReplyError(str(unfit[0]), text=unfit[0].text, usage=vars(usage), cut=unfit[0].cut) from unfit[0]
    slowest = max(found, key=lambda c: c.timings.queue_seconds + c.timings.decode_seconds)
    candidates = tuple(candidate for completion in found for candidate in completion.candidates)
    return Completion(candidates, usage, slowest.timings)
