"""`cot chat`: a conversation over images, at a terminal or on a pipe.

Exit codes: 0 all was answered, or the user left; 1 on a pipe, a message has no answer; 2 a wrong command line; 130 a
pipe was interrupted.
"""

import asyncio
import functools
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.options import Device, Language, Model, Quantize, Redact, Seed, Strategy, TraceDir, joined
from cot.cli.set_by import set_by_told

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cot.chat.conversation import Conversation
    from cot.chat.preview import Way
    from cot.chat.session import Session
    from cot.chat.store import Store
    from cot.image import LoadedImage
    from cot.settings import Settings


def chat(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE…]", help="Paths, patterns or URLs of images; with --resume first a name."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the conversation of that name, or the last one.")
    ] = False,
    model: Model = None,
    strategy: Strategy = None,
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    seed: Seed = None,
    trace_dir: TraceDir = None,
    redact: Redact = None,
    preview: Annotated[
        str, typer.Option(help="How images are shown: auto, kitty, iterm2, sixel, blocks or none.")
    ] = "auto",
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Show no images.")] = False,
    words_only: Annotated[
        bool, typer.Option("--plain", help="For screen readers: words only, and no line is drawn twice.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="On a pipe: print one JSON object a message.")] = False,
) -> None:
    """Talk about one or more images.

    On a pipe each line is a message, and each answer one line: echo "How many dogs?" | cot chat photo.jpg
    """
    given: dict[str, object] = {"model": model, "strategy": strategy, "language": language, "device": device,
             "quantize": quantize, "seed": seed, "trace_dir": trace_dir, "redact": joined(redact)}  # fmt: skip
    from cot.chat.preview import chosen_way

    way = "none" if no_preview or words_only else chosen_way(preview, os.environ)
    if sys.stdin.isatty() and sys.stdout.isatty() and not as_json:
        _at_terminal(arguments or [], given, resume=resume, preview=way, words_only=words_only)
        return
    raise typer.Exit(_on_pipe(arguments or [], given, resume=resume, as_json=as_json))


def _at_terminal(
    arguments: list[str], given: dict[str, object], *, resume: bool, preview: "Way", words_only: bool
) -> None:
    import platformdirs

    from cot.chat.session import Session
    from cot.chat.terminal import Terminal
    from cot.cli.ask import load_engine

    sources, store, conversation, images = _open(arguments, resume=resume)
    terminal = Terminal(
        platformdirs.user_state_path("cot") / "chat-history",
        models=_known_models,
        preview=preview,
        words_only=words_only,
    )
    settings, fixed = _settings(given)
    with set_by_told(settings, "strategy", "model"):
        session = Session(
            settings,
            load_engine,
            store,
            terminal.show,
            conversation=conversation,
            images=images,
            edit=terminal.edit,
            fixed=fixed,
        )
    try:
        _begin(session, sources)
        terminal.run(session, resumed=resume)
    finally:
        session.close()


def _on_pipe(arguments: list[str], given: dict[str, object], *, resume: bool, as_json: bool) -> int:
    from cot.chat.pipe import Pipe
    from cot.chat.session import Session
    from cot.cli.ask import load_engine

    sources, store, conversation, images = _open(arguments, resume=resume)
    pipe = Pipe(as_json=as_json)
    settings, fixed = _settings(given)
    with set_by_told(settings, "strategy", "model"):
        session = Session(
            settings, load_engine, store, pipe.show, conversation=conversation, images=images, fixed=fixed
        )
    try:
        _begin(session, sources)
        return pipe.run(session, sys.stdin.buffer)
    finally:
        session.close()


def _open(arguments: list[str], *, resume: bool) -> tuple[list[str], "Store", "Conversation", "dict[str, LoadedImage]"]:
    """What to attach, and the conversation to go on with, or a new one."""
    from cot.chat.conversation import Conversation
    from cot.chat.mention import expand
    from cot.chat.saved import open_saved
    from cot.chat.store import Store, chats_folder

    name = arguments[0] if resume and arguments else None
    sources = [source for argument in arguments[name is not None :] for source in expand(argument)]
    if resume:
        return sources, *open_saved(chats_folder(), name)
    return sources, Store(chats_folder()), Conversation(), {}


def _settings(given: dict[str, object]) -> tuple["Settings", list[str]]:
    """Settings, and the names of those that the command line gives."""
    from cot.config import load_settings

    return load_settings(given)[0], [name for name, value in given.items() if value is not None]


def _begin(session: "Session", sources: list[str]) -> None:
    """Say whose templates ask, and attach images. Raises ImageError: who names a wrong one wants to know before."""
    from cot.prompt import own_notes

    for note in own_notes():
        session.say(f"note: {note}", "warning")
    asyncio.run(session.attach(sources))


def _known_models() -> tuple[str, ...]:
    """The embedded model, and those in the local Hugging Face cache that take images, once they are known."""
    from cot.model import EMBEDDED

    outcome = _looked_up_models()
    known = outcome.result() if outcome.done() and outcome.exception() is None else ()
    return (EMBEDDED, *known)


@functools.cache
def _looked_up_models() -> "Future[tuple[str, ...]]":
    from cot.chat.engines import in_background

    def look_up() -> tuple[str, ...]:
        from cot.engine.local.describe import on_this_machine

        return tuple(found.model for found in on_this_machine() if found.vision_language)

    return in_background(look_up)
