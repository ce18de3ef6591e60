"""Keeps a conversation as it goes: `<chats>/<name>/session.jsonl`, and its images beside it by SHA-256.

In: events. Out: one line of JSON each, handed to the operating system in one write before the next thing happens, so
that a killed process loses nothing that was shown. `cot/chat/saved.py` reads it again.
"""

import errno
import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import platformdirs

from cot.chat.conversation import SCHEMA, Opened, SavedEvent
from cot.errors import TraceError, UsageError
from cot.image import LoadedImage
from cot.source import shown
from cot.trace.images import keep_image
from cot.trace.lock import hold

SESSION_FILE: Final = "session.jsonl"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION: Final = re.compile(rb'"schema_version": ?([0-9])\b')
_FIRST_LINE_BYTES: Final = 200


def chats_folder() -> Path:
    """Folder of the saved conversations."""
    return platformdirs.user_state_path("cot") / "chats"


class Store:
    """A conversation's folder. It is made with the first event, so that looking in and leaving leaves nothing."""

    def __init__(self, chats: Path, name: str | None = None) -> None:
        """name: of a conversation that exists; None for a new one."""
        self.chats: Final = chats
        self._file: BinaryIO | None = None
        self._torn = False
        self.owed: Final[list[SavedEvent]] = []
        """Events that happened, and could not be kept yet."""
        self.name = name or f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        self._new = self._of_this_version = name is None

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.chats / self.name

    @property
    def saved(self) -> bool:
        """Whether anything was kept."""
        return not self._new or self._file is not None

    def hold(self) -> None:
        """Open the file, so that no other process does. Raises TraceError if it cannot be written."""
        try:
            self._opened()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def append(self, *events: SavedEvent) -> None:
        """Keep what is owed, and these events behind it, in one write.

        Raises TraceError if they cannot be written, or only in part; none of them is kept then.
        """
        if not (self.owed or events):
            return
        whole = [*self.owed, *events]
        lines = "\n".join(json.dumps(event.model_dump(mode="json"), allow_nan=False) for event in whole)
        try:
            file = self._opened()
            if not self._of_this_version:
                _raise_version(self.folder / SESSION_FILE)
                self._of_this_version = True
            start = file.seek(0, os.SEEK_END)
            # What was left of an earlier write, on a disk that was full, must not swallow what comes behind it.
            torn, self._torn = self._torn, True
            try:
                _write(file, f"\n{lines}" if torn else lines)
            except OSError:
                file.truncate(start)
                self._torn = torn
                raise
            self._torn = False
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self.owed.clear()

    def add_image(self, image: LoadedImage) -> None:
        """Keep an image, in place of a copy that may be damaged. Raises TraceError if it cannot be written."""
        try:
            self._opened()
            keep_image(self.folder, image, anew=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def rename(self, name: str) -> None:
        """Give it a name of the user's. Raises UsageError for one that is taken or no name."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"got the name {shown(name)}; expected letters, digits, '.', '_' and '-', 64 at most")
        if name == self.name:
            return
        if (self.chats / name).exists():
            raise UsageError(f"there is a conversation {name!r} already; choose another name")
        self.append()
        try:
            self._opened()
            self.folder.rename(self.chats / name)
        except OSError as error:
            raise _unwritable(self.chats / name, error) from error
        self.name = name

    def close(self) -> None:
        """Close the file. Nothing is lost without it, but what is owed."""
        if self._file:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=not self._new)
            path = self.folder / SESSION_FILE
            try:
                self._file = _begun(path) if self._new else _gone_on_with(path)
            except OSError:
                if self._new:
                    path.unlink(missing_ok=True)
                    self.folder.rmdir()
                raise
        return self._file


def open_elsewhere(name: str) -> UsageError:
    """The error for a conversation that another process writes."""
    return UsageError(f"the conversation {name!r} is open in another process; leave that one first")


def _held(path: Path) -> BinaryIO:
    """The file to append to, unbuffered: each event is one write. Raises UsageError if another process has it."""
    file = path.open("ab", buffering=0)
    if not hold(file):
        file.close()
        raise open_elsewhere(path.parent.name)
    return file


def _begun(path: Path) -> BinaryIO:
    file = _held(path)
    try:
        opened = Opened(at=datetime.now(UTC).isoformat(timespec="seconds"))
        _write(file, json.dumps(opened.model_dump(mode="json")))
    except OSError:
        file.close()
        raise
    return file


def _gone_on_with(path: Path) -> BinaryIO:
    torn = path.read_bytes()[-1:] != b"\n"
    file = _held(path)
    if torn:
        file.write(b"\n")
    return file


def _raise_version(path: Path) -> None:
    """Let an older file say that lines of this version follow: who knows only the older one would take them for torn,
    and leave messages out without a word. It is one digit in its place, which cannot be written by half."""
    with path.open("r+b") as file:
        version = _VERSION.search(file.readline(_FIRST_LINE_BYTES))
        if version and int(version[1]) < SCHEMA:
            file.seek(version.start(1))
            file.write(b"%d" % SCHEMA)


def _write(file: BinaryIO, line: str) -> None:
    data = f"{line}\n".encode("ascii")
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unwritable(folder: Path, error: OSError) -> TraceError:
    return TraceError(
        f"cannot save to {shown(os.fspath(folder))}: {error.strerror or error}; free some space or check the folder"
    )
