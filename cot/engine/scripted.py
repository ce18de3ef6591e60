"""An engine that answers from a script: what planner tests and demonstrations run on.

In: replies, or a function from request to reply. Out: completions made from them. It checks no
constraint, so a script can also play a model that answers badly.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable

from cot.engine.base import Candidate, Completion, Delta, EngineInfo, Request, Usage
from cot.errors import EngineError

Reply = str | Completion | Exception
"""A text for every sample, a whole completion, or an error to raise."""

SCRIPTED_INFO = EngineInfo(
    model="scripted", revision=None, dtype="none", quantization="none", device="none", context_tokens=0
)


class ScriptedEngine:
    """Gives `replies` in the order in which requests arrive, or what a function makes of each request.

    requests: every request so far, in order.
    Usage counts words as tokens, and each image as one image token.
    Raises EngineError when the script has run out, or once it is closed.
    """

    def __init__(self, replies: Iterable[Reply] | Callable[[Request], Reply], *, info: EngineInfo = SCRIPTED_INFO):
        if isinstance(replies, str):
            raise EngineError(f"got one text as the script: {replies!r}; expected a list of replies or a function")
        self._make = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)
        self._info = info
        self._closed = False
        self.requests: list[Request] = []

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        return self._info

    async def complete(self, request: Request) -> Completion:
        """The next reply. Raises EngineError, or the script's own error."""
        reply = self._next(request)
        await asyncio.sleep(0)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Completion):
            return reply
        return Completion((Candidate(reply, "stop"),) * request.n, _count(request, reply))

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The next reply's first sample word by word; the last delta is empty and carries the completion."""
        completion = await self.complete(request)
        for piece in re.findall(r"\s*\S+|\s+$", completion.text):
            yield Delta(piece)
            await asyncio.sleep(0)
        yield Delta("", completion)

    async def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    def _next(self, request: Request) -> Reply:
        if self._closed:
            raise EngineError("the scripted engine is closed; create another one")
        index = len(self.requests)
        self.requests.append(request)
        if self._make is not None:
            return self._make(request)
        if index >= len(self._replies):
            raise EngineError(
                f"the script has {len(self._replies)} replies, but request {index + 1} arrived; add a reply"
            )
        return self._replies[index]


def _count(request: Request, reply: str) -> Usage:
    parts = [part for message in request.messages for part in message.content]
    words = sum(len(part.split()) for part in parts if isinstance(part, str))
    images = sum(not isinstance(part, str) for part in parts)
    answer = len(reply.split()) * request.n
    return Usage(prompt_tokens=words + images, image_tokens=images, completion_tokens=answer, calls=1, batches=1)
