"""A suite: tasks that are run together, and with what. `evals/suites/<name>.yaml` -> a `Suite`."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cot.errors import UsageError
from cot.shipped import suites_folder
from cot.task.file import suite_names
from cot.task.read import read_yaml

Limit = Annotated[int, Field(ge=1)] | None


class Suite(BaseModel):
    """Which tasks, and how much of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As it is called on the command line."""
    description: str = ""
    """One line for people."""
    strategies: tuple[str, ...] = ()
    """What the tasks are run with; empty for what the settings say."""
    tasks: Annotated[dict[str, Limit], Field(min_length=1)]
    """Name of a task or path of its file -> samples at most, the first ones; null for all."""


def find_suite(references: Sequence[str]) -> Suite:
    """The suite of a name, or one of the tasks that are named. Raises UsageError and TaskError."""
    known = suite_names()
    named = [reference for reference in references if reference in known]
    if not named:
        if len(set(references)) != len(references):
            raise UsageError(f"got the tasks {list(references)}; expected each once")
        return Suite(name="", tasks=dict.fromkeys(references))
    if len(references) > 1:
        raise UsageError(f"got the suite {named[0]!r} beside others; expected one suite alone, or tasks")
    return read_yaml(suites_folder() / f"{named[0]}.yaml", Suite)[0]
