"""The state of a conversation, and the events that change it.

In: events, as they happen or as they were saved. Out: images, turns and chosen settings. What a saved file gives is
what the running session has, since both go through `Conversation.apply`. Nothing here reads, writes or asks.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cot.chat.turn import Turn
from cot.step import Step
from cot.trace.event import TracedImage

SCHEMA: Final = 4
"""Version of the saved format, in the first line. Files of older ones are read, and become of this one when they are
gone on with: a line of an older version is one of it."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Opened(_Event):
    """The first line of a file."""

    event: Literal["opened"] = "opened"
    schema_version: int = SCHEMA
    at: str
    """Date and time, UTC, ISO 8601."""


class Attached(_Event):
    """An image joined the conversation; its pixels are in `images/<sha256>.png`."""

    event: Literal["attached"] = "attached"
    image: TracedImage


class Dropped(_Event):
    """An image left it; those behind it move up by one."""

    event: Literal["dropped"] = "dropped"
    number: int = Field(ge=1)


class Chosen(_Event):
    """A setting was changed."""

    event: Literal["chosen"] = "chosen"
    name: str
    value: str


class Asked(_Event):
    """A message was sent; without an `Ended` behind it, it was cut short."""

    event: Literal["asked"] = "asked"
    turn: Turn
    again: bool = False
    """Whether in place of the turn that was taken back just before."""


class Stepped(_Event):
    """A finished step of the message that was asked last."""

    event: Literal["stepped"] = "stepped"
    step: Step


class Ended(_Event):
    """The whole turn."""

    event: Literal["ended"] = "ended"
    turn: Turn


class Undone(_Event):
    """The last turn was taken back."""

    event: Literal["undone"] = "undone"


SavedEvent = Annotated[
    Opened | Attached | Dropped | Chosen | Asked | Stepped | Ended | Undone, Field(discriminator="event")
]
"""Any event."""


@dataclass
class Conversation:
    """What was said so far. An unfinished turn is the last of `turns`, with `cancelled` as its stop reason."""

    images: list[TracedImage] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    chosen: dict[str, str] = field(default_factory=dict)
    """Settings that were changed in it, as text, in the order of the last changes: some hold only after others."""
    undone: list[Turn] = field(default_factory=list)
    """Turns that were taken back: what they cost was paid."""
    _open: bool = False
    _replaced: Turn | None = None

    @property
    def staying(self) -> Turn | None:
        """The answered turn that an unfinished one was to replace, if there is one."""
        return self._replaced if self._open and self._replaced and self._replaced.answered else None

    @property
    def waiting(self) -> list[TracedImage]:
        """Images that no message has been asked about yet."""
        seen = {image.sha256 for turn in self.turns for image in turn.images}
        return [image for image in self.images if image.sha256 not in seen]

    @property
    def every_image(self) -> dict[str, TracedImage]:
        """Those that are attached, and all that a message was asked about, by SHA-256."""
        asked_about = (image for turn in self.turns for image in turn.images)
        return {image.sha256: image for image in (*asked_about, *self.images)}

    def numbered(self, wanted: Collection[str]) -> list[tuple[int, TracedImage]]:
        """Those attached images whose SHA-256 is wanted, with their numbers, the last one first: who drops them in this
        order lets the others keep their numbers meanwhile."""
        numbered = reversed(list(enumerate(self.images, 1)))
        return [(number, image) for number, image in numbered if image.sha256 in wanted]

    def came_with_attempt(self, old: Turn) -> list[tuple[int, TracedImage]]:
        """The images, as `numbered` has them, that came with the last turn, an attempt at an old one."""
        return self.numbered(self.turns[-1].attached[len(old.attached) :])

    def in_order(self) -> Iterator[Turn | tuple[TracedImage, ...]]:
        """The turns, and all images where they change: before the turn that was asked about them, and at the end."""
        images: tuple[TracedImage, ...] = ()
        for turn in self.turns:
            if turn.images != images:
                yield (images := turn.images)
            yield turn
        if tuple(self.images) != images:
            yield tuple(self.images)

    def apply(self, event: SavedEvent) -> None:
        """Change the state. Events that do not fit it (a damaged file) change nothing."""
        match event:
            case Attached():
                self.images.append(event.image)
            case Dropped() if event.number <= len(self.images):
                del self.images[event.number - 1]
            case Chosen() if self.chosen.get(event.name) != event.value:
                self.chosen.pop(event.name, None)
                self.chosen[event.name] = event.value
            case Asked():
                if event.turn in self.undone:  # an attempt at another one came to nothing
                    self.undone.remove(event.turn)
                self._replaced = self.undone[-1] if event.again and self.undone else None
                self.turns.append(event.turn)
                self._open = True
            case Stepped() if self._open:
                last = self.turns[-1]
                self.turns[-1] = last.model_copy(update={"steps": (*last.steps, event.step)})
            case Ended() if self._open:
                self.turns[-1] = event.turn
                self._open = False
            case Undone() if self.turns:
                self.undone.append(self.turns.pop())
                self._open = False
            case _:
                pass


def put_back(turn: Turn, came: Iterable[tuple[int, TracedImage]]) -> tuple[SavedEvent, ...]:
    """What puts a turn in place of the last one, an attempt at it that came to nothing.

    came: the images that came with the attempt, which are dropped.
    """
    return Undone(), Asked(turn=turn), Ended(turn=turn), *(Dropped(number=number) for number, _ in came)
