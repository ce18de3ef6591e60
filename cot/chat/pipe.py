"""A chat without a terminal: one message a line comes in, one line of answer goes out.

In: lines of bytes. Out: for each message one line on stdout, its answer or one JSON object; everything else goes to
stderr. Commands are obeyed and give no line; `/retry` asks a message, so it gives one.
"""

import asyncio
import codecs
import json
import sys
from collections.abc import Iterator
from typing import BinaryIO

from cot.chat.checked import MAX_QUESTION_CHARACTERS
from cot.chat.command import is_command
from cot.chat.event import ChatEvent, Said, TurnDone
from cot.chat.screen import Screen
from cot.chat.session import Session
from cot.chat.take import take
from cot.chat.turn import Turn
from cot.trace.plain import UNKNOWN, plain
from cot.trace.stderr import Stderr


def bounded(lines: BinaryIO) -> Iterator[bytes]:
    """The lines, of which those that no message can be are cut, but left too long for one."""
    # Four bytes are one character at most.
    while line := lines.readline(4 * MAX_QUESTION_CHARACTERS + 5):
        yield line
        while not line.endswith(b"\n") and (line := lines.readline(2**16)):
            pass


class Pipe:
    """What a pipe shows."""

    def __init__(self, *, as_json: bool) -> None:
        self._screen = Screen(Stderr(no_color=True))
        self._as_json = as_json
        self._problem = ""
        self._turn: Turn | None = None
        self.session: Session | None = None

    def show(self, event: ChatEvent) -> None:
        """Take an event of the session."""
        if isinstance(event, Said) and event.tone == "error":
            self._problem = event.text
        if isinstance(event, TurnDone):
            self._turn = event.turn
        self._screen.show(event, self.session.detail if self.session else "full")

    def run(self, session: Session, lines: BinaryIO) -> int:
        """Answer all lines; 1 if one of them has no answer, else 0. Raises KeyboardInterrupt."""
        self.session = session
        code = 0
        for data in bounded(lines):
            # Some programs begin a text with a mark that is no part of it.
            line = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").rstrip("\r\n")
            turn = self._take(session, line)
            if self._problem or (turn and not turn.answered):
                code = 1
            if turn or (self._problem and not is_command(line)):
                self._answer(turn or self._refused(session, line))
            if session.leaving:
                break
        return code

    def _take(self, session: Session, line: str) -> Turn | None:
        """The turn that a line led to, if any; `_problem` says what was wrong. Raises KeyboardInterrupt."""
        self._problem, self._turn = "", None
        if asyncio.run(_interrupted(session, line)):
            raise KeyboardInterrupt
        return self._turn

    def _refused(self, session: Session, line: str) -> Turn:
        """The turn of a message that could not be asked; `_problem` says why."""
        return Turn(
            question=plain(line),
            images=(),
            strategy=session.settings.strategy,
            stop_reason="error",
            notes=(plain(self._problem),),
        )

    def _answer(self, turn: Turn) -> None:
        if self._as_json:
            print(json.dumps(turn.as_json()))
        else:
            said = turn.answer.text if turn.answer else UNKNOWN
            print(plain(said, one_line=True, most=len(said) + 1))
        # Who reads the other end may wait for this answer before he asks the next question.
        sys.stdout.flush()


async def _interrupted(session: Session, line: str) -> bool:
    """Take a line; whether Ctrl-C came meanwhile, which `take` only tells."""
    await take(session, line)
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
