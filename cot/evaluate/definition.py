"""Everything that defines a run: `run.json`. Two runs with the same definition give the same results.

In: tasks, what answers, and the settings. Out: a `Definition`, and in what two of them differ.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

import cot
from cot.engine.base import EngineInfo
from cot.errors import DataError
from cot.evaluate.ablation import Ablation
from cot.planner.own import FILE, OwnStrategy, load_own, templates_of, tool_versions
from cot.planner.run import STRATEGIES
from cot.prompt.find import load_template
from cot.prompt.source import list_located, search_path

_SHOWN = 3


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


class TaskPlace(_Frozen):
    """Where a task was found, so that a report finds its images again."""

    task: str
    """Path of its file, or the name of one that ships."""
    folder: str
    """What the paths of its data are relative to."""


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
        before, after = dict(_flat(self)), dict(_flat(now))
        differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if not differing:
            return
        shown = "; ".join(
            f"{name} was {_value(before, name)} and is {_value(after, name)}" for name in differing[:_SHOWN]
        )
        more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise DataError(
            f"{where} holds another run: {shown}{more}; run it as it was, or name another folder with --out"
        )


def define(
    tasks: Sequence[TaskIdentity], info: EngineInfo, *, started_at: str, strategies: Sequence[str], language: str,
    seed: int, shuffle: bool, ablation: Ablation | None, settings: dict[str, float | int | str],
    judge: JudgeIdentity | None = None, data: dict[str, TaskPlace] | None = None,
) -> Definition:  # fmt: skip
    """The definition of a run that starts now. started_at: UTC, ISO 8601. data: where each task was found."""
    return Definition(
        cot=cot.__version__,
        tasks=tuple(tasks),
        model=info.model,
        revision=info.revision,
        dtype=info.dtype,
        quantization=info.quantization,
        strategies=tuple(strategies),
        language=language,
        seed=seed,
        shuffle=shuffle,
        ablation=ablation,
        settings={**settings, **_tools(strategies)},
        templates=template_hashes(language, strategies),
        judge=judge,
        made_with=MadeWith(started_at=started_at, device=info.device, versions=dict(info.versions), data=data or {}),
    )


def template_hashes(language: str, strategies: Sequence[str]) -> dict[str, str]:
    """Name -> hash of every template of a strategy, as it would be loaded now, and of the files of users' own ones.

    Strategies that ship use each other's templates, so that those of all of them count. Raises PromptError.
    """
    folders = search_path()
    own = _own(strategies)
    names = {found.name for found in list_located(folders) if found.name.split("/")[0] in STRATEGIES}
    names |= {template for name, (strategy, _) in own.items() for template in templates_of(name, strategy)}
    files = {f"{name}/{FILE}": sha256 for name, (_, sha256) in own.items()}
    return {name: load_template(name, language=language, folders=folders).sha256 for name in sorted(names)} | files


def _tools(strategies: Sequence[str]) -> dict[str, str]:
    """What the tools of users' own strategies come from: another version may read another text."""
    versions = (tool_versions(strategy) for strategy, _ in _own(strategies).values())
    return {name: version for found in versions for name, version in found.items()}


def _own(strategies: Sequence[str]) -> dict[str, tuple[OwnStrategy, str]]:
    return {name: found for name in strategies if name not in STRATEGIES and (found := load_own(name))}


def _flat(definition: Definition) -> Iterator[tuple[str, Any]]:
    """`settings.max_tokens` -> its value; tasks go by their names."""
    plain = definition.model_dump(mode="json", exclude={"made_with", "tasks"})
    tasks = {task.name: task.model_dump(mode="json", exclude={"name"}) for task in definition.tasks}
    for name, value in {**plain, "tasks": tasks}.items():
        yield from _under(name, value)


def _under(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for inner, found in value.items():
            yield from _under(f"{name}.{inner}", found)
    else:
        yield name, value


def _value(values: dict[str, Any], name: str) -> str:
    return repr(values[name])[:80] if name in values else "not there"
