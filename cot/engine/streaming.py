"""Turns an answer that reports its text piece by piece into deltas."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from cot.engine.base import Completion, Delta

OnText = Callable[[str], None]
"""Takes the next piece of the first sample's text; may be called from any thread."""


async def deltas(answer: Callable[[OnText], Coroutine[Any, Any, Completion]]) -> AsyncIterator[Delta]:
    """The pieces that `answer` reports, then its completion with an empty text.

    Raises what `answer` raises. Leaving the loop early cancels it.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(piece: str | None) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, piece)

    task = asyncio.ensure_future(answer(put))
    task.add_done_callback(lambda _: put(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield Delta(piece)
        yield Delta("", await task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
