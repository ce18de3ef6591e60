"""A run folder as it lies on disk: how it was defined, how far it is, and its results one after another.

In: a folder that `cot eval` wrote, or writes at this moment. Nothing in it is changed or locked.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Final, Literal

from pydantic import ValidationError

from cot.errors import DataError, UsageError, quoted, reason
from cot.evaluate.definition import Definition
from cot.evaluate.folder import LOCK_FILE, RUN_FILE, SUMMARY_FILE
from cot.evaluate.result import SampleResult
from cot.evaluate.samples import (
    MAX_LINE_BYTES,
    SAMPLES_FILE,
    SHARES_FOLDER,
    first_problem,
    located_samples,
    read_line,
)
from cot.evaluate.summary import Summary
from cot.source import shown
from cot.trace.lock import is_held

State = Literal["finished", "running", "interrupted"]
"""`running`: a process writes it now."""

MAX_FILE_BYTES: Final = 10_000_000
"""Of `run.json` and `summary.json` each."""

_SHOWN_RUNS: Final = 4
_BLOCK: Final = 1 << 20
_FILE_BYTES: Final = 1 << 48
"""Of one file at most; a place is a number of the file times this, and where the line begins in it."""


@dataclass(frozen=True)
class StoredRun:
    """A run folder. definition: what `run.json` says."""

    path: Path
    definition: Definition

    @property
    def total(self) -> int:
        """Results that a finished run has."""
        return len(self.definition.strategies) * sum(task.n for task in self.definition.tasks)

    @cached_property
    def done(self) -> int:
        """Results that are there, also those of several processes, not yet put together. Raises DataError if they
        cannot be read."""
        files = [file for file in self._files() if file.exists()]
        # Several processes may be doing again what failed, and it is then there twice.
        return sum(map(_lines, files)) if len(files) < 2 else sum(1 for _ in self.located())

    @cached_property
    def summary(self) -> Summary | None:
        """What `summary.json` says; None if there is none, or results went or came after it was written."""
        try:
            found = Summary.model_validate_json(_content(self.path / SUMMARY_FILE))
        except (OSError, ValidationError):
            return None
        return found if sum(part.n for part in found.parts) == self.done else None

    @cached_property
    def state(self) -> State:
        """How far it is."""
        if self.summary:
            return "finished"
        try:
            # Several processes share the run's own lock, and hold one each.
            locks = (self.path / LOCK_FILE, *(self.path / SHARES_FOLDER).glob("*.lock"))
            return "running" if any(map(is_held, locks)) else "interrupted"
        except OSError:
            # Without its lock file, as in a copy, nobody writes it.
            return "interrupted"

    def metric(self, task: str) -> str:
        """The name of a task's metric, which only a summary tells; else nothing."""
        return next((part.metric for part in self.summary.parts if part.task == task), "") if self.summary else ""

    def results(self, strategy: str | None = None) -> Iterator[SampleResult]:
        """The results, of one strategy or all. A last line that was cut short is left out. Raises DataError."""
        return (result for _, result in self.located(strategy))

    def located(self, strategy: str | None = None) -> Iterator[tuple[int, SampleResult]]:
        """The results, each with its place, as `at` takes it.

        Those of several processes that are not put together yet come first, since they are newer; what they have done
        again is left out. Raises DataError for a line that is no result, or a result that is there twice.
        """
        seen: set[int] = set()
        files = self._files()
        for number, file in enumerate(files):
            for start, result in located_samples(file):
                key = hash((result.task, result.strategy, result.id))
                if key not in seen:
                    seen.add(key)
                    if strategy in (None, result.strategy):
                        yield number * _FILE_BYTES + start, result
                elif len(files) == 1:
                    raise DataError(
                        f"{file} has {result.task} {result.strategy} {quoted(result.id)} twice; expected each sample"
                        " once; run it again into another folder"
                    )

    def at(self, places: Iterable[int]) -> list[SampleResult]:
        """The results at some places. Raises DataError if the run has changed meanwhile."""
        found, files = [], self._files()
        for place in places:
            number, start = divmod(place, _FILE_BYTES)
            try:
                with files[number].open("rb") as file:
                    file.seek(start)
                    found.append(read_line(file.readline(MAX_LINE_BYTES), str(self.path)))
            except (OSError, IndexError, DataError) as error:
                raise DataError(f"{self.path} changed while it was read; expected it to stay; try it again") from error
        return found

    def _files(self) -> list[Path]:
        files = [*sorted((self.path / SHARES_FOLDER).glob("*.jsonl")), self.path / SAMPLES_FILE]
        for file in files:
            if file.exists() and not file.is_file():
                raise DataError(f"cannot read {file}: it is no file; expected the results of a run")
        return files

    def trace_folder(self, result: SampleResult) -> Path | None:
        """Where a result's trace is; None if none was kept, or its name leads out of the run's folder."""
        if not result.trace or PurePath(result.trace).is_absolute() or ".." in PurePath(result.trace).parts:
            return None
        return self.path / result.trace


def _content(file: Path) -> bytes:
    """Of a small file. Raises OSError, also for what is no file: a named pipe would be waited for without end."""
    if file.exists() and not file.is_file():
        raise OSError("it is no file")
    with file.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason(error)}") from error


@dataclass(frozen=True)
class Chosen:
    """A run under one of its strategies."""

    run: StoredRun
    strategy: str
    name: str = field(init=False)
    """As people name it: `runs/first:direct`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.run.path}:{self.strategy}")


def open_run(path: Path) -> StoredRun:
    """The run in a folder. Raises DataError if there is none, or one that this version does not read."""
    file = path / RUN_FILE
    try:
        content = _content(file)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(f"no run at {shown(str(path))}; expected a folder with {RUN_FILE}, {_example(path)}") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason(error)}; expected what cot eval wrote") from error
    try:
        return StoredRun(path, Definition.model_validate_json(content))
    except ValidationError as error:
        raise DataError(f"{file} is not what this version of cot reads: {first_problem(error)}") from error


def _example(path: Path) -> str:
    """Runs just below a folder, as several controls and compared templates are, or what makes one."""
    with contextlib.suppress(OSError, ValueError):
        below = sorted(shown(str(file.parent)) for file in path.glob(f"*/{RUN_FILE}"))
        if below:
            return f"as {' or '.join(below[:_SHOWN_RUNS])}"
    return "as cot eval --out makes it; see which there are with: cot runs list"


def parse(name: str) -> tuple[StoredRun, str | None]:
    """The run and the strategy that `FOLDER` or `FOLDER:STRATEGY` means; None if it names none.

    Raises DataError if there is no such run, and UsageError for no text or a strategy that it has not.
    """
    if not name:
        # As a path it would be the folder stood in.
        raise UsageError("got no text; expected the folder of a run, or FOLDER:STRATEGY")
    folder, colon, strategy = name.rpartition(":")
    if not colon or (Path(name) / RUN_FILE).exists():
        return open_run(Path(name)), None
    run = open_run(Path(folder))
    if strategy not in run.definition.strategies:
        raise UsageError(
            f"got the strategy {shown(strategy)} of {shown(folder)}; expected one of:"
            f" {', '.join(run.definition.strategies)}"
        )
    return run, strategy


def choose(name: str) -> Chosen:
    """The one run and strategy that a name means. Raises DataError, and UsageError if it could be several."""
    return _only(*parse(name))


def choose_two(a: str, b: str) -> tuple[Chosen, Chosen]:
    """As `choose` each of two; that one of them is no run is told before the other is found to have several strategies.

    Each is opened once.
    """
    first, second = parse(a), parse(b)
    return _only(*first), _only(*second)


def _only(run: StoredRun, strategy: str | None) -> Chosen:
    if strategy is None and len(run.definition.strategies) > 1:
        several = ", ".join(run.definition.strategies)
        raise UsageError(
            f"{shown(str(run.path))} has the strategies {several}; expected one of them, as in"
            f" {shown(f'{run.path}:{run.definition.strategies[0]}')}"
        )
    return Chosen(run, strategy or run.definition.strategies[0])


def choose_all(name: str) -> list[Chosen]:
    """Every strategy of a run, or the one that is named. Raises DataError or UsageError."""
    run, strategy = parse(name)
    return [Chosen(run, one) for one in ((strategy,) if strategy else run.definition.strategies)]
