"""Hands batches to training, from processes of their own or from this one.

In: what makes a batch by its number. Out: the batches as tensors, in order and without end. It knows nothing of what is
in them.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cot.errors import DataError

if TYPE_CHECKING:
    import torch

Arrays = dict[str, NDArray[Any]]


def feed(maker: Callable[[int], Arrays], *, workers: int, ahead: bool) -> Iterator[dict[str, "torch.Tensor"]]:
    """Endless batches, made by `workers` processes (0: this one) a round at a time.

    ahead: make the next round while this one is used. Right where a GPU uses it; on a CPU the two
    would fight for the cores, and a step that waits for one of its threads is several times slower.
    The batches do not depend on either setting. Raises DataError if one of the processes is killed.
    """

    def tensors(arrays: Arrays) -> dict[str, "torch.Tensor"]:
        import torch  # not above: those who only make batches need none

        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    if not workers:
        yield from (tensors(maker(index)) for index in itertools.count())
        return
    rounds = (range(first, first + 4 * workers) for first in itertools.count(0, 4 * workers))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        made = _begin(pool, maker, next(rounds))
        while True:
            ready = list(made)
            if ahead:
                made = _begin(pool, maker, next(rounds))
            yield from map(tensors, ready)
            if not ahead:
                made = _begin(pool, maker, next(rounds))
    except BrokenProcessPool as error:
        raise DataError(
            f"a process that makes samples was killed; if memory ran out, try fewer than {workers} --workers: the same"
            " command goes on from the last checkpoint"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(pool: ProcessPoolExecutor, maker: Callable[[int], Arrays], numbers: range) -> Iterator[Arrays]:
    """Have batches made. Ctrl-C reaches all processes of a terminal, and is left to this one.

    Those that are started here are deaf to it from their first moment on: while they import torch they would print
    where that was interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        return pool.map(maker, numbers)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.map(maker, numbers)
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_parent() -> None:
    """Have this process end when the one that started it does, whatever ends that."""
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_await_end, args=(parent,), daemon=True).start()


def _await_end(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
