"""The checkpoint of a training run, from which it goes on where it was stopped.

In: all that a run knows. Out: a file, and what was in it. What is wrong with one is found here, before hours of
training.
"""

import contextlib
from pathlib import Path
from typing import Any, Final

import torch

from cot.errors import DataError, reason
from cot.train.sample import INPUT_PIXELS

NAME: Final = "checkpoint.pt"


def write_checkpoint(folder: Path, *, size: str, init: str | None, **state: Any) -> None:
    """Write all that a run knows; a killed write leaves the last one whole.

    size, init: what `read_checkpoint` looks at. state: what the run goes on with, by name.
    Raises DataError if it cannot be written.
    """
    path = folder / NAME
    new = path.with_suffix(".new")
    try:
        torch.save({"size": size, "input_pixels": INPUT_PIXELS, "init": init, **state}, new)
        new.replace(path)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"cannot write {path}: {reason(error)}; if the disk is full, free some space: the last checkpoint is "
            "whole, and the same command goes on from it"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def read_checkpoint(folder: Path, *, size: str, init: Path | None) -> dict[str, Any] | None:
    """What a stopped run left in its folder; None if there is nothing.

    Its tensors are on the CPU: where a GPU is short of memory, that is no fault of the checkpoint.
    Raises DataError if it cannot be read, is damaged, of another size, sees images at another one, or started from
    another checkpoint than `init`. Those that older versions wrote say less of this.
    """
    path = folder / NAME
    if not path.exists():
        return None
    wanted = str(init.resolve()) if init else None
    anew = "name another --work, or take it away to start anew"
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found, started = saved.get("size", size), saved.get("init", wanted)
        sees = saved.get("input_pixels", INPUT_PIXELS)
    except (MemoryError, OSError) as error:
        raise DataError(f"cannot read {path}: {reason(error)}; mend that, or name another --work") from error
    except Exception as error:  # of many types, with advice that is none here
        raise DataError(f"{path} is damaged ({type(error).__name__}); {anew}") from error
    if found != size:
        raise DataError(f"{path} is of size {found!r}, got --size {size}; choose its own, or {anew}")
    if sees != INPUT_PIXELS:
        raise DataError(f"{path} sees images at {sees} pixels, and this version at {INPUT_PIXELS}; {anew}")
    if init and started != wanted:
        raise DataError(f"{path} started from {started or 'nothing'}, got --init {init}; leave that out, or {anew}")
    return saved
