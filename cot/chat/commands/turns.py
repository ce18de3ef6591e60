"""The commands about what was asked: again, back, in other words, how it came about, what it cost."""

from pathlib import Path
from typing import Final

from cot.chat.checked import check_length
from cot.chat.commands.images import ask_mentioned
from cot.chat.conversation import Dropped, Undone
from cot.chat.event import TraceOpened
from cot.chat.memory import TAKEN_AWAY, renumbered
from cot.chat.session import Session
from cot.errors import UsageError, quoted
from cot.trace.read import read_trace

_COUNTED: Final = ("calls", "prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens")


async def retry(session: Session, _: str) -> None:
    """Obey `/retry`."""
    text = _asked_last(session)
    _check_whole(text)
    await session.ask(text, again=True)


async def undo(session: Session, _: str) -> None:
    """Obey `/undo`."""
    turn = session.last
    attached = session.conversation.numbered(turn.attached)
    session.keep(Undone(), *(Dropped(number=number) for number, _ in attached))
    session.say(f"took back: {turn.question}")
    session.tell_dropped(attached)


async def edit(session: Session, _: str) -> None:
    """Obey `/edit`."""
    if session.edit is None:
        raise UsageError("/edit opens an editor, which needs a terminal; send the new message instead")
    before = _asked_last(session) if session.conversation.turns else ""
    text = session.edit(before)
    # Who leaves an editor without saving wants to leave things as they are.
    if text is None or text.strip() in ("", before.strip()):
        session.say("nothing was changed: the text is empty, as it was, or was not saved")
        return
    check_length(text)
    _check_whole(text)
    await ask_mentioned(session, text.strip(), again=True)


async def trace(session: Session, _: str) -> None:
    """Obey `/trace`."""
    turn = session.last
    if turn.trace is None:
        raise UsageError("the last message has no trace: it ended before the model was asked; see /retry")
    session.emit(TraceOpened(read_trace(Path(turn.trace))))


async def stats(session: Session, _: str) -> None:
    """Obey `/stats`."""
    turns = session.conversation.turns
    # What was taken back was paid for all the same.
    paid = (*turns, *session.conversation.undone)
    total = {name: sum(turn.usage.get(name, 0) for turn in paid) for name in _COUNTED}
    seconds = sum(turn.seconds for turn in paid)
    longest = max((turn.longest_tokens for turn in turns), default=0)
    context = max((turn.context_tokens for turn in turns), default=0)
    speed = f"{total['completion_tokens'] / seconds:.0f} tokens/s" if seconds else "no tokens yet"
    answered = sum(turn.answered for turn in turns)
    back = f", {len(paid) - len(turns)} taken back" if len(paid) > len(turns) else ""
    messages = f"{len(turns)} message{'s' * (len(turns) != 1)}{back}"
    session.say(f"{messages}, {answered} answered, {total['calls']} calls to the model, {seconds:.2f} s")
    session.say(
        f"{total['prompt_tokens']:,} prompt tokens ({total['cached_tokens']:,} cached, "
        f"{total['image_tokens']:,} of images), {total['completion_tokens']:,} generated, {speed}"
    )
    session.say(f"longest prompt with its answer: {longest:,} of {f'{context:,}' if context else 'unknown'} tokens")


def _check_whole(text: str) -> None:
    """Raises UsageError for a message about an image that is no longer there."""
    if TAKEN_AWAY in text:
        raise UsageError(
            f"the message is about an image that was dropped: {quoted(text)}; attach that again, or change the message "
            "with /edit"
        )


def _asked_last(session: Session) -> str:
    """The last message, in which images have the numbers that they have by now."""
    return renumbered(session.last.question, session.last.images, session.conversation.images)
