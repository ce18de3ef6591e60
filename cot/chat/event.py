"""What a session tells whoever shows it. All text in it may be hostile; who shows it makes it plain."""

from dataclasses import dataclass
from typing import Literal

from cot.chat.conversation import Conversation
from cot.chat.turn import Turn
from cot.image import LoadedImage
from cot.step import Step
from cot.trace.read import Trace

Detail = Literal["full", "brief", "off"]
"""How many steps are shown: all, only what was found, or none."""


@dataclass(frozen=True)
class Said:
    """Words of the program itself."""

    text: str
    tone: Literal["info", "warning", "error"] = "info"


@dataclass(frozen=True)
class StepDone:
    """A step was finished."""

    step: Step


@dataclass(frozen=True)
class TurnDone:
    """A message was answered, failed or was interrupted."""

    turn: Turn


@dataclass(frozen=True)
class TraceOpened:
    """A trace is to be shown."""

    trace: Trace


@dataclass(frozen=True)
class ImageAttached:
    """An image joined the conversation; what is to be said of it was said."""

    image: LoadedImage


@dataclass(frozen=True)
class WentOn:
    """A saved conversation is gone on with."""

    conversation: Conversation
    name: str


ChatEvent = Said | StepDone | TurnDone | TraceOpened | ImageAttached | WentOn
"""Any of them."""
