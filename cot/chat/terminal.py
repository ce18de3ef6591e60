"""A chat at a terminal: line editing with prompt-toolkit, and the session behind it.

In: keys. Out: what the session tells, printed above the prompt. Ctrl-C stops an answer; a second one within two
seconds, or one at an empty prompt, leaves, and so does Ctrl-D.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.utils import get_cwidth
from rich.console import Console

from cot.chat.completion import LineCompleter
from cot.chat.event import ChatEvent, TurnDone
from cot.chat.screen import Screen
from cot.chat.session import Session
from cot.chat.take import take
from cot.trace.plain import plain

SECOND_STOP_SECONDS: Final = 2.0
_REFRESH_SECONDS: Final = 0.25


class Terminal:
    """What a person sits at."""

    def __init__(self, history_file: Path) -> None:
        """history_file: of the lines that were typed; its folder is made if it can be."""
        self._screen = Screen(Console(markup=False, highlight=False, emoji=False))
        self._history = _history(history_file)
        self._stopped_at = float("-inf")
        self.session: Session | None = None

    def show(self, event: ChatEvent) -> None:
        """Take an event of the session."""
        if isinstance(event, TurnDone) and event.turn.stop_reason == "cancelled":
            self._stopped_at = time.monotonic()
        self._screen.show(event, self.session.detail if self.session else "full")

    def run(self, session: Session, *, resumed: bool) -> None:
        """Talk until the user leaves."""
        self.session = session
        if resumed:
            self._screen.conversation(session.conversation, session.store.name)
        self._screen.say("Ask about the images; /help lists the commands.")
        prompt = self._prompt(session)
        while not session.leaving:
            try:
                with patch_stdout(raw=True):
                    line = prompt.prompt()
            except (EOFError, KeyboardInterrupt):
                break
            try:
                asyncio.run(take(session, line))
            except KeyboardInterrupt:
                # The second one, while the first was being obeyed, or one between two answers.
                if self._stop():
                    break
        self._farewell(session)

    def _prompt(self, session: Session) -> PromptSession[str]:
        prompt: PromptSession[str] = PromptSession(
            "> ",
            history=self._history,
            completer=LineCompleter(lambda: len(session.conversation.images)),
            complete_while_typing=Condition(_types_a_command),
            key_bindings=self._keys(),
            multiline=True,
            prompt_continuation="  ",
            bottom_toolbar=lambda: toolbar(session, prompt.app.output.get_size().columns),
            refresh_interval=_REFRESH_SECONDS,
            reserve_space_for_menu=4,
        )
        # Importing torch holds the interpreter for long; what is on the screen by then can be typed into.
        prompt.app.after_render += lambda _: session.load() if session.engines.state == "not loaded" else None
        return prompt

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            empty = not event.current_buffer.text
            if self._stop() or empty:
                event.app.exit(exception=KeyboardInterrupt)
            else:
                event.current_buffer.reset()

        return keys

    def _stop(self) -> bool:
        """Whether this is the second stop in a short time."""
        now, before = time.monotonic(), self._stopped_at
        self._stopped_at = now
        return now - before <= SECOND_STOP_SECONDS

    def _farewell(self, session: Session) -> None:
        if session.store.saved:
            self._screen.say(f"saved; go on with: cot chat --resume {session.store.name}")
        else:
            self._screen.say("goodbye; nothing was said, and nothing was saved")


def toolbar(session: Session, columns: int) -> str:
    """The line below the prompt: model and its state, strategy, images; cut to the width."""
    images = session.conversation.images
    waiting = len(session.conversation.waiting)
    attached = f"{len(images)} image{'' if len(images) == 1 else 's'}" if images else "no image"
    new = f" ({waiting} new)" if waiting and waiting < len(images) else ""
    model = plain(session.settings.model, one_line=True)
    state = session.engines.state
    text = f"{model}{'' if state == 'ready' else f': {state}'} | {session.settings.strategy} | {attached}{new}"
    while get_cwidth(text) > columns - 1:
        text = text[:-1]
    return text


def _types_a_command() -> bool:
    app = get_app_or_none()
    return app is not None and app.current_buffer.text.startswith("/")


def _history(path: Path) -> History:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
        return FileHistory(str(path))
    except OSError:
        return InMemoryHistory()
