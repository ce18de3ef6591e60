"""The folder of a run: who writes it, what it holds already, and one line more.

In: a definition, and results as they come. Out: `run.json`, and `samples.jsonl`, to which a line is appended and
handed to the operating system for each result. A last line that was cut short is dropped on opening. Of several
processes that do a run together, each has a file of its own in `shares/`; the last one puts them together.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

from pydantic import BaseModel, ValidationError

from cot.errors import CotError, DataError, TraceError, reason
from cot.evaluate.definition import Definition
from cot.evaluate.lock import take_lock
from cot.evaluate.result import SampleResult
from cot.evaluate.samples import (
    SAMPLES_FILE,
    SHARES_FOLDER,
    drop_samples,
    drop_torn_line,
    first_problem,
    gather,
    read_run,
    share_file,
)
from cot.evaluate.shard import Shard
from cot.evaluate.whole import create_whole, replace_whole

RUN_FILE: Final = "run.json"
SUMMARY_FILE: Final = "summary.json"
TRACES_FOLDER: Final = "traces"
LOCK_FILE: Final = ".lock"

_OWN_NAMES: Final = (RUN_FILE, SUMMARY_FILE, SAMPLES_FILE, LOCK_FILE, SHARES_FOLDER, TRACES_FOLDER)

PATIENCE_SECONDS: Final = 30.0
"""How long a process of several waits while another one puts results together."""


class RunFolder:
    """A run folder that this process alone writes, or in which it has a share. A context manager."""

    def __init__(self, path: Path, shard: Shard | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Make the folder if it is missing, and lock it until `close`.

        shard: which of several processes this is; then only others of the same launch may write too.
        Raises DataError if another process writes it, it holds other files, or cannot be written.
        """
        self.path: Final = path
        self.shard: Final = shard
        self._writer: Final = f".{shard.rank}" if shard else ""
        self._samples: BinaryIO | None = None
        self._locks: list[IO[bytes]] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / RUN_FILE).exists() and (others := _other_files(path)):
                raise DataError(f"{path} holds {others[0]!r} and no {RUN_FILE}; expected an empty folder or a run")
            self._lock(LOCK_FILE, shared=shard is not None, wait_seconds=patience_seconds if shard else 0.0)
            if shard:
                share_file(path, shard.rank).parent.mkdir(exist_ok=True)
                self._lock(f"{SHARES_FOLDER}/{shard.rank}.lock")
        except OSError as error:
            raise DataError(f"cannot write to {path}: {reason(error)}; name another folder with --out") from error

    def define(self, definition: Definition) -> bool:
        """Write `run.json`, or hold the run that is there to the same definition; whether one was there.

        Raises DataError that names the difference, and where it cannot be written.
        """
        file = self.path / RUN_FILE
        try:
            if not file.exists() and create_whole(file, definition, writer=self._writer):
                return False
        except OSError as error:
            raise self._full(error) from error
        if before := self.definition():
            before.check_same(definition, str(self.path))
        return True

    def definition(self) -> Definition | None:
        """What `run.json` says; None where no run was begun. Raises DataError if it says something else."""
        file = self.path / RUN_FILE
        try:
            return Definition.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read {file}: {reason(error)}; expected the file of a run") from error
        except ValidationError as error:
            raise DataError(
                f"{file} is not what this version writes: {first_problem(error)}; name another --out"
            ) from error

    def open_samples(self, known: Callable[[SampleResult], None], *, retry_errors: bool) -> set[bytes]:
        """Read what is there, drop a line that was cut short, and be ready to append; the keys of what is there.

        known: called with every result. retry_errors: results that failed are dropped, so that they are done again.
        Raises DataError for a line that is no result, a result that is there twice, and where it cannot be written.
        """
        file = share_file(self.path, self.shard.rank) if self.shard else self.path / SAMPLES_FILE
        try:
            if self.shard is None:
                # Several processes may have begun what one goes on with.
                gather(self.path)
            drop_torn_line(file)
            if retry_errors and any(result.failed for result in self.results()):
                drop_samples(file, lambda result: result.failed)
                # What it says is no longer so, and as many results may be there soon.
                (self.path / SUMMARY_FILE).unlink(missing_ok=True)
            samples = file.open("ab")
        except OSError as error:
            raise self._full(error) from error
        self._samples = samples
        keys: set[bytes] = set()
        for result in self.results():
            if retry_errors and result.failed:
                continue
            key = result.key
            if key in keys:
                if self.shard:
                    continue
                raise DataError(f"{file} has {result.task} {result.strategy} {result.id!r} twice; name another --out")
            keys.add(key)
            known(result)
        return keys

    def append(self, result: SampleResult) -> None:
        """Append one result. It is with the operating system when this returns. Raises DataError."""
        if self._samples is None:
            raise DataError(f"{self.path} is not open for results; call open_samples first")
        try:
            self._samples.write(result.line())
            self._samples.flush()
        except OSError as error:
            raise self._full(error) from error

    def gathered(self, total: int) -> bool:
        """Give up the share, and put all shares together if all `total` results are there and nobody else is at work.

        Whether that was done; then this process alone writes the folder. Raises DataError.
        """
        self._release()
        # In this order: whoever gives up last sees everything, and nobody else holds the lock.
        if len({result.key for result in self.results()}) < total:
            return False
        lock = take_lock(self.path / LOCK_FILE)
        if lock is None:
            return False
        self._locks.append(lock)
        if not (self.path / SHARES_FOLDER).is_dir():
            return False
        try:
            gather(self.path)
        except OSError as error:
            raise self._full(error) from error
        return True

    def results(self) -> Iterator[SampleResult]:
        """Every result, in the order in which they were finished. Raises DataError."""
        return read_run(self.path)

    def write(self, name: str, content: BaseModel) -> None:
        """Write a file of the run whole, or leave it as it was. Raises DataError."""
        try:
            replace_whole(self.path / name, content, writer=self._writer)
        except OSError as error:
            raise self._full(error) from error

    def without_trace(self, error: TraceError) -> CotError:
        """What to raise where a trace cannot be written: traces are a part of the run, which goes on."""
        return self._full(error.__cause__, TRACES_FOLDER) if isinstance(error.__cause__, OSError) else error

    def close(self) -> None:
        """Close the files and let others write. A run that was never defined leaves no folder behind."""
        self._release()
        if (self.path / RUN_FILE).exists():
            return
        with contextlib.suppress(OSError):
            lock = take_lock(self.path / LOCK_FILE)
            if lock is None:
                return
            shutil.rmtree(self.path / SHARES_FOLDER, ignore_errors=True)
            (self.path / LOCK_FILE).unlink()
            self.path.rmdir()
            lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self, name: str, *, shared: bool = False, wait_seconds: float = 0.0) -> None:
        lock = take_lock(self.path / name, shared=shared, wait_seconds=wait_seconds)
        if lock is None:
            self._release()
            raise DataError(f"another process writes the run {self.path}; wait for it, or name another --out")
        self._locks.append(lock)

    def _release(self) -> None:
        if self._samples:
            # What could not be written was said when it was tried.
            with contextlib.suppress(OSError):
                self._samples.close()
        for file in self._locks:
            file.close()
        self._locks.clear()

    def _full(self, error: OSError, name: str = "") -> DataError:
        return DataError(
            f"cannot write to {self.path / name}: {reason(error)}; what was finished is not lost: free some space, and"
            " give the same command again"
        )


def run_of_file(path: Path) -> Path | None:
    """The run folder that keeps a file of its own at a resolved path; None where no run does."""
    for folder in path.parents:
        name = path.relative_to(folder).parts[0].removesuffix(".tmp")
        if name in _OWN_NAMES and (folder / RUN_FILE).is_file():
            return folder
    return None


def _other_files(path: Path) -> list[str]:
    ours = (LOCK_FILE, SHARES_FOLDER)
    names = sorted(found.name for found in path.iterdir())
    return [name for name in names if name not in ours and not name.startswith(f"{RUN_FILE}.")]
