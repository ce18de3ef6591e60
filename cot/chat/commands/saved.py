"""The commands about conversations as files: name, go on with another one, list, write for others."""

from pathlib import Path

from cot.chat.engines import finished, in_background
from cot.chat.mention import unquoted, with_home
from cot.chat.saved import kept_images, list_saved, open_saved
from cot.chat.session import Session
from cot.errors import UsageError


async def save(session: Session, argument: str) -> None:
    """Obey `/save NAME`."""
    session.store.rename(argument)
    session.say(f"saved as {argument}; go on another time with: cot chat --resume {argument}")


async def load(session: Session, argument: str) -> None:
    """Obey `/load NAME`."""
    if argument == session.store.name:
        raise UsageError(f"{argument!r} is this conversation; /sessions lists all")
    # What could not be saved yet would be lost with this conversation.
    session.store.append()
    session.go_on_with(*open_saved(session.store.chats, argument))


async def sessions(session: Session, _: str) -> None:
    """Obey `/sessions`."""
    found = list_saved(session.store.chats)
    for one in found:
        here = "  (this one)" if one.name == session.store.name else ""
        what = (
            f"unreadable: {one.unreadable}"
            if one.unreadable
            else f"{one.turns} message{'s' * (one.turns != 1)}  {one.first}"
        )
        session.say(f"{one.name}  {one.changed:%Y-%m-%d %H:%M}  {what}{here}")
    if not found:
        session.say("no conversation was saved yet")


async def export(session: Session, argument: str) -> None:
    """Obey `/export FILE`."""
    from cot.chat.export import export as write

    path = Path(with_home(unquoted(argument)))
    wanted = session.conversation.every_image if path.suffix.lower() == ".html" else {}
    images = session.opened
    # Those that were dropped before the conversation was gone on with.
    closed = [image for sha256, image in wanted.items() if sha256 not in images]
    images |= await finished(in_background(lambda: kept_images(session.store.folder, closed)))
    write(session.conversation, path, name=session.store.name, images=images)
    lost = len(wanted.keys() - images.keys())
    session.say(f"wrote {path}" + (f"; images left out, their copies are missing or damaged: {lost}" if lost else ""))
