"""Pairs the results of two runs by task and id, in compact arrays.

In: two runs, each under one strategy. Out: for each task the scores of both, sample by sample, and sums. Of the first
run about two hundred bytes a sample are kept; the second is read one result at a time.
"""

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from cot.compare.stored import Chosen
from cot.errors import DataError
from cot.evaluate.result import SampleResult
from cot.evaluate.wall import Times
from cot.metric import GroupTally


@dataclass
class TaskPairs:
    """The pairs of one task. a, b, clusters, categories: a number for each pair that has a score in both runs.

    clusters, categories: numbers of groups and categories, as in `category_names`. worse, better: the places of both
    results of a pair whose score changed. groups: by the name of a group score, those of either run, in the same order;
    errored pairs are in these too. usage, seconds: sums over all pairs, by run. times: those of the second run.
    """

    a: "array[float]" = field(default_factory=lambda: array("d"))
    b: "array[float]" = field(default_factory=lambda: array("d"))
    clusters: "array[int]" = field(default_factory=lambda: array("q"))
    categories: "array[int]" = field(default_factory=lambda: array("q"))
    category_names: dict[str, int] = field(default_factory=dict)
    worse: "array[int]" = field(default_factory=lambda: array("q"))
    better: "array[int]" = field(default_factory=lambda: array("q"))
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    only_a: int = 0
    only_b: int = 0
    errored_a: int = 0
    errored_b: int = 0
    groups: dict[str, tuple[GroupTally, GroupTally]] = field(default_factory=dict)
    usage: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    wall_seconds: list[float | None] = field(default_factory=lambda: [None, None])
    times: Times = field(default_factory=Times)

    @property
    def pairs(self) -> int:
        """How many there are, errored ones included."""
        return len(self.rows)


class _First:
    """The results of the first run, by key."""

    def __init__(self, chosen: Chosen, tasks: dict[str, TaskPairs]) -> None:
        self.rows: dict[int, int] = {}
        self.starts, self.asked, self.seconds = array("q"), array("q"), array("d")
        self.scores = array("d")
        self.times = Times()
        self.usage: dict[str, array[int]] = {}
        for start, result in chosen.run.located(chosen.strategy):
            if result.task in tasks:
                self._add(start, result)

    def _add(self, start: int, result: SampleResult) -> None:
        row = len(self.rows)
        self.rows[_key(result)] = row
        self.starts.append(start)
        self.asked.append(_asked(result))
        self.seconds.append(result.seconds)
        self.scores.append(_score(result))
        self.times.add(result)
        for name, amount in result.usage.items():
            if name not in self.usage:
                self.usage[name] = array("q")
            column = self.usage[name]
            if len(column) < row:
                column.extend([0] * (row - len(column)))
            column.append(amount)

    def cost(self, rows: "array[int]") -> tuple[dict[str, int], float]:
        """Usage and seconds of some results, added up."""
        usage = {}
        for name, column in self.usage.items():
            column.extend([0] * (len(self.rows) - len(column)))
            usage[name] = int(np.frombuffer(column, np.int64)[rows].sum())
        return usage, float(np.frombuffer(self.seconds)[rows].sum())


def pair(a: Chosen, b: Chosen, names: list[str]) -> dict[str, TaskPairs]:
    """The pairs of each task. Raises DataError for one that asks something else in b."""
    tasks = {name: TaskPairs() for name in names}
    groups: dict[str, int] = {}
    first = _First(a, tasks)
    seen: set[int] = set()
    for start, result in b.run.located(b.strategy):
        if result.task not in tasks:
            continue
        key = _key(result)
        seen.add(key)
        row = first.rows.get(key)
        if row is None:
            tasks[result.task].only_b += 1
            continue
        if first.asked[row] != _asked(result):
            raise DataError(
                f"the sample {result.id[:60]!r} of {result.task} has another question, choices or ground truth in"
                f" {a.name} than in {b.name}; expected the same data; raise the task's version where it changes, and"
                " run both again"
            )
        _take(tasks[result.task], first, row, start, result, groups)
    for task in tasks.values():
        if task.rows:
            task.usage[0].update(first.cost(task.rows)[0])
            task.seconds[0] = first.cost(task.rows)[1]
            task.wall_seconds = [first.times.wall_seconds(task.rows), task.times.wall_seconds()]
    for _, result in a.run.located(a.strategy) if len(first.rows) > sum(one.pairs for one in tasks.values()) else ():
        if result.task in tasks and _key(result) not in seen:
            tasks[result.task].only_a += 1
    return tasks


def _take(task: TaskPairs, first: _First, row: int, start: int, result: SampleResult, groups: dict[str, int]) -> None:
    before, after = first.scores[row], _score(result)
    task.rows.append(row)
    spent = task.usage[1]
    for name, amount in result.usage.items():
        spent[name] = spent.get(name, 0) + amount
    task.seconds[1] += result.seconds
    task.times.add(result)
    task.errored_a += math.isnan(before)
    task.errored_b += math.isnan(after)
    for name, group in result.in_groups.items():
        tallies = task.groups.setdefault(name, (GroupTally(), GroupTally()))
        for tally, score in zip(tallies, (before, after), strict=True):
            tally.add(group, "errored" if math.isnan(score) else "correct" if score == 1 else "wrong", result.group)
    if math.isnan(before) or math.isnan(after):
        return
    task.a.append(before)
    task.b.append(after)
    task.clusters.append(groups.setdefault(result.group, len(groups)))
    task.categories.append(task.category_names.setdefault(result.category, len(task.category_names)))
    if before != after:
        (task.better if after > before else task.worse).extend((first.starts[row], start))


def _key(result: SampleResult) -> int:
    """64 bits that tell a sample apart, while this process lasts."""
    return hash((result.task, result.id))


def _asked(result: SampleResult) -> int:
    """64 bits of what was asked and what is true."""
    return hash((result.question, result.choices, result.targets))


def _score(result: SampleResult) -> float:
    """An unparsed answer was asked for and counts as 0; not a number if it errored."""
    return math.nan if result.status == "errored" else result.score or 0.0
