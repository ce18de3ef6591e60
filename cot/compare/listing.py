"""Which runs there are below a folder, and what each came to.

A finished run is known by its small files alone; of one that is not, every result so far is read.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from cot.compare.stored import State, StoredRun, open_run
from cot.errors import DataError
from cot.evaluate.folder import RUN_FILE
from cot.evaluate.summary import Part, summarise

MAX_DEPTH: Final = 3
"""Folders below the given one that are looked into."""


class Listed(BaseModel):
    """A run. What cannot be read has the state `unreadable`, and says why."""

    model_config = ConfigDict(frozen=True)

    path: str
    state: State | Literal["unreadable"]
    started_at: str = ""
    """UTC, ISO 8601."""
    model: str = ""
    tasks: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    done: int = 0
    """Results that are there, of `total`."""
    total: int = 0
    parts: tuple[Part, ...] = ()
    problem: str = ""


def list_runs(folder: Path) -> list[Listed]:
    """The runs in a folder and below it, newest first. Raises DataError if there is no such folder."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected runs in it; make one with: cot eval TASK")
    found = [look_at(path) for path in _run_folders(folder, MAX_DEPTH)]
    return sorted(found, key=lambda listed: (listed.started_at, listed.path), reverse=True)


def look_at(path: Path) -> Listed:
    """One run folder, whatever is in it."""
    try:
        run = open_run(path)
        return Listed(
            path=str(path),
            state=run.state,
            started_at=run.definition.made_with.started_at,
            model=run.definition.model,
            tasks=tuple(task.name for task in run.definition.tasks),
            strategies=run.definition.strategies,
            done=run.done,
            total=run.total,
            parts=_parts(run),
        )
    except DataError as error:
        return Listed(path=str(path), state="unreadable", problem=str(error))


def _parts(run: StoredRun) -> tuple[Part, ...]:
    if run.summary:
        return run.summary.parts
    return summarise(run.results(), lambda _: "", complete=False).parts if run.done else ()


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RUN_FILE).is_file():
        yield folder
    elif depth:
        try:
            below = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        for path in below:
            yield from _run_folders(Path(path), depth - 1)
