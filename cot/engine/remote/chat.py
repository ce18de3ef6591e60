"""One exchange with a server: a request goes out, a checked completion comes back.

In: connections and a `Request`. Out: a `Completion`. What a server does not take is left out the next time;
what it was not told is checked all the same. It knows neither queues nor other requests.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Set
from dataclasses import replace
from functools import partial
from typing import Final

import httpx

from cot.engine.base import Candidate, Completion, Constraint, Request, Timings, Usage
from cot.engine.grammar import shown
from cot.engine.remote.check import fitting
from cot.engine.remote.dialect import Server
from cot.engine.remote.http import Http, read_all
from cot.engine.remote.reply import Gathered, ReplyError
from cot.engine.remote.request import OPTIONAL, ImageUrls, request_body, tells_stop
from cot.engine.remote.status import PassingError, RefusedError, clean
from cot.engine.remote.stream import EventDecoder
from cot.engine.remote.text import (
    StopGate,
    ThoughtGate,
    cut_at_stop,
    ended_in_thoughts,
    spelling,
    unwrapped,
    without_key,
    without_thoughts,
)
from cot.engine.streaming import OnText
from cot.errors import EngineError, RequestError, UnfitReplyError

SECOND_SEED: Final = 2**31
"""Added to the seed of a random sample that is drawn again."""

REMEMBERED_AT_MOST: Final = 256

_Value = Constraint | float | None


class Chat:
    """Asks one server, and remembers what it does not take, once a reply has come without it."""

    def __init__(self, server: Server):
        self.server = server
        self._images = ImageUrls()
        self._without: set[str] = set()
        self._refused: dict[tuple[str, _Value], None] = {}

    @property
    def samples(self) -> bool:
        """Whether the server gives several samples at one time, as far as is known."""
        return self.server.samples and "n" not in self._without

    @property
    def lacking(self) -> tuple[str, ...]:
        """What the server was found not to offer."""
        return tuple(sorted(self._without | {part for part, _ in self._refused}))

    async def ask(self, http: Http, request: Request, on_text: OnText | None = None) -> Completion:
        """Answer a request. on_text: gets the first sample's text without its thoughts, as far as these say
        where they begin; for unconstrained requests only.

        A server that gives fewer samples than were asked for is not asked for several again.
        A reply that does not fit its constraint is drawn once more if it was drawn at random, which leaves
        the samples those of a constrained model; of several those come that fit. Raises EngineError.
        """
        used, fit, odd = Usage(), list[Candidate](), Candidate("", "length")
        again = request.constraint is not None and request.sampling.temperature > 0
        for asked in (request, _redrawn(request)) if again else (request,):
            missing = request.n - len(fit)
            # What is drawn again may take what the first draw left, and no more.
            left = (request.n * request.max_tokens - used.completion_tokens) // missing
            if left < 1:
                break
            asked = replace(asked, n=missing, max_tokens=min(request.max_tokens, left))
            try:
                completion = await self._ask_once(http, asked, on_text)
            except ReplyError as error:
                kind = RequestError if isinstance(error, RequestError) else EngineError
                raise kind(f"server {http.address.base}: {http.key.redact(str(error))}") from error
            used += completion.usage
            # What only such a smaller limit cut short says nothing.
            less = asked.max_tokens < request.max_tokens
            held = [
                None if less and candidate.finish_reason == "length" else self._held(candidate, request)
                for candidate in completion.candidates
            ]
            fit += filter(None, held)
            if all(held):
                break
            if odd.finish_reason == "length":
                odd = next(c for c, one in zip(completion.candidates, held, strict=True) if one is None)
        if fit:
            return replace(completion, candidates=tuple(fit), usage=used)
        cut = odd.finish_reason == "length"
        said = ", cut short" if cut else ""
        raise UnfitReplyError(
            f"server {http.address.base} answered {http.key.redact(odd.text)[:80]!r}{said}; expected what fits "
            f"{shown(request.constraint) if request.constraint else 'the request'}; use a server that can hold answers "
            "to it (vLLM, SGLang, llama.cpp) or a stronger model",
            text=odd.text,
            usage=vars(used),
            cut=cut,
        )

    async def _ask_once(self, http: Http, request: Request, on_text: OnText | None) -> Completion:
        begun = time.perf_counter()
        gathered, stop_told = await self._negotiate(http, request, on_text)
        prefill = gathered.first_text_at - begun if gathered.first_text_at else 0.0
        found, used = gathered.candidates(), gathered.usage
        if stop_told and any(map(ended_in_thoughts, found)):
            # A stop string was among the thoughts. Those behind them are found here.
            unheard = on_text if ended_in_thoughts(found[0]) else None
            gathered, _ = await self._negotiate(http, request, unheard, without={"stop"})
            self._without.add("stop")
            again = zip(found, gathered.candidates(), strict=False)
            found = tuple(second if ended_in_thoughts(first) else first for first, second in again)
            used += gathered.usage
        gathered.check_answered()
        told = [without_key(candidate, http.key) for candidate in found]
        candidates = tuple(spelling(without_thoughts(candidate)) for candidate in told)
        if len(candidates) < request.n:
            self._without.add("n")
        if any(candidate.text and not candidate.logprobs for candidate in candidates):
            self._without.add("logprobs")
        if not self.server.wraps(request.constraint):
            candidates = tuple(cut_at_stop(candidate, request.stop) for candidate in candidates)
        return Completion(
            candidates,
            used,
            Timings(prefill_seconds=prefill, decode_seconds=time.perf_counter() - begun - prefill),
        )

    async def _negotiate(
        self, http: Http, request: Request, on_text: OnText | None, *, without: Set[str] = frozenset()
    ) -> tuple[Gathered, bool]:
        """Ask, and ask again without what the server says it does not take.

        without: parts that are left out this once. Gives the reply, and whether the server was told the stop strings.
        """
        url = f"{http.address.base}/chat/completions"

        async def read_whole(pieces: AsyncIterator[bytes]) -> Gathered:
            return _gathered(request, http).add_whole(await read_all(pieces))

        async def read_stream(pieces: AsyncIterator[bytes]) -> Gathered:
            return await _read_stream(pieces, request, on_text or (lambda _: None), http)

        stream = on_text is not None
        refused_parts: set[str] = set()
        while True:
            left_out = self._without | refused_parts | without
            left_out |= {part for part, value in _values(request).items() if (part, value) in self._refused}
            body = await asyncio.to_thread(
                request_body, request, self.server, self._images, without=left_out, stream=stream
            )
            try:
                gathered = await http.exchange(url, read_stream if stream else read_whole, body=body, stream=stream)
            except RefusedError as refused:
                part = _refused_part(refused, request, left_out)
                if part is None:
                    raise
                refused_parts.add(part)
                continue
            # A refusal may name a part and mean something else.
            for part in refused_parts:
                self._forgo(part, request)
            return gathered, tells_stop(request, self.server, left_out)

    def _forgo(self, part: str, request: Request) -> None:
        values = _values(request)
        if part not in values:
            self._without.add(part)
            return
        if len(self._refused) >= REMEMBERED_AT_MOST:
            self._refused.clear()
        self._refused[part, values[part]] = None

    def _held(self, candidate: Candidate, request: Request) -> Candidate | None:
        """The candidate if it fits the request's constraint, else None."""
        if request.constraint is None:
            return candidate
        if self.server.wraps(request.constraint):
            candidate = cut_at_stop(unwrapped(candidate), request.stop)
        cut = candidate.finish_reason == "length"
        text = fitting(request.constraint, candidate.text, cut=cut)
        if text is None:
            return None
        satisfied = not cut or fitting(request.constraint, text) is not None
        said = "" if text.strip() == candidate.text.strip() else candidate.text
        return replace(candidate, text=text, satisfied=satisfied, said=said)


def _values(request: Request) -> dict[str, _Value]:
    """Those parts of which a server may refuse one value and take another."""
    sampling = request.sampling
    return {"constraint": request.constraint, "temperature": sampling.temperature, "top_p": sampling.top_p}


def _redrawn(request: Request) -> Request:
    seed = (request.sampling.seed + SECOND_SEED) % 2**32
    return replace(request, sampling=replace(request.sampling, seed=seed))


def _gathered(request: Request, http: Http) -> Gathered:
    return Gathered(request.n, request.alternatives, partial(clean, key=http.key))


async def _read_stream(pieces: AsyncIterator[bytes], request: Request, on_text: OnText, http: Http) -> Gathered:
    """Read server-sent events up to `[DONE]` or the end, or a whole reply where the server sends no events.

    Once text was passed on, no trouble is passing any more.
    """
    gathered, decoder = _gathered(request, http), EventDecoder()
    begun, streamed = bytearray(), False
    given = False

    def give(text: str) -> None:
        nonlocal given
        given = True
        on_text(text)

    gate = ThoughtGate(StopGate(request.stop, give))
    broken: Exception | None = None
    try:
        async for piece in pieces:
            begun += b"" if streamed else piece
            for data in decoder.feed(piece):
                streamed = True
                if data.strip() == "[DONE]":
                    gate.end()
                    return gathered
                if data.strip():
                    gate.add(gathered.add_chunk(data))
        for data in decoder.end():
            if data.strip() not in ("", "[DONE]"):
                gate.add(gathered.add_chunk(data))
    except httpx.HTTPError as error:
        broken = error
    if not broken and not streamed and begun.lstrip().startswith((b"{", b"<")):
        gate.add(gathered.add_whole(bytes(begun)).candidates()[0].text)
    if broken or not gathered.ended:
        line = f"server {http.address.base} broke off its answer; expected all of it; ask again, or look at the server"
        raise (EngineError if given else PassingError)(line) from broken
    gate.end()
    return gathered


def _refused_part(refused: RefusedError, request: Request, without: set[str]) -> str | None:
    """Which part that a request can do without the server's refusal names."""
    if refused.status not in (400, 403, 422, 501):
        return None
    message = refused.message.lower()
    needless = {*without, *(() if request.constraint else ("constraint",)), *(() if request.n > 1 else ("n",))}
    needless |= {*(() if request.stop else ("stop",)), *(() if request.sampling.temperature else ("top_p", "seed"))}
    parts = [part for part in OPTIONAL if part not in needless]
    return next((part for part in parts if any(re.search(word, message) for word in OPTIONAL[part])), None)
