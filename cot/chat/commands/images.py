"""The commands about images: attach, paste, list, drop."""

import re

from cot.chat.checked import check_text
from cot.chat.conversation import Dropped
from cot.chat.engines import finished, in_background
from cot.chat.mention import mentioned, named
from cot.chat.session import Session
from cot.errors import UsageError


async def image(session: Session, argument: str) -> None:
    """Obey `/image PATH…`."""
    await session.attach(await finished(in_background(lambda: named(argument))))


async def paste(session: Session, _: str) -> None:
    """Obey `/paste`."""
    await session.paste()


async def images(session: Session, _: str) -> None:
    """Obey `/images`."""
    waiting = {one.sha256 for one in session.conversation.waiting}
    for number, one in enumerate(session.conversation.images, 1):
        asked = "  for the next message" if one.sha256 in waiting else ""
        session.say(f"[{number}] {one.source}  {one.width} x {one.height}{asked}")
    if not session.conversation.images:
        session.say("no image is attached; attach one with /image PATH")


async def drop(session: Session, argument: str) -> None:
    """Obey `/drop N`."""
    attached = session.conversation.images
    number = int(argument.strip("[]")) if re.fullmatch(r"\[?[0-9]{1,9}\]?", argument) else 0
    if not 1 <= number <= len(attached):
        expected = f"a number from 1 to {len(attached)}" if attached else "an attached image; there is none"
        raise UsageError(f"got {argument!r}; expected {expected}; /images lists them")
    source = attached[number - 1].source
    session.keep(Dropped(number=number))
    moved = "; those behind it moved up by one" if number <= len(session.conversation.images) else ""
    session.say(f"dropped {source}{moved}")


async def ask_mentioned(session: Session, line: str, *, again: bool = False) -> None:
    """Attach the images that a message names, and ask its text if it has any. again: as for `Session.ask`, which says
    what is raised, and ImageError."""
    found = await finished(in_background(lambda: mentioned(line)))
    # Before anything is attached: what is refused leaves nothing behind.
    check_text(found.numbered(lambda _: 1))
    before = len(session.conversation.images)
    numbers = await session.attach(found.sources)
    if text := found.numbered(lambda index: numbers[index]):
        attached = [image.sha256 for image in session.conversation.images[before:]]
        await session.ask(text, again=again, attached=attached)
