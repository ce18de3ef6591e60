"""The name or file of a task -> a `LoadedTask`: expressions compiled, metric and loader found. No row is read."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jinja2

from cot.dataset import LOADERS, Loader
from cot.errors import CotError, TaskError, reason
from cot.metric import METRICS, find_metric
from cot.prompt.sandbox import compile_expression
from cot.task.file import ShotSource, Task, find_task, read_task
from cot.task.loaded import LoadedTask

EXPRESSIONS: Final = (
    "only", "question", "answers", "images", "choices", "id", "group", "category", "facts", "answer_type", "precision",
)  # fmt: skip


def load_task(reference: str, *, data: Path | None = None, loaders: Mapping[str, Loader] = LOADERS) -> LoadedTask:
    """Load a task by the path of its file or the name of a shipped one.

    data: the folder that its data is in, in place of the task file's own; a folder in it that has the task's name is
    taken instead. loaders: by name.
    Raises TaskError for a file that is wrong, or names a metric, an option or a loader that there is not.
    """
    path = find_task(reference)
    task, sha256 = read_task(path)
    folder = data.resolve() if data else path.resolve().parent
    if data and (folder / task.name).is_dir():
        folder /= task.name
    loaded = _loaded(task, path, sha256, folder, loaders)
    if (examples := _task_of_examples(task, path)) is None:
        return loaded
    shown = dataclasses.replace(_loaded(examples, path, sha256, folder, loaders), scored=False)
    return dataclasses.replace(loaded, shots=shown)


def _loaded(task: Task, path: Path, sha256: str, folder: Path, loaders: Mapping[str, Loader]) -> LoadedTask:
    if task.data.loader not in loaders:
        raise TaskError(f"unknown loader {task.data.loader!r} in {path}; known: {', '.join(loaders)}")
    if task.metric.name not in METRICS:
        raise TaskError(f"unknown metric {task.metric.name!r} in {path}; known: {', '.join(METRICS)}")
    try:
        metric = find_metric(task.metric.name, task.metric.options)
    except CotError as error:
        raise TaskError(f"{path}: {error}") from error
    expressions = {name: _compiled(name, text, path) for name in EXPRESSIONS if (text := getattr(task, name))}
    groups = {name: _compiled(f"group_scores {name}", text, path) for name, text in task.group_scores.items()}
    return LoadedTask(task, path, sha256, folder, metric, expressions, groups, loaders)


def _task_of_examples(task: Task, path: Path) -> Task | None:
    """The task over the rows that examples come from; None if it names none. Raises TaskError for its own rows."""
    source = task.shots
    if source is None:
        return None
    said = {name: value for name in ShotSource.model_fields if (value := getattr(source, name)) is not None}
    examples = task.model_copy(update={"shots": None, "category": None, "facts": None, "group_scores": {}, **said})
    if (examples.data, examples.only) == (task.data, task.only):
        raise TaskError(
            f"{path}: shots are the rows that are asked; expected others: a split or a file under `data`, or another"
            " `only`"
        )
    return examples


def _compiled(name: str, text: str, path: Path) -> Callable[[Mapping[str, Any]], Any]:
    try:
        return compile_expression(text)
    except jinja2.TemplateError as error:
        raise TaskError(
            f"{path}: {name}: {text!r} is no expression: {reason(error)}; expected the name of a field, or for"
            " example [answer]; fixed text stands in quotes: \"'What is this?'\""
        ) from error
