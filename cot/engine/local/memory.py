"""A dictionary of limited size that forgets what was used longest ago.

In: keys, values, and the memory that each value takes. Out: the values that are still known.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Values by key. max_bytes: of all values together; the one put last stays, whatever its size."""

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value of a key, None if it is not known."""
        if key not in self._known:
            return None
        self._known.move_to_end(key)
        return self._known[key][0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Remember a value. size: bytes, >= 0."""
        self._bytes += size - self._known.pop(key, (value, 0))[1]
        self._known[key] = value, size
        while self._bytes > self._max_bytes and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1][1]
