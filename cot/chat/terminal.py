"""A chat at a terminal: what is typed goes to the session, and what the session tells is printed above the prompt.

In: keys. Out: lines. More can be typed while a line is being answered; it waits for its turn. Ctrl-C stops an answer; a
second one within two seconds, or one at an empty prompt, leaves, and so does Ctrl-D.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console

from cot.chat.answering import Answering
from cot.chat.completion import LineCompleter, complete
from cot.chat.editor import edit
from cot.chat.event import ChatEvent, TurnDone
from cot.chat.line_editor import line_editor
from cot.chat.preview import Way
from cot.chat.saved import saved_names
from cot.chat.screen import Screen
from cot.chat.session import Session
from cot.chat.status import toolbar
from cot.chat.take import take

SECOND_STOP_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1


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
        console = Console(markup=False, highlight=False, emoji=False, color_system=None if words_only else "auto")
        self._words_only = words_only or console.is_dumb_terminal
        self._screen = Screen(console, preview=preview, words_only=self._words_only)
        self._models = models
        self._history_file = history_file
        self._stopped_at = float("-inf")
        self._session: Session | None = None
        self._prompt: PromptSession[str] | None = None
        self._answering: Answering | None = None

    def show(self, event: ChatEvent) -> None:
        """Take an event of the session."""
        if isinstance(event, TurnDone) and event.turn.stop_reason == "cancelled":
            self._stopped_at = time.monotonic()
        self._screen.show(event, self._session.detail if self._session else "full")

    def edit(self, text: str) -> str | None:
        """Let the user change a text in an editor of his own, in place of the prompt. Raises UsageError."""
        if self._prompt is None or self._answering is None:
            return edit(text)
        loop = self._prompt.app.loop

        async def in_place() -> str | None:
            return await run_in_terminal(lambda: edit(text))

        if loop is None or loop.is_closed():
            return None
        edited = asyncio.run_coroutine_threadsafe(in_place(), loop)
        # Who leaves before the editor is there gets none.
        while not edited.done() and not loop.is_closed():
            concurrent.futures.wait([edited], timeout=_POLL_SECONDS)
        return edited.result() if edited.done() and not edited.cancelled() else None

    def run(self, session: Session, *, resumed: bool) -> None:
        """Talk until the user leaves."""
        self._session = session
        if resumed:
            self._screen.conversation(session.conversation, session.store.name)
        self._screen.say("Ask about the images; /help lists the commands.")
        self._prompt = line_editor(
            self._history_file,
            LineCompleter(
                lambda: len(session.conversation.images), self._models, lambda: saved_names(session.store.chats)
            ),
            self._keys(),
            line_below=lambda columns: toolbar(session, columns, self._answering),
            words_only=self._words_only,
        )
        # Importing torch holds the interpreter for long; what is on the screen by then can be typed into.
        self._prompt.app.after_render += lambda _: session.load() if session.engines.state == "not loaded" else None
        if self._words_only:
            self._run_in_turns(session, self._prompt)
        else:
            self._run_typing_ahead(session, self._prompt)
        self._farewell(session)

    def _run_in_turns(self, session: Session, prompt: PromptSession[str]) -> None:
        """No prompt while an answer is printed: it would be drawn again behind each line."""
        while not session.leaving:
            try:
                with patch_stdout(raw=True):
                    line = prompt.prompt()
            except (EOFError, KeyboardInterrupt):
                return
            try:
                asyncio.run(take(session, line))
            except KeyboardInterrupt:
                # The first stop cancels the answer; this is the second, while the first was being obeyed.
                return

    def _run_typing_ahead(self, session: Session, prompt: PromptSession[str]) -> None:
        """One prompt for the whole chat, below what is printed; lines are taken in another thread."""

        def ended() -> None:
            # The prompt may be gone already.
            with contextlib.suppress(RuntimeError):
                if prompt.app.loop:
                    prompt.app.loop.call_soon_threadsafe(self._leave_prompt)

        with patch_stdout(raw=True):
            self._answering = Answering(session, begun=self._screen.typed, ended=ended)
            try:
                prompt.prompt()
            except (EOFError, KeyboardInterrupt):
                pass
            finally:
                self._answering.close()

    def _leave_prompt(self) -> None:
        if self._prompt and self._prompt.app.is_running and not self._prompt.app.is_done:
            self._prompt.app.exit(exception=EOFError())

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if self._answering is None:
                buffer.validate_and_handle()
            elif buffer.text.strip():
                self._answering.add(buffer.text)
                buffer.reset(append_to_history=True)

        @keys.add("tab", filter=~is_searching & Condition(lambda: not self._words_only))
        def _(event: KeyPressEvent) -> None:
            complete(event.current_buffer)

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            second, empty = self._stops_again(), not event.current_buffer.text
            if self._answering and self._answering.busy and not second:
                for line in self._answering.stop():
                    self._screen.say(f"not asked: {line}")
            elif second or empty:
                event.app.exit(exception=KeyboardInterrupt)
            else:
                event.current_buffer.reset()

        return keys

    def _stops_again(self) -> bool:
        """Whether this is the second stop in a short time."""
        now, before = time.monotonic(), self._stopped_at
        self._stopped_at = now
        return now - before <= SECOND_STOP_SECONDS

    def _farewell(self, session: Session) -> None:
        session.settle()
        if session.store.owed:
            self._screen.say(f"not all was saved; go on with what was: cot chat --resume {session.store.name}")
        elif session.store.saved:
            self._screen.say(f"saved; go on with: cot chat --resume {session.store.name}")
        else:
            self._screen.say("goodbye; nothing was said, and nothing was saved")
