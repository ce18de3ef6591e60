"""Keeps a conversation as it goes: `<chats>/<name>/session.jsonl`, and its images beside it by SHA-256.

In: events. Out: one line of JSON each, handed to the operating system in one write before the next thing happens, so
that a killed process loses nothing that was shown. A file is read again by `open_saved`; a torn last line is left out.
"""

import errno
import json
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import platformdirs
from pydantic import TypeAdapter, ValidationError

from cot.chat.conversation import SCHEMA, Conversation, Opened, SavedEvent
from cot.errors import TraceError, UsageError
from cot.image import LoadedImage, load_image
from cot.source import shown
from cot.trace.event import TracedImage
from cot.trace.images import image_path, keep_image, restored
from cot.trace.lock import hold, is_held

SESSION_FILE: Final = "session.jsonl"
MAX_FILE_BYTES: Final = 256 * 2**20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EVENT: Final[TypeAdapter[SavedEvent]] = TypeAdapter(SavedEvent)


def chats_folder() -> Path:
    """Folder of the saved conversations."""
    return platformdirs.user_state_path("cot") / "chats"


class Store:
    """A conversation's folder. It is made with the first event, so that looking in and leaving leaves nothing."""

    def __init__(self, chats: Path, name: str | None = None) -> None:
        """name: of a conversation that exists; None for a new one."""
        self.chats: Final = chats
        self._file: BinaryIO | None = None
        self.name = name or f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        self._new = name is None

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

    def append(self, event: SavedEvent) -> None:
        """Keep an event. Raises TraceError if it cannot be written."""
        line = json.dumps(event.model_dump(mode="json"), allow_nan=False)
        try:
            _write(self._opened(), line)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def add_image(self, image: LoadedImage) -> None:
        """Keep an image, once. Raises TraceError if it cannot be written."""
        try:
            self._opened()
            keep_image(self.folder, image)
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
        try:
            if self.saved:
                self.folder.rename(self.chats / name)
        except OSError as error:
            raise _unwritable(self.chats / name, error) from error
        self.name = name

    def close(self) -> None:
        """Close the file. Nothing is lost without it."""
        if self._file:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=not self._new)
            path = self.folder / SESSION_FILE
            torn = not self._new and path.read_bytes()[-1:] != b"\n"
            # Unbuffered: each event is one write.
            self._file = path.open("ab", buffering=0)
            hold(self._file)
            if torn:
                self._file.write(b"\n")
            if self._new:
                opened = Opened(at=datetime.now(UTC).isoformat(timespec="seconds"))
                _write(self._file, json.dumps(opened.model_dump(mode="json")))
        return self._file


@dataclass(frozen=True)
class Listed:
    """A saved conversation in a list. unreadable: why it cannot be read, else empty."""

    name: str
    changed: datetime
    turns: int = 0
    first: str = ""
    unreadable: str = ""


def list_saved(chats: Path) -> list[Listed]:
    """All saved conversations, the one changed last first."""
    found = []
    for path in chats.glob(f"*/{SESSION_FILE}"):
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime)
        except OSError:
            continue
        name = path.parent.name
        try:
            turns = read(path).turns
            found.append(Listed(name, changed, len(turns), turns[0].question if turns else ""))
        except TraceError as error:
            found.append(Listed(name, changed, unreadable=str(error)))
    return sorted(found, key=lambda one: (one.changed, one.name), reverse=True)


def open_saved(chats: Path, name: str | None) -> tuple[Store, Conversation, dict[str, LoadedImage]]:
    """A saved conversation to go on with; the one changed last if `name` is None.

    Raises UsageError if there is none of this name or it is open elsewhere, TraceError if it is damaged.
    """
    known = [one.name for one in list_saved(chats)]
    if not known:
        raise UsageError("no conversation was saved yet; start one with: cot chat IMAGE")
    name = name or known[0]
    if name not in known:
        raise UsageError(f"there is no conversation {shown(name)}; known: {', '.join(known[:8])}")
    path = chats / name / SESSION_FILE
    if is_held(path):
        raise UsageError(f"the conversation {name!r} is open in another process; leave that one first")
    conversation = read(path)
    images = {image.sha256: _image(path.parent, image) for image in conversation.images}
    store = Store(chats, name)
    store.hold()
    return store, conversation, images


def read(path: Path) -> Conversation:
    """The state that a file's events lead to. Raises TraceError if it is unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TraceError(f"cannot read {shown(str(path))}: {error.strerror}; check the file's permissions") from error
    if len(data) > MAX_FILE_BYTES:
        raise TraceError(f"{shown(str(path))} has more than {MAX_FILE_BYTES:,} bytes; start a new conversation")
    conversation = Conversation()
    for number, line in enumerate(data.splitlines()):
        try:
            event = _EVENT.validate_json(line)
        except ValidationError:
            # A process that was killed while it wrote leaves half a line, and the next one begins behind it.
            if number == 0:
                raise _foreign(path) from None
            continue
        if number == 0 and not (isinstance(event, Opened) and 1 <= event.schema_version <= SCHEMA):
            raise _foreign(path)
        conversation.apply(event)
    return conversation


def _write(file: BinaryIO, line: str) -> None:
    data = f"{line}\n".encode("ascii")
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _image(folder: Path, image: TracedImage) -> LoadedImage:
    loaded = load_image(_image_path(folder, image.sha256))
    if loaded.sha256 != image.sha256:
        raise TraceError(f"the saved image {image.sha256[:16]} has other pixels than its name says; it was changed")
    return restored(loaded, image)


def _image_path(folder: Path, sha256: str) -> Path:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise TraceError(f"{shown(sha256)} is no SHA-256; the conversation in {folder} was changed by hand")
    return image_path(folder, sha256)


def _foreign(path: Path) -> TraceError:
    return TraceError(
        f"{shown(str(path))} is no conversation of version 1 to {SCHEMA}; expected one that cot chat saved"
    )


def _unwritable(folder: Path, error: OSError) -> TraceError:
    return TraceError(
        f"cannot save to {shown(os.fspath(folder))}: {error.strerror or error}; free some space or check the folder"
    )
