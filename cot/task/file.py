"""The task file: YAML -> a frozen `Task`. What its words mean is for `cot.task.loaded`."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cot.dataset import DataSpec
from cot.errors import TaskError, did_you_mean, quoted, reason
from cot.shipped import suites_folder, tasks_folder
from cot.task.read import read_yaml

Expression = Annotated[
    str, Field(min_length=1), BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)
]
"""A Jinja expression over a row: the name of a field, `[answer]`, `question ~ " Yes or no?"`."""


GroupScoreName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}$")]

MAX_GROUP_SCORES: Final = 8


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricSpec(_Frozen):
    """How answers are scored."""

    name: str
    """One of `cot.metric.METRICS`."""
    options: dict[str, str] = {}
    """The metric's own options."""


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class ShotSource(_Frozen):
    """Where solved examples come from; what is not said here is as the task has it. Never the rows that are asked."""

    data: DataSpec | None = None
    """Where the rows come from."""
    only: Expression | None = None
    """Rows for which it is false are left out."""
    question: Expression | None = None
    answers: Expression | None = None
    images: Expression | None = None
    choices: Expression | None = None
    id: Expression | None = None
    group: Expression | None = None
    """Of rows that say them in another way."""


class Task(_Frozen):
    """What is asked of which data, and how answers are scored. Never holds a score."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Lower case, as it stands in reports; by convention that of the file."""
    version: int = Field(ge=1)
    """Raised with every change that makes scores incomparable."""
    description: str = ""
    """One line for people: what is measured, and where the data comes from."""
    data: DataSpec
    """Where the rows come from."""
    question: Expression
    """The question's text."""
    answers: Expression
    """One ground truth or a list of them."""
    images: Expression
    """One image or a list of them: paths, or what `image_format` says."""
    only: Expression | None = None
    """Rows for which it is false are left out."""
    choices: Expression | None = None
    """A list; the answer is one of these. Empty ones at its end are left out."""
    id: Expression | None = None
    """What tells samples apart; by default the row's number, from 1."""
    group: Expression | None = None
    """What samples of one image share; by default the image."""
    category: Expression | None = None
    """What figures are reported by."""
    group_scores: Annotated[dict[GroupScoreName, Expression], Field(max_length=MAX_GROUP_SCORES)] = {}
    """Further scores by name: the share of groups of samples in which every one is correct. The expression names a
    sample's group; where it is empty the sample is in none."""
    facts: Expression | None = None
    """A list of the sub-questions that a ground-truth program asks, each with `wants`, `text`, `answer`, `asked`."""
    image_format: Literal["file", "base64"] = "file"
    """Whether text in `images` is a path or the file itself in base64."""
    allow_urls: bool = False
    """Whether images that are http(s) URLs may be downloaded."""
    metric: Annotated[MetricSpec, BeforeValidator(_named)]
    """Name of the metric, or its name and options."""
    answer_type: Expression | None = None
    """Kind of the ground truth, where the metric reads it: text (the default), integer, float or list."""
    precision: Expression | None = None
    """Decimal places of the ground truth, where the metric reads them."""
    strategies: tuple[str, ...] = ()
    """What it is run with where nobody says otherwise."""
    shots: ShotSource | None = None
    """Where the examples of `--shots` come from."""
    published_n: Annotated[int, Field(ge=1)] | None = None
    """Samples that the data has as it is published, so that `--check` can tell whether it is whole."""


def task_names() -> tuple[str, ...]:
    """The tasks that ship with the package."""
    return tuple(sorted(path.stem for path in tasks_folder().glob("*.yaml")))


def suite_names() -> tuple[str, ...]:
    """The suites that ship with the package."""
    return tuple(sorted(path.stem for path in suites_folder().glob("*.yaml")))


def find_task(reference: str) -> Path:
    """The file of a task: a path that ends in .yaml or .yml, or the name of a shipped one. Raises TaskError."""
    if reference.lower().endswith((".yaml", ".yml")):
        try:
            path = Path(reference).expanduser()
            if path.is_file():
                return path
        except (OSError, RuntimeError) as error:
            raise TaskError(f"{reference} cannot be read: {reason(error)}; expected a task in YAML") from error
        raise TaskError(f"{reference} is no file; expected a task in YAML; check the path")
    known = task_names()
    if reference not in known:
        suites = suite_names()
        if reference in suites:
            raise TaskError(
                f"got the suite {reference!r}; expected one task: {', '.join(known)}; or the path of a .yaml file"
            )
        near = _beside(reference)
        hint = f", did you mean {near[0]!r}?" if near else did_you_mean(reference, (*known, *suites))
        raise TaskError(
            f"unknown task {quoted(reference)}{hint}; known: {', '.join(known)}; the suites {', '.join(suites)}; or the"
            " path of a .yaml file"
        )
    return tasks_folder() / f"{reference}.yaml"


def _beside(reference: str) -> list[str]:
    """The task files that a folder, or a name without its ending, may stand for."""
    try:
        found = sorted(Path(reference).glob("*.yaml")) if Path(reference).is_dir() else [Path(f"{reference}.yaml")]
        return [str(path) for path in found if path.is_file()]
    except OSError:
        return []


def read_task(path: Path) -> tuple[Task, str]:
    """A task file, and the SHA-256 of its bytes in hex. Raises TaskError, which names the file."""
    return read_yaml(path, Task)
