"""Connections to one server, for each event loop that asks it, and the turns that requests take.

In: an address, a key, limits. Out: a `Lane`. Connections belong to the loop that opened them, so each loop
has its own, and they end with it. It sends nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx

from cot.engine.remote.address import Address, ApiKey
from cot.engine.remote.http import Http, Limits
from cot.errors import EngineError, reason


@dataclass(frozen=True)
class Lane:
    """One loop's connections. turns: as many as requests may run at one time."""

    http: Http
    turns: asyncio.Semaphore


class Connections:
    """Makes connections and ends them."""

    def __init__(
        self, address: Address, key: ApiKey, limits: Limits, *, transport: httpx.AsyncBaseTransport | None = None
    ):
        """transport: carries all connections, instead of one that httpx makes."""
        self.address = address
        self.limits = limits
        self._key = key
        self._transport = transport
        # Reading the certificates takes longer than asking a server nearby.
        try:
            self._tls = httpx.create_ssl_context()
        except OSError as error:
            raise EngineError(
                f"the certificates to trust cannot be read: {reason(error)}; expected a file in SSL_CERT_FILE, or a "
                "folder in SSL_CERT_DIR; unset them if none is needed"
            ) from error
        self._lanes: dict[asyncio.AbstractEventLoop, tuple[Lane, AsyncGenerator[Lane, None]]] = {}

    def open(self) -> Http:
        """New connections, to be closed by whoever asked for them."""
        shared = _Shared(self._transport) if self._transport else None
        return Http(self.address, self._key, self.limits, tls=self._tls, transport=shared)

    async def lane(self) -> Lane:
        """The connections of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._lanes:
            # A loop may be closed without its generators, as `asyncio.run` would not.
            for known in list(self._lanes):
                if known.is_closed():
                    self._lanes.pop(known, None)
            opened = self._open_lane(loop)
            self._lanes[loop] = await anext(opened), opened
        return self._lanes[loop][0]

    async def close(self) -> None:
        """End the connections of the running loop; those of loops that have ended went with them."""
        loop = asyncio.get_running_loop()
        if loop in self._lanes:
            await self._lanes[loop][1].aclose()
        if self._transport:
            await self._transport.aclose()

    async def _open_lane(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Lane, None]:
        """A generator, because `asyncio.run` closes those that are left before it ends a loop: nobody else could end
        its connections any more, and a chat has a loop for each question."""
        http = self.open()
        try:
            yield Lane(http, asyncio.Semaphore(self.limits.max_concurrency))
        finally:
            del self._lanes[loop]
            await http.close()


class _Shared(httpx.AsyncBaseTransport):
    """A transport that several clients use, so that none of them may close it."""

    def __init__(self, transport: httpx.AsyncBaseTransport):
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)
