"""Takes a line of a chat: a command, or a message with the images that it names.

In: a session and a line as it was typed. Out: what the session tells. Errors that were expected are told, not raised.
"""

import asyncio

from cot.chat.checked import check_length
from cot.chat.command import is_command, obey
from cot.chat.commands.images import ask_mentioned
from cot.chat.session import Session
from cot.errors import CotError


async def take(session: Session, line: str) -> None:
    """Do what a line says. Cancelling the task interrupts the answer and keeps the conversation."""
    try:
        check_length(line)
        if is_command(line):
            await obey(session, line)
        elif line.strip():
            await ask_mentioned(session, line)
    except CotError as error:
        session.say(str(error), "error")
    except asyncio.CancelledError:
        # While an image is opened or a model loaded; an answer that is interrupted ends as a turn.
        session.say("interrupted", "warning")
