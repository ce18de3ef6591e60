"""Which samples of a task are asked, and in which order: together what shares an image.

In: a task, how many, and what a run that goes on knows of them. Out: samples, one after another; never are they all in
memory.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import cot
from cot.errors import UsageError
from cot.evaluate.definition import Definition, Draw, TaskIdentity, TaskPlace
from cot.evaluate.shard import Shard, Share
from cot.evaluate.shots import Shots
from cot.shipped import tasks_folder
from cot.task import LoadedTask, Sample, Survey

WINDOW: Final = 256
"""Samples among which those of one image are brought together."""

MAX_HASHED_BYTES: Final = 256 * 2**20
"""Of larger files a few first rows are looked at sooner than all bytes are hashed."""

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """The chosen samples of a task. numbers: their places in the data from 0; None for the first `limit`.

    share: the groups that this process does, of several; None if it does all. shots: the examples of each sample.
    """

    task: LoadedTask
    identity: TaskIdentity
    place: TaskPlace
    limit: int | None
    numbers: frozenset[int] | None
    share: Share | None = None
    shots: Shots | None = None

    @property
    def n(self) -> int:
        """Samples that this process does."""
        return self.share.n if self.share else self.identity.n

    def samples(self, wanted: Callable[[str], object] = lambda sample_id: True) -> Iterator[Sample]:
        """The chosen samples, those of one image together as far as `WINDOW` reaches. Raises DataError.

        wanted: true for the id of each that is; of other rows nothing else is looked at.
        """
        rows = _chosen(self.task.rows(), self.limit, self.numbers)
        chosen = (self.task.sample(row) for row in rows if wanted(row.id))
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
    before: Definition | None = None,
) -> Selection:
    """Choose the first `limit` samples, all of them without one, or with `shuffle` as many at random by `seed`.

    shard: which of several processes this is. All samples are looked at once, whoever does them.
    shots: the examples that each is shown, which may not be of its own image.
    before: the run that goes on. One process that chooses the same samples, from files of the same bytes, does not look
    at them again: what happened to their images meanwhile is found when they are asked for.
    Raises UsageError for a limit out of range or a shuffle without one, and DataError.
    """
    if limit is not None and not 1 <= limit <= sys.maxsize:
        expected = "of at least 1" if limit < 1 else f"from 1 to {sys.maxsize}"
        raise UsageError(f"got --limit {limit}; expected a whole number {expected}")
    if shuffle and limit is None:
        raise UsageError("got --shuffle without --limit; it draws the samples at random, so say how many")
    max_bytes = None if limit is None or shuffle else MAX_HASHED_BYTES
    files_sha256 = task.files_sha256(max_bytes=max_bytes)
    drawn_by = seed if shuffle else None
    known = None if shard else _known(before, task, files_sha256, limit=limit, drawn_by=drawn_by, shots=shots)
    draw = known.place.draw if known else Draw(seed=seed, n=task.survey().n) if shuffle else None
    numbers = frozenset(random.Random(seed).sample(range(draw.n), min(limit or draw.n, draw.n))) if draw else None
    share = Share(shard) if shard else None

    def looked_at(samples: Iterator[Sample]) -> Iterator[Sample]:
        chosen = _chosen(samples, limit, numbers)
        for sample in share.dealing(chosen) if share else chosen:
            if shots:
                shots.check(sample)
            yield sample

    identity = known.identity if known else _identity(task, limit, shots, task.survey(looked_at))
    if not known and files_sha256 != task.files_sha256(max_bytes=max_bytes):
        files_sha256 = None  # they changed while they were looked at
    return Selection(task, identity, _place(task, files_sha256, draw), limit, numbers, share, shots)


@dataclass(frozen=True)
class _Known:
    identity: TaskIdentity
    place: TaskPlace


def _known(
    before: Definition | None,
    task: LoadedTask,
    files_sha256: str | None,
    *,
    limit: int | None,
    drawn_by: int | None,
    shots: Shots | None,
) -> _Known | None:
    """What a run knows of its samples; None where these may be others now. drawn_by: the seed, if they are drawn."""
    if before is None or files_sha256 is None or before.cot != cot.__version__:
        return None
    identity = next((one for one in before.tasks if one.name == task.task.name), None)
    place = before.made_with.data.get(task.task.name)
    if identity is None or place is None or place.files_sha256 != files_sha256:
        return None
    if identity != _identity(task, limit, shots, Survey(identity.n, identity.data_sha256)):
        return None
    return _Known(identity, place) if (place.draw.seed if place.draw else None) == drawn_by else None


def _identity(task: LoadedTask, limit: int | None, shots: Shots | None, found: Survey) -> TaskIdentity:
    return TaskIdentity(
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


def _place(task: LoadedTask, files_sha256: str | None, draw: Draw | None) -> TaskPlace:
    name = task.path.stem if task.path.parent == tasks_folder() else _absolute(task.path)
    return TaskPlace(task=name, folder=_absolute(task.folder), files_sha256=files_sha256, draw=draw)


def _chosen(found: Iterator[T], limit: int | None, numbers: frozenset[int] | None) -> Iterator[T]:
    if numbers is None:
        return islice(found, limit)
    return (one for number, one in enumerate(found) if number in numbers)


def _absolute(path: Path) -> str:
    """What is no UTF-8 in it is written out: run.json could not hold it."""
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
