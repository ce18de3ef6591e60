"""Which samples of a task are asked, and in which order: together what shares an image.

In: a task, and how many. Out: samples, one after another; never are they all in memory.
"""

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from cot.config import tasks_folder
from cot.errors import UsageError
from cot.evaluate.definition import TaskIdentity, TaskPlace
from cot.evaluate.shard import Shard, Share
from cot.evaluate.shots import Shots
from cot.task import LoadedTask, Sample

WINDOW: Final = 256
"""Samples among which those of one image are brought together."""


@dataclass(frozen=True)
class Selection:
    """The chosen samples of a task. numbers: their places in the data from 0; None for the first `limit`.

    share: the groups that this process does, of several; None if it does all. shots: the examples of each sample.
    """

    task: LoadedTask
    identity: TaskIdentity
    limit: int | None
    numbers: frozenset[int] | None
    share: Share | None = None
    shots: Shots | None = None

    @property
    def n(self) -> int:
        """Samples that this process does."""
        return self.share.n if self.share else self.identity.n

    @property
    def place(self) -> TaskPlace:
        """Where the task was found."""
        path = self.task.path
        name = path.stem if path.parent == tasks_folder() else _absolute(path)
        return TaskPlace(task=name, folder=_absolute(self.task.folder))

    def samples(self) -> Iterator[Sample]:
        """The chosen samples, those of one image together as far as `WINDOW` reaches. Raises DataError."""
        chosen = _chosen(self.task.samples(), self.limit, self.numbers)
        while window := list(islice(chosen, WINDOW)):
            groups: dict[str, list[Sample]] = {}
            for sample in window:
                groups.setdefault(sample.group, []).append(sample)
            for together in groups.values():
                yield from together


def select(
    task: LoadedTask,
    *,
    limit: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
    shard: Shard | None = None,
    shots: Shots | None = None,
) -> Selection:
    """Choose the first `limit` samples, all of them without one, or with `shuffle` as many at random by `seed`.

    shard: which of several processes this is. All samples are looked at once, whoever does them.
    shots: the examples that each is shown, which may not be of its own image.
    Raises UsageError for a limit out of range or a shuffle without one, and DataError.
    """
    if limit is not None and not 1 <= limit <= sys.maxsize:
        raise UsageError(f"got --limit {limit}; expected 1 to {sys.maxsize}")
    numbers = None
    if shuffle:
        if limit is None:
            raise UsageError("got --shuffle without --limit; it draws the samples at random, so say how many")
        n = task.survey().n
        numbers = frozenset(random.Random(seed).sample(range(n), min(limit, n)))
    share = Share(shard) if shard else None

    def looked_at(samples: Iterator[Sample]) -> Iterator[Sample]:
        chosen = _chosen(samples, limit, numbers)
        for sample in share.dealing(chosen) if share else chosen:
            if shots:
                shots.check(sample)
            yield sample

    found = task.survey(looked_at)
    identity = TaskIdentity(
        name=task.task.name,
        version=task.task.version,
        sha256=task.sha256,
        data_sha256=found.sha256,
        n=found.n,
        limit=limit,
        shots=shots.n if shots else 0,
        shots_sha256=shots.sha256 if shots else None,
        shots_ids=shots.ids if shots else (),
    )
    return Selection(task, identity, limit, numbers, share, shots)


def _chosen(samples: Iterator[Sample], limit: int | None, numbers: frozenset[int] | None) -> Iterator[Sample]:
    if numbers is None:
        return islice(samples, limit)
    return (sample for number, sample in enumerate(samples) if number in numbers)


def _absolute(path: Path) -> str:
    """What is no UTF-8 in it is written out: run.json could not hold it."""
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
