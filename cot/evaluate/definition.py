"""Everything that defines a run: `run.json`. Two runs with the same definition give the same results.

In: two definitions. Out: in what they differ. How one is made is for `cot.evaluate.define` to know.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cot.errors import DataError
from cot.evaluate.ablation import Ablation

_SHOWN = 3

_OPTIONS: Final = {"limit": ("n", "data_sha256"), "shots": ("shots_ids", "shots_sha256")}
"""Of a task: what an option of the command line says, and what is another with it, so that it need not be told."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskIdentity(_Frozen):
    """Which task, and which of its samples."""

    name: str
    version: int
    sha256: str
    """Of the task file."""
    data_sha256: str
    """Of the chosen samples' ids, questions, choices and answers; images are not read for it."""
    n: int
    """Samples chosen."""
    limit: int | None = None
    """So many at most were to be."""
    shots: int = 0
    """Examples that each sample is shown behind."""
    shots_sha256: str | None = None
    """Of what was drawn: ids, questions, choices and answers, and the pixels of those that are shown."""
    shots_ids: tuple[str, ...] = ()
    """Of the examples that are shown, unless one shares a sample's image."""


class JudgeIdentity(_Frozen):
    """Who judges the answers, and what it is asked with."""

    model: str
    revision: str | None
    dtype: str
    quantization: str
    templates: dict[str, str]
    """Name -> SHA-256."""


class Draw(_Frozen):
    """How samples were drawn."""

    seed: int
    n: Annotated[int, Field(ge=1)]
    """Samples that there were to draw from."""


class TaskPlace(_Frozen):
    """Where a task was found, so that a report finds its images again; and of which bytes all rows were looked at."""

    task: str
    """Path of its file, or the name of one that ships."""
    folder: str
    """What the paths of its data are relative to."""
    files_sha256: str | None = None
    """Of the bytes of its data's files: over the same ones a run goes on without a look at all rows. None where the
    data is more than files."""
    draw: Draw | None = None
    """None where samples were not drawn."""


class MadeWith(_Frozen):
    """What is told, and may differ when a run goes on."""

    started_at: str
    device: str
    versions: dict[str, str] = {}
    data: dict[str, TaskPlace] = {}
    """By task."""


class Definition(_Frozen):
    """What must be the same for a run to go on, and `made_with`."""

    format: Literal[1] = 1
    cot: str
    tasks: tuple[TaskIdentity, ...]
    model: str
    revision: str | None
    dtype: str
    quantization: str
    strategies: Annotated[tuple[str, ...], Field(min_length=1)]
    language: str
    seed: int
    shuffle: bool
    ablation: Ablation | None = None
    """What was taken from the model."""
    settings: dict[str, float | int | str]
    templates: dict[str, str]
    """Name -> SHA-256 of the templates that the strategies can reach."""
    judge: JudgeIdentity | None = None
    """None where no model judges."""
    made_with: MadeWith

    def check_same(self, now: "Definition", where: str) -> None:
        """Raise DataError, which names what differs, unless a run so defined can go on as `now`."""
        shared = {task.name for task in self.tasks} & {task.name for task in now.tasks}
        before, after = dict(_flat(self, shared)), dict(_flat(now, shared))
        differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        following = {
            f"tasks.{task.name}.{name}"
            for task in now.tasks
            for option, names in _OPTIONS.items()
            if _option(option, task.name) in differing
            for name in names
        }
        differing = [name for name in differing if name not in following]
        # A hash says least.
        differing.sort(key=lambda name: name.endswith("sha256"))
        if not differing:
            return
        shown = "; ".join(
            f"{name} was {_value(before, name)} and is {_value(after, name)}" for name in differing[:_SHOWN]
        )
        more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise DataError(
            f"{where} holds another run: {shown}{more}; run it as it was, or name another folder with --out"
        )


def _flat(definition: Definition, shared: Collection[str]) -> Iterator[tuple[str, Any]]:
    """`settings.max_tokens` -> its value; tasks go by their names, options of theirs by what a user calls them.

    shared: the tasks to compare; of others it is told that they are there, and nothing more.
    """
    plain = definition.model_dump(mode="json", exclude={"made_with", "tasks"})
    both = [task for task in definition.tasks if task.name in shared]
    tasks = {task.name: task.model_dump(mode="json", exclude={"name", *_OPTIONS}) for task in both}
    options = {_option(name, task.name): getattr(task, name) for task in both for name in _OPTIONS}
    yield "tasks", sorted(task.name for task in definition.tasks)
    for name, value in {**options, **plain, "tasks": tasks}.items():
        yield from _under(name, value)


def _option(name: str, task: str) -> str:
    return f"--{name} of {task}"


def _under(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for inner, found in value.items():
            yield from _under(f"{name}.{inner}", found)
    else:
        yield name, value


def _value(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "not there"
    value = values[name]
    if value is None and name.startswith("--"):
        return "not given"
    return repr(f"{value[:12]}…" if name.endswith("sha256") and value else value)[:80]
