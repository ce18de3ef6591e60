"""A conversation over images, in a terminal or on a pipe. `Session` is the conversation without either."""

from cot.chat.session import Session
from cot.chat.turn import Turn

__all__ = ["Session", "Turn"]
