"""Gathers what a report tells: what each run came to, how they compare, and some samples in full.

In: runs under their strategies. Out: a `Report`. Every result is read once; of all but the chosen samples a few bytes
are kept.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cot.compare import Chosen, Comparison, Tally, compare
from cot.compare.tally import PartDetail
from cot.errors import DataError, UsageError
from cot.evaluate.result import SampleResult, result_key

MAX_COLUMNS: Final = 8
"""Runs and strategies in one report; more could not be told apart."""

DEFAULT_SAMPLES: Final = 10_000


@dataclass(frozen=True)
class Column:
    """A run under a strategy. tallies: by task."""

    chosen: Chosen
    tallies: dict[str, Tally]
    details: dict[str, PartDetail]

    @property
    def name(self) -> str:
        """As people name it."""
        return self.chosen.name


@dataclass(frozen=True)
class Row:
    """A sample. results: by the number of its column."""

    first: SampleResult
    order: tuple[int, int]
    results: dict[int, SampleResult] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All of it. rows: the chosen ones of `total` samples. comparisons: of the first column with each other one.

    notes: what a reader must know, such as a run that is not finished.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: int
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks."""
        return list(dict.fromkeys(task for column in self.columns for task in column.details))


def collect(chosen: Sequence[Chosen], *, max_samples: int = DEFAULT_SAMPLES) -> Report:
    """Read the runs.

    max_samples: of more samples as many are drawn, by a hash of task and id, so that it is the same ones in every run;
    with 0 all are counted and none is kept.
    Raises UsageError for too many or equal runs, and DataError for what cannot be read.
    """
    names = [one.name for one in chosen]
    if not 1 <= len(chosen) <= MAX_COLUMNS or len(set(names)) != len(names):
        raise UsageError(
            f"got {len(chosen)} runs and strategies: {', '.join(names)[:300]}; expected 1 to {MAX_COLUMNS}, each once;"
            " name one strategy as in FOLDER:STRATEGY"
        )
    seen: set[int] = set()
    rows: dict[tuple[object, ...], Row] = {}
    columns = []
    for number, one in enumerate(chosen):
        tallies: dict[str, Tally] = {}
        # One at least: of the smallest 0 heapq would not read a single result.
        kept = heapq.nsmallest(max(1, max_samples), _counted(one, tallies, seen), key=lambda found: _draw(found[1]))
        for order, result in kept:
            row = rows.setdefault(_asked(result), Row(result, (number, order)))
            row.results[number] = result
        if not tallies:
            raise DataError(f"{one.name} has no result yet; expected at least one; go on with it, or leave it out")
        columns.append(Column(one, tallies, {task: tally.detail() for task, tally in tallies.items()}))
    drawn = heapq.nsmallest(max_samples, rows.values(), key=lambda row: _draw(row.first))
    comparisons, notes = _compared(chosen)
    return Report(
        tuple(columns),
        tuple(sorted(drawn, key=lambda row: row.order)),
        len(seen),
        comparisons,
        (*_state(chosen), *notes),
    )


def _counted(chosen: Chosen, tallies: dict[str, Tally], seen: set[int]) -> Iterator[tuple[int, SampleResult]]:
    for order, result in enumerate(chosen.run.results(chosen.strategy)):
        if result.task not in tallies:
            tallies[result.task] = Tally(result.task, chosen.strategy, chosen.run.metric(result.task))
        tallies[result.task].add(result)
        seen.add(hash(_asked(result)))
        yield order, result


def _asked(result: SampleResult) -> tuple[object, ...]:
    """What makes results of several runs those of one sample: other data may use the same ids."""
    return result.task, result.id, result.question, result.choices, result.targets


def _draw(result: SampleResult) -> bytes:
    return result_key(result.task, "", result.id)


def _compared(chosen: Sequence[Chosen]) -> tuple[tuple[Comparison, ...], list[str]]:
    found, notes = [], []
    for other in chosen[1:]:
        try:
            found.append(compare(chosen[0], other, max_flips=0))
        except DataError as error:
            notes.append(f"not compared: {error}")
    return tuple(found), notes


def _state(chosen: Sequence[Chosen]) -> list[str]:
    notes = []
    for path, run in {one.run.path: one.run for one in chosen}.items():
        if run.state != "finished":
            notes.append(f"{path} is {run.state}: it has {run.done} of {run.total} results")
        if ablation := run.definition.ablation:
            notes.append(
                f"{path} is a control, made with --ablate {ablation}: images that are from the data and not from its"
                " traces are not as the model saw them"
            )
    return notes
