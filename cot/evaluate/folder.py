"""The folder of a run: who writes it, what it holds already, and one line more.

In: a definition, and results as they come. Out: `run.json`, and `samples.jsonl`, to which a line is appended and
handed to the operating system for each result. A last line that was cut short is dropped on opening.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from pydantic import BaseModel, ValidationError

from cot.errors import DataError, reason
from cot.evaluate.definition import Definition
from cot.evaluate.result import SampleResult

if sys.platform != "win32":
    import fcntl

RUN_FILE: Final = "run.json"
SAMPLES_FILE: Final = "samples.jsonl"
SUMMARY_FILE: Final = "summary.json"
TRACES_FOLDER: Final = "traces"
LOCK_FILE: Final = ".lock"


class RunFolder:
    """A run folder that this process alone writes. A context manager."""

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing, and lock it until `close`.

        Raises DataError if another process writes it, it holds other files, or cannot be written.
        """
        self.path: Final = path
        self._samples: BinaryIO | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / RUN_FILE).exists() and (others := _other_files(path)):
                raise DataError(f"{path} holds {others[0]!r} and no {RUN_FILE}; expected an empty folder or a run")
            self._lock = (path / LOCK_FILE).open("ab")
        except OSError as error:
            raise DataError(f"cannot write to {path}: {reason(error)}; name another folder with --out") from error
        self._take_lock()

    def define(self, definition: Definition) -> bool:
        """Write `run.json`, or hold the run that is there to the same definition; whether one was there.

        Raises DataError that names the difference.
        """
        file = self.path / RUN_FILE
        if file.exists():
            try:
                before = Definition.model_validate_json(file.read_bytes())
            except (ValidationError, ValueError) as error:
                raise DataError(
                    f"{file} is not what this version writes: {reason(error)}; name another --out"
                ) from error
            before.check_same(definition, str(self.path))
            return True
        self.write(RUN_FILE, definition)
        return False

    def open_samples(self, known: Callable[[SampleResult], None], *, retry_errors: bool) -> set[bytes]:
        """Read what is there, drop a line that was cut short, and be ready to append; the keys of what is there.

        known: called with every result. retry_errors: results that errored are dropped, so that they are done again.
        Raises DataError for a line that is no result, or a result that is there twice.
        """
        file = self.path / SAMPLES_FILE
        _drop_torn_line(file)
        keys: set[bytes] = set()
        errored = False
        for result in self.results():
            if retry_errors and result.status == "errored":
                errored = True
                continue
            if result.key in keys:
                raise DataError(f"{file} has {result.task} {result.strategy} {result.id!r} twice; name another --out")
            keys.add(result.key)
            known(result)
        if errored:
            self._keep(lambda result: result.status != "errored")
        self._samples = file.open("ab")
        return keys

    def append(self, result: SampleResult) -> None:
        """Append one result. It is with the operating system when this returns. Raises DataError."""
        if self._samples is None:
            raise DataError(f"{self.path} is not open for results; call open_samples first")
        try:
            self._samples.write(result.line())
            self._samples.flush()
        except OSError as error:
            raise DataError(
                f"cannot write to {self.path}: {reason(error)}; free some space and run it again"
            ) from error

    def results(self) -> Iterator[SampleResult]:
        """Every result, in the order in which they were finished. Raises DataError."""
        file = self.path / SAMPLES_FILE
        if not file.exists():
            return
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield SampleResult.model_validate_json(line)
                except ValidationError as error:
                    raise DataError(f"{file}, line {number}: no result of a sample; name another --out") from error

    def write(self, name: str, content: BaseModel) -> None:
        """Write a file of the run whole, or leave it as it was."""
        temporary = self.path / f"{name}.tmp"
        temporary.write_text(json.dumps(content.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")
        os.replace(temporary, self.path / name)

    def close(self) -> None:
        """Close the files and let others write. A run that was never defined leaves no folder behind."""
        if self._samples:
            self._samples.close()
        if not (self.path / RUN_FILE).exists():
            with contextlib.suppress(OSError):
                (self.path / LOCK_FILE).unlink()
                self.path.rmdir()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take_lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise DataError(
                f"another process writes the run {self.path}; wait for it, or name another --out"
            ) from error
        except OSError:
            # A file system without locks is no reason not to write.
            return

    def _keep(self, wanted: Callable[[SampleResult], bool]) -> None:
        temporary = self.path / f"{SAMPLES_FILE}.tmp"
        with temporary.open("wb") as file:
            for result in self.results():
                if wanted(result):
                    file.write(result.line())
        os.replace(temporary, self.path / SAMPLES_FILE)


def _other_files(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir() if found.name not in (LOCK_FILE, f"{RUN_FILE}.tmp"))


def _drop_torn_line(file: Path) -> None:
    """Cut the file behind its last line break: what stands there was not finished."""
    if not file.exists():
        return
    with file.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        kept = end
        while kept > 0:
            start = max(0, kept - 65536)
            stream.seek(start)
            found = stream.read(kept - start).rfind(b"\n")
            if found >= 0:
                kept = start + found + 1
                break
            kept = start
        if kept != end:
            stream.truncate(kept)
