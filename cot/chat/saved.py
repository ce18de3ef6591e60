"""Reads saved conversations: one to go on with, or all for a list.

In: the folder that `cot/chat/store.py` writes to. Out: conversations and their images. A line that a killed process
left half written is left out.
"""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from cot.chat.conversation import SCHEMA, Conversation, Opened, SavedEvent
from cot.chat.store import SESSION_FILE, Store, open_elsewhere
from cot.errors import CotError, TraceError, UsageError
from cot.image import LoadedImage, load_image
from cot.source import shown
from cot.trace.event import TracedImage
from cot.trace.images import KEPT, image_path, restored
from cot.trace.lock import is_held

MAX_FILE_BYTES: Final = 256 * 2**20
_EVENT: Final[TypeAdapter[SavedEvent]] = TypeAdapter(SavedEvent)


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


def saved_names(chats: Path) -> list[str]:
    """Names of all saved conversations, the one changed last first."""
    return [path.parent.name for path in sorted(chats.glob(f"*/{SESSION_FILE}"), key=_changed, reverse=True)]


def open_saved(chats: Path, name: str | None) -> tuple[Store, Conversation, dict[str, LoadedImage]]:
    """A saved conversation to go on with; the one changed last if `name` is None. An image that is lost is not in it.

    Raises UsageError if there is none of this name or it is open elsewhere, TraceError if it is damaged.
    """
    known = saved_names(chats)
    if not known:
        raise UsageError("no conversation was saved yet; start one with: cot chat IMAGE")
    name = name or known[0]
    if name not in known:
        raise UsageError(f"there is no conversation {shown(name)}; known: {', '.join(known[:8])}")
    path = chats / name / SESSION_FILE
    try:
        held = is_held(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if held:
        raise open_elsewhere(name)
    store = Store(chats, name)
    store.hold()
    try:
        conversation = read(path)
        images = kept_images(path.parent, conversation.images)
    except CotError:
        store.close()
        raise
    return store, conversation, images


def kept_images(folder: Path, images: Iterable[TracedImage]) -> dict[str, LoadedImage]:
    """Those of the images that a conversation's folder still has as they were, by SHA-256."""
    found = {}
    for image in images:
        with contextlib.suppress(CotError):
            found[image.sha256] = _image(folder, image)
    return found


def read(path: Path) -> Conversation:
    """The state that a file's events lead to. Raises TraceError if it is unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
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


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _image(folder: Path, image: TracedImage) -> LoadedImage:
    loaded = load_image(_image_path(folder, image.sha256), KEPT)
    if loaded.sha256 != image.sha256:
        raise TraceError(f"the saved image {image.sha256[:16]} has other pixels than its name says; it was changed")
    return restored(loaded, image)


def _image_path(folder: Path, sha256: str) -> Path:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise TraceError(f"{shown(sha256)} is no SHA-256; the conversation in {folder} was changed by hand")
    return image_path(folder, sha256)


def _unreadable(path: Path, error: OSError) -> TraceError:
    return TraceError(f"cannot read {shown(str(path))}: {error.strerror}; check the file's permissions")


def _foreign(path: Path) -> TraceError:
    return TraceError(
        f"{shown(str(path))} is no conversation of version 1 to {SCHEMA}; expected one that cot chat saved"
    )
