"""Compares two runs sample by sample: the paired difference, what flipped, by category, and at what cost.

In: two runs, each under one strategy. Out: a `Comparison`. Samples that errored in either run are in no score.
"""

from array import array
from collections import Counter
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from cot.compare.pairs import TaskPairs, pair
from cot.compare.stored import Chosen
from cot.errors import DataError
from cot.evaluate.result import SampleResult
from cot.metric import GroupTally, Status
from cot.stats import mcnemar, paired_difference

MAX_CATEGORIES: Final = 50
"""The largest; more are not told apart."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class PairedScore(_Frozen):
    """Samples that both runs scored."""

    n: int
    a: float
    """Mean score of the first run, in [0, 1]."""
    b: float
    difference: float
    """b - a."""
    interval: tuple[float, float] | None
    """95% of the difference: a bootstrap that draws whole images; None where all samples are of one."""
    better: int
    """Samples with a higher score in the second run."""
    worse: int


class CategoryPaired(PairedScore):
    """Of one category."""

    category: str


class GroupPaired(PairedScore):
    """Of a group score, in which samples count together: `n`, `better` and `worse` count groups."""

    name: str


class Cost(_Frozen):
    """What the pairs cost in one run."""

    usage: dict[str, int]
    """Tokens, calls and batches."""
    seconds: float
    """Sum over samples of their wall clock; samples run at the same time."""
    wall_seconds: float | None = None
    """In which at least one of them was being worked on. None where results do not say when they were made, and for one
    of several strategies of a run, which share its time."""


class Answered(_Frozen):
    """One run's side of a flip."""

    answer: str | None
    status: Status
    score: float | None
    trace: str | None
    """Folder of the trace; None if none was kept."""


class Flip(_Frozen):
    """A sample whose score changed."""

    id: str
    category: str
    question: str
    targets: tuple[str, ...]
    a: Answered
    b: Answered


class TaskComparison(_Frozen):
    """One task that both runs did."""

    task: str
    version: int
    pairs: int
    """Samples that both runs have a result of, errored ones included."""
    only_a: int
    only_b: int
    errored_a: int
    """Pairs that errored in the first run; these, and those of the second, are in no score."""
    errored_b: int
    overall: PairedScore | None
    """None if no pair has a score in both."""
    mcnemar_p: float | None
    """McNemar's exact test; None where some score is neither 0 nor 1."""
    categories: tuple[CategoryPaired, ...]
    group_scores: tuple[GroupPaired, ...] = ()
    """Over groups in which no sample errored in either run."""
    cost_a: Cost
    cost_b: Cost
    worse: tuple[Flip, ...]
    """The first of them."""
    better: tuple[Flip, ...]


class Comparison(_Frozen):
    """Two runs. `b - a` is positive where the second is better."""

    a: str
    b: str
    differing: dict[str, tuple[Any, Any]]
    """What defines the runs and is not the same: name -> value in a, value in b."""
    tasks: tuple[TaskComparison, ...]
    notes: tuple[str, ...] = ()


def compare(a: Chosen, b: Chosen, *, max_flips: int = 10) -> Comparison:
    """Compare two runs on the samples that both have.

    max_flips: of each task and direction at most this many are told in full, in the first run's order.
    Raises DataError if they share no sample, differ in a task's version, or ask something else by the same id.
    """
    versions = _shared_tasks(a, b)
    tasks = pair(a, b, list(versions))
    if not any(task.pairs for task in tasks.values()):
        counts = " and ".join(str(sum(n)) for n in zip(*((t.only_a, t.only_b) for t in tasks.values()), strict=True))
        raise DataError(
            f"{a.name} and {b.name} share no sample of {', '.join(versions)}: there are {counts} results, and no id in"
            " both; expected runs over the same data, with the same --limit, --shuffle and --seed"
        )
    return Comparison(
        a=a.name,
        b=b.name,
        differing=_differing(a, b),
        tasks=tuple(_task(name, versions[name], task, a, b, max_flips) for name, task in tasks.items()),
        notes=_notes(a, b),
    )


def _shared_tasks(a: Chosen, b: Chosen) -> dict[str, int]:
    """Name -> version of what both runs did."""
    first, second = ({task.name: task.version for task in chosen.run.definition.tasks} for chosen in (a, b))
    shared = {name: version for name, version in first.items() if name in second}
    if not shared:
        raise DataError(
            f"{a.name} and {b.name} share no task: the first did {', '.join(first)}, the second {', '.join(second)};"
            " expected at least one in both"
        )
    for name, version in shared.items():
        if version != second[name]:
            raise DataError(
                f"the task {name} is version {version} in {a.name} and version {second[name]} in {b.name}; scores of"
                " different versions cannot be compared; run the older one again"
            )
    return shared


def _task(name: str, version: int, pairs: TaskPairs, a: Chosen, b: Chosen, max_flips: int) -> TaskComparison:
    zero_or_one = set(pairs.a) | set(pairs.b) <= {0.0, 1.0}
    right = [[score == 1 for score in scores] for scores in (pairs.a, pairs.b)]
    return TaskComparison(
        task=name,
        version=version,
        pairs=pairs.pairs,
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        errored_a=pairs.errored_a,
        errored_b=pairs.errored_b,
        overall=PairedScore(**_paired(pairs, np.ones(len(pairs.a), bool))) if pairs.a else None,
        mcnemar_p=mcnemar(*right) if pairs.a and zero_or_one else None,
        categories=_categories(pairs),
        group_scores=tuple(found for name, groups in sorted(pairs.groups.items()) if (found := _groups(name, *groups))),
        cost_a=_cost(pairs, 0, a),
        cost_b=_cost(pairs, 1, b),
        worse=_flips(pairs.worse, a, b, max_flips),
        better=_flips(pairs.better, a, b, max_flips),
    )


def _cost(pairs: TaskPairs, side: int, chosen: Chosen) -> Cost:
    alone = len(chosen.run.definition.strategies) == 1
    return Cost(
        usage=pairs.usage[side],
        seconds=round(pairs.seconds[side], 6),
        wall_seconds=pairs.wall_seconds[side] if alone else None,
    )


def _paired(pairs: TaskPairs, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> dict[str, Any]:
    """The fields of a `PairedScore` of the chosen pairs."""
    before, after = np.frombuffer(pairs.a)[chosen], np.frombuffer(pairs.b)[chosen]
    found = paired_difference(before.tolist(), after.tolist(), np.frombuffer(pairs.clusters, np.int64)[chosen].tolist())
    return {
        "n": found.n,
        "a": float(before.mean()),
        "b": float(after.mean()),
        "difference": found.mean,
        "interval": found.interval,
        "better": int((after > before).sum()),
        "worse": int((after < before).sum()),
    }


def _categories(pairs: TaskPairs) -> tuple[CategoryPaired, ...]:
    """The largest categories by name; none if there is only one."""
    if len(pairs.category_names) < 2:
        return ()
    names, numbers = list(pairs.category_names), np.frombuffer(pairs.categories, np.int64)
    largest = sorted(names[number] for number, _ in Counter(pairs.categories).most_common(MAX_CATEGORIES))
    return tuple(
        CategoryPaired(category=name, **_paired(pairs, numbers == pairs.category_names[name])) for name in largest
    )


def _groups(name: str, a: GroupTally, b: GroupTally) -> GroupPaired | None:
    """None if no group has a score in both."""
    known = [(before, after, cluster) for before, after, cluster in zip(a.right, b.right, a.clusters, strict=True)
             if before is not None and after is not None]  # fmt: skip
    if not known:
        return None
    before, after, clusters = zip(*known, strict=True)
    found = paired_difference(before, after, clusters)
    better, worse = (sum(one and not other for one, other in zip(*sides, strict=True))
                     for sides in ((after, before), (before, after)))  # fmt: skip
    return GroupPaired(
        name=name, n=found.n, a=sum(before) / found.n, b=sum(after) / found.n, difference=found.mean,
        interval=found.interval, better=better, worse=worse,
    )  # fmt: skip


def _flips(starts: "array[int]", a: Chosen, b: Chosen, most: int) -> tuple[Flip, ...]:
    first = sorted(zip(starts[::2], starts[1::2], strict=True))[:most]
    before, after = (chosen.run.at(start[side] for start in first) for side, chosen in enumerate((a, b)))
    return tuple(_flip(one, other, a, b) for one, other in zip(before, after, strict=True))


def _flip(before: SampleResult, after: SampleResult, a: Chosen, b: Chosen) -> Flip:
    return Flip(
        id=before.id,
        category=before.category,
        question=before.question,
        targets=before.targets,
        a=_answered(before, a),
        b=_answered(after, b),
    )


def _answered(result: SampleResult, chosen: Chosen) -> Answered:
    trace = chosen.run.trace_folder(result)
    return Answered(answer=result.answer, status=result.status, score=result.score, trace=str(trace) if trace else None)


def _differing(a: Chosen, b: Chosen) -> dict[str, tuple[Any, Any]]:
    """What the runs' definitions do not share, besides how much of the data they did."""
    first, second = (_defined(chosen) for chosen in (a, b))
    return {
        name: (first.get(name), second.get(name)) for name in {**first, **second} if first.get(name) != second.get(name)
    }


def _defined(chosen: Chosen) -> dict[str, Any]:
    plain = chosen.run.definition.model_dump(mode="json", exclude={"format", "tasks", "strategies", "made_with"})
    inner = {f"{name}.{key}": value for name in ("settings", "templates") for key, value in plain.pop(name).items()}
    tasks = {
        f"tasks.{task.name}.{name}": getattr(task, name)
        for task in chosen.run.definition.tasks
        for name in ("sha256", "shots", "shots_sha256")
    }
    return {"strategy": chosen.strategy, **plain, **inner, **tasks}


def _notes(a: Chosen, b: Chosen) -> tuple[str, ...]:
    runs = {chosen.run.path: chosen.run for chosen in (a, b)}
    return tuple(
        f"{path} is {run.state}: it has {run.done} of {run.total} results"
        for path, run in runs.items()
        if run.state != "finished"
    )
