"""Lets the user write a text in an editor of his own: `$VISUAL`, `$EDITOR`, or vi.

In: a text. Out: what was saved, or None if the editor failed.
"""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from cot.errors import UsageError
from cot.source import shown


def edit(text: str) -> str | None:
    """Open the editor and wait for it. Raises UsageError if it cannot be started, or the text cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix="cot-") as folder:
            path = Path(folder) / "message.txt"
            path.write_text(text, "utf-8")
            return _edited(path)
    except OSError as error:
        raise UsageError(
            f"the text cannot be written for an editor: {error.strerror or error};"
            " free some space, or set TMPDIR to a folder that can be written to"
        ) from error


def _edited(path: Path) -> str | None:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(named), str(path)], check=False)
        return path.read_text("utf-8") if done.returncode == 0 else None
    except (OSError, ValueError) as error:
        raise UsageError(f"the editor {shown(named)} failed: {error}; set EDITOR to one that is there") from error
