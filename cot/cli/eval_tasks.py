"""Tasks by their names on the command line -> the samples that are asked, and what data is read by."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cot.errors import TaskError, UsageError

if TYPE_CHECKING:
    from cot.dataset import DataSpec, Loader, Row
    from cot.evaluate import Definition, Selection, Shard
    from cot.settings import Settings
    from cot.task import LoadedTask, Suite


@dataclass(frozen=True)
class Wanted:
    """Which samples of tasks are wanted. data: folder of their data. limit: the first of each, or drawn with `shuffle`.

    shots: examples that each is shown behind. run_python: whether Python that tasks name may be run.
    """

    data: Path | None = None
    limit: int | None = None
    shuffle: bool = False
    shots: int = 0
    run_python: bool = False


def strategies_for(suite: "Suite", said: str | None, settings: "Settings") -> tuple[str, ...]:
    """What tasks are run with: what was said (`direct,decompose`), else what the suite says, the tasks, the settings.

    Raises UsageError for tasks that say different things, and TaskError.
    """
    from cot.task import find_task, read_task

    if said is not None:
        return _split(said)
    if suite.strategies:
        return suite.strategies
    default = _split(settings.strategy)
    own = {read_task(find_task(name))[0].strategies or default for name in suite.tasks}
    if len(own) > 1:
        named = "; ".join(",".join(strategies) for strategies in sorted(own))
        raise UsageError(f"the tasks want different strategies: {named}; name those of the run with --strategy")
    return own.pop()


def check_data(names: Collection[str], data: Path | None) -> None:
    """Raise UsageError for a folder of data that none of the tasks reads from. What else is wrong with a task is told
    when it is loaded."""
    try:
        if data is None or any(load(name, Wanted(data)).is_relative for name in names):
            return
    except TaskError:
        return
    raise UsageError(
        f"got --data {data}; expected a task whose data has a relative path, and that of {', '.join(names)} has none;"
        " leave --data out"
    )


def check_unjudged(tasks: "Iterable[LoadedTask]") -> None:
    """Raise UsageError for a task that a judge scores, where none can be named."""
    for loaded in tasks:
        if loaded.judge_template:
            raise UsageError(
                f"got {loaded.task.name}, which a judge scores; expected a task with a metric that asks no model"
            )


def choose(
    suite: "Suite",
    settings: "Settings",
    wanted: Wanted,
    *,
    shard: "Shard | None" = None,
    before: "Definition | None" = None,
) -> "list[Selection]":
    """The samples of a suite's tasks, and their examples. shard: of which of several processes. before: the run that
    goes on.

    Raises TaskError, DataError and UsageError.
    """
    from cot.evaluate import select
    from cot.evaluate.images import image_opener
    from cot.evaluate.shots import draw_shots

    # All task files are read before the first sample is.
    loaded = {name: load(name, wanted) for name in suite.tasks}
    names = [task.task.name for task in loaded.values()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two of the tasks are called {twice[0]!r}; expected each name once; give one another `name`")
    limits = {name: [most for most in (wanted.limit, own) if most is not None] for name, own in suite.tasks.items()}
    images, seed = image_opener(settings.image_limits), settings.seed
    examples = {name: draw_shots(task, wanted.shots, seed=seed, images=images) for name, task in loaded.items()}
    return [
        select(
            task, limit=min(limits[name], default=None), shuffle=wanted.shuffle, seed=seed, shard=shard,
            shots=examples[name], before=before,
        )
        for name, task in loaded.items()
    ]  # fmt: skip


def load(name: str, wanted: Wanted) -> "LoadedTask":
    """A task by its name or path. Raises TaskError."""
    from cot.task import load_task

    return load_task(name, data=wanted.data, loaders=loaders(run_python=wanted.run_python))


def loaders(*, run_python: bool = False) -> "dict[str, Loader]":
    """The loaders by name, with those of generated data. run_python: whether tasks may name Python to be run."""
    from cot.dataset import LOADERS
    from cot.dataset.python_rows import python_rows

    return {**LOADERS, "generated": _drawn, "easy-vqa": _drawn} | ({"python": python_rows} if run_python else {})


def _drawn(spec: "DataSpec", folder: Path) -> "Iterator[Row]":
    # `easy-vqa` needs what only the extra `train` installs, and drawing takes long to import: only where a task asks.
    from cot.train.held_out import LOADERS

    return LOADERS[spec.loader](spec, folder)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))
