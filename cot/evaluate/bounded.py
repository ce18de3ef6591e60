"""Many jobs, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

Job = TypeVar("Job")


async def run_bounded(jobs: Iterator[Job], work: Callable[[Job], Awaitable[None]], concurrency: int) -> None:
    """Work on all jobs, at most `concurrency` at a time; jobs are taken as places become free.

    The first error ends it: what is in flight is cancelled, and the error raised.
    """
    pending: set[asyncio.Future[None]] = set()
    try:
        for job in jobs:
            pending.add(asyncio.ensure_future(work(job)))
            if len(pending) >= concurrency:
                pending = await _after_one(pending)
        while pending:
            pending = await _after_one(pending)
    finally:
        for one in pending:
            one.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _after_one(pending: set[asyncio.Future[None]]) -> set[asyncio.Future[None]]:
    """What is still pending once at least one is done. Raises its error."""
    finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    for one in finished:
        one.result()
    return pending
