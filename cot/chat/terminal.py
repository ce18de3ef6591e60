"""A chat at a terminal: line editing with prompt-toolkit, and the session behind it.

In: keys. Out: what the session tells, printed above the prompt. Ctrl-C stops an answer; a second one within two
seconds, or one at an empty prompt, leaves, and so does Ctrl-D.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console

from cot.chat.completion import LineCompleter
from cot.chat.event import ChatEvent, TurnDone
from cot.chat.preview import Way
from cot.chat.screen import Screen
from cot.chat.session import Session
from cot.chat.status import toolbar
from cot.chat.take import take

SECOND_STOP_SECONDS: Final = 2.0
_REFRESH_SECONDS: Final = 0.25


class Terminal:
    """What a person sits at."""

    def __init__(
        self,
        history_file: Path,
        *,
        models: Callable[[], Sequence[str]],
        preview: Way = "none",
        words_only: bool = False,
    ) -> None:
        """history_file: of the lines that were typed; its folder is made if it can be.

        models: names to complete. preview: how images are shown. words_only: nothing is drawn or drawn again, no
        colours and no line below the prompt, for screen readers; dumb terminals have it so anyway.
        """
        self._words_only = words_only
        console = Console(markup=False, highlight=False, emoji=False, color_system=None if words_only else "auto")
        self._screen = Screen(console, preview=preview, words_only=words_only or console.is_dumb_terminal)
        self._models = models
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
                # The first stop cancels the answer; this is the second, while the first was being obeyed.
                break
        self._farewell(session)

    def _prompt(self, session: Session) -> PromptSession[str]:
        prompt: PromptSession[str] = PromptSession(
            "> ",
            history=self._history,
            completer=LineCompleter(lambda: len(session.conversation.images), self._models),
            complete_while_typing=False if self._words_only else Condition(_types_a_command),
            complete_style=CompleteStyle.READLINE_LIKE if self._words_only else CompleteStyle.COLUMN,
            key_bindings=self._keys(),
            multiline=True,
            prompt_continuation="  ",
            bottom_toolbar=None if self._words_only else lambda: toolbar(session, prompt.app.output.get_size().columns),
            refresh_interval=0 if self._words_only else _REFRESH_SECONDS,
            reserve_space_for_menu=0 if self._words_only else 4,
            color_depth=ColorDepth.DEPTH_1_BIT if self._words_only else None,
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
