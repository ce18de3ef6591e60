"""Which runs there are below a folder, and what each came to.

A finished run is known by its small files alone; of one that is not, every result so far is read.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from cot.compare.stored import State, StoredRun, open_run
from cot.errors import DataError
from cot.evaluate.ablation import Ablation
from cot.evaluate.folder import RUN_FILE
from cot.evaluate.part import Part
from cot.evaluate.summary import Tally

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
    ablation: Ablation | None = None
    """What was taken from the model: then the scores are controls."""
    parts: tuple[Part, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """A run folder. run: None if it cannot be read; `problem` then says why."""

    path: Path
    run: StoredRun | None
    problem: str = ""

    @property
    def started_at(self) -> str:
        """UTC, ISO 8601; empty if unknown."""
        return self.run.definition.made_with.started_at if self.run else ""

    def look(self) -> Listed:
        """What it came to."""
        if self.run is None:
            return Listed(path=str(self.path), state="unreadable", problem=self.problem)
        definition = self.run.definition
        known: dict[str, Any] = {
            "path": str(self.path),
            "started_at": self.started_at,
            "model": definition.model,
            "tasks": tuple(task.name for task in definition.tasks),
            "strategies": definition.strategies,
            "ablation": definition.ablation,
        }
        try:
            return Listed(
                **known, state=self.run.state, done=self.run.done, total=self.run.total, parts=_parts(self.run)
            )
        except DataError as error:
            return Listed(**known, state="unreadable", problem=str(error))


def find_runs(folder: Path, *, task: str = "", model: str = "") -> list[Found]:
    """The runs in a folder and below it, newest first; no results are read.

    task, model: only runs of this task, and with this in the model's name, whatever the case; empty for all.
    Raises DataError if there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected runs in it; make one with: cot eval TASK")
    found = [_opened(path) for path in _run_folders(folder, MAX_DEPTH)]
    wanted = [one for one in found if _fits(one, task, model)]
    return sorted(wanted, key=lambda one: (one.started_at, str(one.path)), reverse=True)


def _opened(path: Path) -> Found:
    try:
        return Found(path, open_run(path))
    except DataError as error:
        return Found(path, None, str(error))


def _fits(found: Found, task: str, model: str) -> bool:
    if found.run is None:
        return not task and not model
    definition = found.run.definition
    return task in ("", *(one.name for one in definition.tasks)) and model.casefold() in definition.model.casefold()


def _parts(run: StoredRun) -> tuple[Part, ...]:
    if run.summary:
        return run.summary.parts
    if not run.done:
        return ()
    tally = Tally(lambda _: "")
    tally.take(run.results())
    return tally.parts()


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Of a linked folder it is only looked whether it is a run: what is below it may lead anywhere."""
    try:
        if (folder / RUN_FILE).is_file():
            yield folder
            return
        entries = os.scandir(folder) if depth else ()
        below = sorted((entry.path, entry.is_symlink()) for entry in entries if _is_folder(entry))
    except OSError:
        return
    for path, is_link in below:
        yield from _run_folders(Path(path), 0 if is_link else depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False
