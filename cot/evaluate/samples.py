"""Files of results: `samples.jsonl`, and one in `shares/` for each of several processes that do a run together.

In: the folder of a run. Out: its results; or all of them put into the one file. Who may write is for
`cot.evaluate.folder` to know.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cot.errors import DataError, reason
from cot.evaluate.result import SampleResult

SAMPLES_FILE: Final = "samples.jsonl"
SHARES_FOLDER: Final = "shares"

MAX_LINE_BYTES: Final = 64 * 2**20
"""Longest line that is read: some hundred times what a question with all its ground truths takes."""


def share_file(folder: Path, rank: int) -> Path:
    """Where a process of this rank writes its results."""
    return folder / SHARES_FOLDER / f"{rank}.jsonl"


def read_samples(file: Path) -> Iterator[SampleResult]:
    """Every result of a file, as `located_samples` has them. Raises DataError."""
    return (result for _, result in located_samples(file))


def located_samples(file: Path) -> Iterator[tuple[int, SampleResult]]:
    """Every result of a file, in the order in which they were finished, each with where its line begins, in bytes.

    None if there is no file. A last line without a line break is still being written, or was cut short, and is left
    out. Raises DataError for a line that is no result, and a file that cannot be read.
    """
    try:
        with file.open("rb") as lines:
            start = number = 0
            while (line := lines.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                number += 1
                yield start, read_line(line, f"{file}, line {number}")
                start += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason(error)}; expected the results of a run") from error
    if len(line) == MAX_LINE_BYTES:
        raise DataError(f"{file}, line {number + 1}: longer than {MAX_LINE_BYTES} bytes; expected a result a line")


def read_line(line: bytes, where: str) -> SampleResult:
    """A result. where: the file and line, for messages. Raises DataError."""
    try:
        return SampleResult.model_validate_json(line)
    except ValidationError as error:
        raise DataError(
            f"{where}: no result of a sample that this version of cot reads: {first_problem(error)}; run it again into"
            " another folder"
        ) from error


def first_problem(error: ValidationError) -> str:
    """The first of what is wrong: `made_with.device: Field required`."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join([*([".".join(map(str, first["loc"]))] if first["loc"] else []), first["msg"]])


def read_run(folder: Path) -> Iterator[SampleResult]:
    """Every result of a run: first those of shares, which are newer. One may be there twice. Raises DataError."""
    for file in (*sorted((folder / SHARES_FOLDER).glob("*.jsonl")), folder / SAMPLES_FILE):
        yield from read_samples(file)


def gather(folder: Path) -> None:
    """Put the results of all shares into `samples.jsonl`, each once; one that failed gives way to one that did not.

    Nobody else may write meanwhile. Killed at any moment it leaves what the same call makes whole. Raises DataError.
    """
    shares = folder / SHARES_FOLDER
    if any(shares.glob("*.jsonl")):
        fine = {result.key for result in read_run(folder) if not result.failed}
        taken: set[bytes] = set()

        def wanted(result: SampleResult) -> bool:
            if result.key in taken or (result.failed and result.key in fine):
                return False
            taken.add(result.key)
            return True

        write_samples(folder / SAMPLES_FILE, filter(wanted, read_run(folder)))
    if shares.is_dir():
        shutil.rmtree(shares)


def write_samples(file: Path, results: Iterator[SampleResult]) -> None:
    """Write a file of results whole, or leave it as it was. Raises OSError."""
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.writelines(result.line() for result in results)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        # On a disk that is full it would take the space that going on needs.
        temporary.unlink(missing_ok=True)
        raise


def drop_samples(file: Path, unwanted: Callable[[SampleResult], bool]) -> None:
    """Take results out of a file, which is left alone if it has none of them. Raises DataError."""
    if any(map(unwanted, read_samples(file))):
        write_samples(file, (result for result in read_samples(file) if not unwanted(result)))


def drop_torn_line(file: Path) -> None:
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
