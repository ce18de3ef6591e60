"""A model as a file of JSON that is written whole or not at all, whatever moment a process is killed at, or the
power fails."""

import json
import os
from pathlib import Path

from pydantic import BaseModel


def replace_whole(file: Path, content: BaseModel, *, writer: str = "") -> None:
    """Write a file, or leave it as it was. writer: tells processes apart that may do so at once. Raises OSError."""
    os.replace(_temporary(file, content, writer), file)


def create_whole(file: Path, content: BaseModel, *, writer: str = "") -> bool:
    """Write a new file; False if another process was faster. writer: as for `replace_whole`. Raises OSError."""
    temporary = _temporary(file, content, writer)
    try:
        os.link(temporary, file)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links.
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _temporary(file: Path, content: BaseModel, writer: str) -> Path:
    temporary = file.with_name(f"{file.name}{writer}.tmp")
    try:
        with temporary.open("w") as stream:
            stream.write(json.dumps(content.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")
            stream.flush()
            # A file system may otherwise keep the name without the content when the power fails.
            os.fsync(stream.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
