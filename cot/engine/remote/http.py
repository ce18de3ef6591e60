"""HTTP within bounds: a request is tried again where that can help, and never takes more than its limits.

In: a path and a body. Out: what a reader makes of the reply's bytes, or an EngineError of one line.
It follows no redirect, so that a key reaches no other host, and takes no compressed reply, so that the
bytes counted are the bytes kept. It does not know what requests and replies mean.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

import cot
from cot.engine.remote.address import Address, ApiKey, in_url
from cot.engine.remote.status import PassingError, RefusedError, clean, passes, refusal, retry_after, server_message
from cot.errors import EngineError
from cot.source import unusable_proxy

T = TypeVar("T")
Reader = Callable[[AsyncIterator[bytes]], Awaitable[T]]
"""Takes the bytes of a reply as they arrive."""

MAX_ERROR_BYTES: Final = 2**16
"""Bytes of a refusal that are looked at."""


@dataclass(frozen=True)
class Limits:
    """What a server may cost. All are above 0, but `retries` may be 0.

    timeout_seconds: one request, from its first try to its last byte, waiting for its turn not counted.
    connect_timeout_seconds: one try to connect. silence_timeout_seconds: between two pieces of a reply.
    retries: further tries after passing trouble. first_wait_seconds: before the first of them; doubles
    each time, up to longest_wait_seconds, which also caps what a server asks for; that is waited first.
    max_reply_bytes: one reply, streamed or not. max_concurrency: requests at one time.
    """

    timeout_seconds: float = 600.0
    connect_timeout_seconds: float = 10.0
    silence_timeout_seconds: float = 300.0
    retries: int = 3
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    max_reply_bytes: int = 32 * 2**20
    max_concurrency: int = 8

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not (value > 0 or (name == "retries" and value == 0)):
                raise EngineError(f"got the limit {name}={value!r}; expected a number above 0; leave it out if unsure")


class Http:
    """The connections to one server, for one event loop."""

    def __init__(
        self,
        address: Address,
        key: ApiKey,
        limits: Limits,
        *,
        tls: ssl.SSLContext,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        """tls: which certificates are trusted. transport: instead of one that httpx makes."""
        self.address = address
        self.key = key
        self.limits = limits
        headers = {"User-Agent": f"cot/{cot.__version__}", "Accept-Encoding": "identity"}
        if key.value:
            headers["Authorization"] = f"Bearer {key.value}"
        try:
            self._client = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(limits.silence_timeout_seconds, connect=limits.connect_timeout_seconds),
                limits=httpx.Limits(max_connections=limits.max_concurrency),
                follow_redirects=False,
                verify=tls,
                transport=transport,
                # What goes to a server on this machine goes over no proxy, which may be on another one.
                mounts={f"all://{in_url(address.host)}": None} if address.here else None,
            )
        except (ImportError, ValueError) as error:
            raise EngineError(unusable_proxy(error)) from error

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def exchange(
        self, url: str, read: Reader[T], *, body: bytes | None = None, stream: bool = False, retries: int | None = None
    ) -> T:
        """Send `body`, or ask without one, and give what `read` makes of the reply.

        stream: whether the reply is to come as server-sent events. retries: instead of the limits' own.
        Raises RefusedError if the server does not, and EngineError for anything else. Time is not bounded
        here but by `within`.
        """
        request = self._client.build_request(
            "GET" if body is None else "POST",
            url,
            content=body,
            headers={"Accept": "text/event-stream" if stream else "application/json"}
            | ({} if body is None else {"Content-Type": "application/json"}),
        )
        tries = 1 + (self.limits.retries if retries is None else retries)
        for done in range(1, tries):
            try:
                return await self._try(request, read)
            except PassingError as trouble:
                await asyncio.sleep(self._wait(done, trouble.retry_after_seconds))
        try:
            return await self._try(request, read)
        except PassingError as trouble:
            line = f"{trouble} (tried {tries} times)" if tries > 1 else str(trouble)
            raise (
                RefusedError(line, trouble.status, trouble.message) if trouble.status else EngineError(line)
            ) from trouble

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Let what stands inside take `seconds` at most. Raises EngineError if it takes longer."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise EngineError(
                f"server {self.address.base} did not answer within {seconds:g} seconds; expected a faster answer; "
                "ask for fewer tokens or allow more time"
            ) from error

    async def _try(self, request: httpx.Request, read: Reader[T]) -> T:
        try:
            response = await self._send(request)
            try:
                async with contextlib.aclosing(self._pieces(response)) as pieces:
                    if response.status_code != 200:
                        raise await self._refused(response, pieces)
                    return await read(pieces)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise PassingError(
                f"server {self.address.base} cannot be reached, or broke off: {self._reason(error)}; "
                "expected an answer over HTTP; check that it runs and that the URL is right"
            ) from error

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, OSError, ValueError) as error:
            raise EngineError(
                f"server {self.address.base} cannot be asked: {self._reason(error)}; expected an HTTP server; "
                "check its URL"
            ) from error

    async def _pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Raises EngineError if it is compressed or too long."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise EngineError(
                f"server {self.address.base} sent a compressed reply ({clean(encoding, self.key)}), which was not "
                "asked for; expected a plain one; switch compression off there"
            )
        declared = response.headers.get("Content-Length", "")
        size = int(declared) if declared.isascii() and declared.isdecimal() and len(declared) < 20 else 0
        if size <= self.limits.max_reply_bytes:
            size = 0
            async for piece in _arriving(response):
                size += len(piece)
                if size > self.limits.max_reply_bytes:
                    break
                yield piece
        if size > self.limits.max_reply_bytes:
            raise EngineError(
                f"server {self.address.base} sent more than {self.limits.max_reply_bytes} bytes; expected a shorter "
                "reply; ask for fewer tokens or samples, or raise max_reply_bytes"
            )

    async def _refused(self, response: httpx.Response, pieces: AsyncIterator[bytes]) -> EngineError:
        body = b""
        # The status says enough if the rest does not come.
        with contextlib.suppress(httpx.HTTPError, EngineError):
            async for piece in pieces:
                body += piece
                if len(body) >= MAX_ERROR_BYTES:
                    break
        status, message = response.status_code, server_message(body[:MAX_ERROR_BYTES], self.key)
        if passes(status, message):
            said = f"HTTP {status}{message and f': {message}'}"
            return PassingError(
                f"server {self.address.base} is busy or broken ({said}); expected an answer; try again later",
                status,
                retry_after(response.headers.get("Retry-After")),
                message,
            )
        return refusal(status, message, self.address, self.key, response.headers.get("Location", ""))

    def _wait(self, done: int, asked_seconds: float | None) -> float:
        """Seconds before the next try: what the server asked for, which may be 0 or over by our clock, and some more,
        drawn at random, so that clients do not return as one."""
        longest = self.limits.longest_wait_seconds
        own = random.uniform(0.5, 1.0) * min(longest, self.limits.first_wait_seconds * 2.0 ** (done - 1))
        return min(asked_seconds or 0.0, longest) + own

    def _reason(self, error: Exception) -> str:
        return clean(str(error), self.key) or type(error).__name__


async def _arriving(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    if response.is_stream_consumed:  # a transport made by hand may give a reply that is here already
        yield response.content
        return
    async for piece in response.aiter_raw():
        yield piece


async def read_all(pieces: AsyncIterator[bytes]) -> bytes:
    """A reader that takes the whole reply."""
    return b"".join([piece async for piece in pieces])
