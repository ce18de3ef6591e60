"""Server-sent events: bytes as they arrive -> the data of each event.

In: pieces of a reply, cut anywhere. Out: the data of every event that is complete (WHATWG HTML, section 9.2,
"Server-sent events"). Comments, names, ids and retry times are skipped. It does not look into the data.
"""

import codecs
from typing import Final

_BOM: Final = codecs.BOM_UTF8


class EventDecoder:
    """Takes pieces, gives events. Keeps no more than the event that is not complete yet."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that `piece` completes."""
        self._rest += piece
        # A carriage return at the very end may be the first half of a line break.
        last = max(self._rest.rfind(b"\n", self._searched), self._rest.rfind(b"\r", self._searched, -1))
        self._searched = max(0, len(self._rest) - 1)
        if last < 0:
            return []
        whole = bytes(self._rest[: last + 1])
        del self._rest[: last + 1]
        self._searched = 0
        return self._events(whole)

    def end(self) -> list[str]:
        """What is complete when nothing more comes: an event need not be closed by an empty line then."""
        whole = bytes(self._rest)
        self._rest.clear()
        return self._events((whole if whole.endswith((b"\n", b"\r")) else b"") + b"\n\n")

    def _events(self, whole: bytes) -> list[str]:
        if not self._begun:
            self._begun = True
            whole = whole.removeprefix(_BOM)
        found = []
        for line in whole.splitlines():
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                found.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data = []
        return found
