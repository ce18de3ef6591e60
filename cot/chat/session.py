"""A conversation, without any terminal: what can be done with it, and what it tells.

In: images, questions, settings. Out: events for `emit`, and a saved conversation. Each question is asked over all
images of the conversation, so that an engine knows their prefix from the question before.
"""

import importlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

from cot.chat.checked import changed, check_server, check_settings, check_text
from cot.chat.conversation import (
    Asked,
    Attached,
    Chosen,
    Conversation,
    Dropped,
    Ended,
    SavedEvent,
    Stepped,
    Undone,
    put_back,
)
from cot.chat.engines import Engines, Load, finished, in_background
from cot.chat.event import ChatEvent, Detail, ImageAttached, Said, StepDone, TurnDone, WentOn
from cot.chat.memory import IMAGE_NUMBER
from cot.chat.store import Store
from cot.chat.turn import Turn
from cot.engine.base import EngineInfo
from cot.errors import CotError, TraceError, UsageError
from cot.image import LoadedImage, load_image
from cot.settings import Settings
from cot.step import Step
from cot.trace.event import TracedImage
from cot.trace.images import IMAGES_FOLDER, described

Edit = Callable[[str], str | None]
"""Lets the user edit a text; None if nothing came of it."""


class Session:
    """The state of a chat, and what can be done with it.

    leaving: set when the user wants to go. detail: how many steps are to be shown.
    """

    def __init__(
        self,
        settings: Settings,
        load: Load,
        store: Store,
        emit: Callable[[ChatEvent], None],
        *,
        conversation: Conversation | None = None,
        images: dict[str, LoadedImage] | None = None,
        edit: Edit | None = None,
        fixed: Collection[str] = (),
    ) -> None:
        """conversation, images: a saved one to go on with; what was chosen in it holds, but for the settings `fixed`.

        An image of it that is not in `images` is dropped, which is said. edit: None where there is no editor.
        Raises UsageError, PromptError or EngineError for settings that make no sense, and ConfigError for a server that
        is not to be asked: before an image is taken that it would get.
        """
        check_settings(settings)
        self.emit = emit
        self.conversation = conversation or Conversation()
        self._given, self._fixed = settings, frozenset(fixed)
        self.settings = self._chosen(self.conversation)
        check_server(self.settings)
        self._noted = ""
        self._preparing = False
        self.engines = Engines(load)
        self.store = store
        self.edit = edit
        self.detail: Detail = "full"
        self.leaving = False
        self._loaded = dict(images or {})
        self._mended: list[SavedEvent] = []
        self._mend()

    def load(self) -> None:
        """Begin to load the model in the background."""
        self.engines.want(self.settings)
        if not self._preparing:
            # What asks is slow to import, and is not needed to type.
            self._preparing = True
            in_background(lambda: importlib.import_module("cot.chat.asking"))

    def say(self, text: str, tone: Literal["info", "warning", "error"] = "info") -> None:
        """Tell the user something."""
        self.emit(Said(text, tone))

    async def attach(self, sources: Sequence[str]) -> list[int]:
        """Open images and put them to the conversation; their numbers, from 1.

        Raises ImageError, and then none of them is attached.
        """
        opened = [await finished(in_background(lambda s=source: self._open(s))) for source in sources]  # type: ignore[misc]
        return [self.add_image(image) for image in opened]

    async def ask(self, text: str, *, again: bool = False, attached: Sequence[str] = ()) -> None:
        """Ask a question over the images; again: in place of the last turn, whose answer stays if there comes none.

        attached: SHA-256 of the images that came with it.
        Raises UsageError if it cannot be asked, and then the last turn stays.
        """
        from cot.chat.asking import ask, begun

        self._check_askable(text)
        if again:
            self.say(f"asking: {text}")
        self._tell_numbers_of_no_image(text)
        replaced = self.conversation.turns[-1:] if again else []
        images, before = self.images, tuple(self.conversation.turns[: -1 if replaced else None])
        if self.engines.state == "loading":
            self.say(f"the model {self.settings.model} is still being loaded; Ctrl-C gives up")
        attached = (*(sha256 for old in replaced for sha256 in old.attached), *attached)
        turn = begun(text, images, attached, self.settings)
        # In one write: a process that is killed must not lose the old turn before there is a new one.
        self.keep(*(Undone() for _ in replaced), Asked(turn=turn, again=bool(replaced)))

        def on_step(step: Step) -> None:
            self._keep_if_there_is_room(Stepped(step=step))
            self.emit(StepDone(step))

        turn = await ask(turn, before, images, self.settings, self.engines, self._tell_note, on_step)
        # A good answer is not lost to an attempt that came to no end; that the model does not know is an end.
        stays = [old for old in replaced if old.answered and turn.stop_reason != "answered"]
        came = [image for old in stays for image in self.conversation.came_with_attempt(old)]
        back = [event for old in stays for event in put_back(old, came)]
        self._keep_if_there_is_room(Ended(turn=turn), *back)
        self.emit(TurnDone(turn))
        if stays:
            self.say("the answer before stays")
        self.tell_dropped(came)

    def change(self, name: str, text: str) -> None:
        """Change a setting.

        Raises CotError for a value that makes no sense, TraceError if it cannot be saved: it stays.
        """
        settings = changed(self.settings, name, text)
        self.keep(Chosen(name=name, value=str(getattr(settings, name))))
        self.settings = settings
        self._renewed()

    def _chosen(self, conversation: Conversation) -> Settings:
        settings = self._given
        for name, text in conversation.chosen.items():
            try:
                settings = settings if name in self._fixed else changed(settings, name, text)
            except CotError as error:
                # A template may be gone by now, or a setting renamed; what was said is there all the same.
                self.say(f"{name} is not set as it was in this conversation: {error}", "warning")
        return settings

    def _mend(self) -> None:
        """Go on with the answer that a killed process was about to replace, and without the images of a saved
        conversation that could not be opened: who only looks into it finds it as it was."""
        self._mended.clear()
        if old := self.conversation.staying:
            self.say("a new attempt at the last message was cut short; the answer before stays", "warning")
            came = self.conversation.came_with_attempt(old)
            self.tell_dropped(came)
            self._keep_later(*put_back(old, came))
        lost = {image.sha256 for image in self.conversation.images} - self._loaded.keys()
        for number, image in self.conversation.numbered(lost):
            why = f"its copy in {self.store.folder / IMAGES_FOLDER} is missing or damaged"
            self.say(f"[{number}] {image.source} is dropped: {why}; name it again to attach it", "warning")
            self._keep_later(Dropped(number=number))

    def _keep_later(self, *events: SavedEvent) -> None:
        """Let happen what is saved with the next thing that happens."""
        self._mended += events
        for event in events:
            self.conversation.apply(event)

    def tell_dropped(self, came: Sequence[tuple[int, TracedImage]]) -> None:
        """Say which images went with the message that they came with. came: as `Conversation.numbered` has them."""
        for number, image in reversed(came):
            self.say(f"[{number}] {image.source}, which came with it, is dropped; name it again to attach it")

    def _renewed(self) -> None:
        """Settings changed: begin to load what they name, if that was begun before."""
        self._noted = ""
        self._preparing = False
        if self.engines.state != "not loaded":
            self.load()

    def go_on_with(self, store: Store, conversation: Conversation, images: dict[str, LoadedImage]) -> None:
        """Leave this conversation, of which all is saved, for another one. Raises ConfigError as the constructor."""
        check_server(self._chosen(conversation))
        self.store.close()
        self.store, self.conversation, self._loaded = store, conversation, dict(images)
        self._mend()
        self.settings = self._chosen(conversation)
        self._renewed()
        self.emit(WentOn(conversation, store.name))

    def keep(self, *events: SavedEvent) -> None:
        """Save what happens, then let it happen. Raises TraceError if it cannot be saved, and then it does not."""
        self.store.append(*self._mended, *events)
        self._mended.clear()
        for event in events:
            self.conversation.apply(event)

    def _keep_if_there_is_room(self, *events: SavedEvent) -> None:
        """Let happen what is no longer up to us; what cannot be saved is told once, and saved with what comes next."""
        for event in events:
            self.conversation.apply(event)
        told = bool(self.store.owed)
        self.store.owed.extend((*self._mended, *events))
        self._mended.clear()
        self.settle(quietly=told)

    def settle(self, *, quietly: bool = False) -> None:
        """Save what could not be saved when it happened; if it still cannot be, that is said."""
        try:
            self.store.append()
        except TraceError as error:
            if not quietly:
                self.say(str(error), "error")

    @property
    def images(self) -> list[LoadedImage]:
        """All images of the conversation, opened."""
        return [self._loaded[image.sha256] for image in self.conversation.images]

    @property
    def opened(self) -> dict[str, LoadedImage]:
        """All images that were ever in the conversation and are open, by SHA-256."""
        return dict(self._loaded)

    @property
    def last(self) -> Turn:
        """The last turn. Raises UsageError if there is none."""
        if not self.conversation.turns:
            raise UsageError("nothing was asked yet; type a question first")
        return self.conversation.turns[-1]

    def close(self) -> None:
        """Free the model and close the file."""
        self.engines.close()
        self.settle(quietly=True)
        self.store.close()

    def _check_askable(self, text: str) -> None:
        check_text(text)
        if not self.conversation.images:
            raise UsageError("there is no image to ask about; attach one with /image PATH, or drop it here")

    def _tell_numbers_of_no_image(self, text: str) -> None:
        named = dict.fromkeys(IMAGE_NUMBER.findall(text))
        missing = [f"[{number}]" for number in named if not 1 <= int(number) <= len(self.conversation.images)]
        if missing:
            self.say(f"there is no image {', '.join(missing)}; /images lists those that are attached", "warning")

    async def paste(self) -> list[int]:
        """Put what is on the clipboard to the conversation. Raises ImageError if that is no image."""
        from cot.chat.clipboard import read_clipboard

        most = self.settings.max_image_pixels
        found = await finished(in_background(lambda: read_clipboard(max_pixels=most)))
        return await self.attach(found) if isinstance(found, list) else [self.add_image(found)]

    def add_image(self, image: LoadedImage) -> int:
        """Put an image that is open to the conversation; its number, from 1."""
        known = [one.sha256 for one in self.conversation.images]
        if image.sha256 in known:
            number = known.index(image.sha256) + 1
            self.say(f"[{number}] {image.source} is attached already")
            return number
        self.store.add_image(image)
        self._loaded[image.sha256] = image
        self.keep(Attached(image=described(image)))
        number = len(known) + 1
        notes = "".join(f"; {note}" for note in image.notes)
        self.say(f"[{number}] {image.source}  {image.width} x {image.height}{notes}")
        self.emit(ImageAttached(image))
        return number

    def _tell_note(self, info: EngineInfo) -> None:
        """Say what the user should know about how the model was loaded, once for each."""
        if info.note and info.note != self._noted:
            self.say(f"note: {info.note}", "warning")
        self._noted = info.note

    def _open(self, source: str) -> LoadedImage:
        if source == "-":
            raise UsageError("got '-' as an image; expected a path or an address: stdin holds the messages of a chat")
        if not source:
            # As a path it would be the folder stood in.
            raise UsageError("got '' as an image; expected a path or an address")
        return load_image(source if "://" in source else Path(source), self.settings.image_limits)
