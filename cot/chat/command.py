"""The slash commands: what there is, and what each does with a session.

In: a session and a line that begins with `/`. Out: what the session tells. A line that begins with the path of a file
is no command.
"""

import difflib
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

from cot.chat.conversation import Dropped, Undone
from cot.chat.event import Detail, TraceOpened
from cot.chat.mention import expand, unquoted
from cot.chat.session import Session
from cot.chat.store import list_saved
from cot.errors import UsageError
from cot.planner.names import STRATEGY_NAMES, check_strategy
from cot.trace.read import read_trace

_FIRST_WORD: Final = re.compile(r"\s*/((?:\\.|\S)*)")


def is_command(line: str) -> bool:
    """Whether a line is a command: `/name`, with no further slash in the name, and not a file of the root folder."""
    match = _FIRST_WORD.match(line)
    if match is None or "/" in match[1]:
        return False
    return match[1] in COMMANDS or not os.path.isfile(unquoted(f"/{match[1]}"))


async def obey(session: Session, line: str) -> None:
    """Do what the command says. Raises CotError for one that is unknown or has a wrong argument."""
    name, _, argument = line.strip()[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f", did you mean /{near[0]}?" if near else ""
        raise UsageError(f"unknown command '/{name}'{meant}; /help lists them all")
    argument = argument.strip()
    if command.needs_argument and not argument:
        raise UsageError(f"/{name} needs more; expected: {command.usage}")
    await command.do(session, argument)


async def _image(session: Session, argument: str) -> None:
    await session.attach(expand(argument))


async def _images(session: Session, _: str) -> None:
    waiting = {image.sha256 for image in session.conversation.waiting}
    for number, image in enumerate(session.conversation.images, 1):
        asked = "  for the next message" if image.sha256 in waiting else ""
        session.say(f"[{number}] {image.source}  {image.width} x {image.height}{asked}")
    if not session.conversation.images:
        session.say("no image is attached; attach one with /image PATH")


async def _drop(session: Session, argument: str) -> None:
    images = session.conversation.images
    number = argument.strip("[]")
    if not number.isdecimal() or not 1 <= int(number) <= len(images):
        expected = f"a number from 1 to {len(images)}" if images else "an attached image; there is none"
        raise UsageError(f"got {argument!r}; expected {expected}; /images lists them")
    source = images[int(number) - 1].source
    session.keep(Dropped(number=int(number)))
    moved = "; those behind it moved up by one" if int(number) <= len(images) else ""
    session.say(f"dropped {source}{moved}")


async def _steps(session: Session, argument: str) -> None:
    if argument not in get_args(Detail):
        raise UsageError(f"got {argument!r}; expected /steps full, brief or off")
    session.detail = cast("Detail", argument)
    session.say(f"steps: {argument}")


async def _model(session: Session, argument: str) -> None:
    session.change("model", unquoted(argument))
    session.say(f"model: {session.settings.model}")


async def _template(session: Session, argument: str) -> None:
    from cot.planner.wording import read_templates, show_templates
    from cot.prompt import load_template

    chosen = read_templates(session.settings.templates)
    step, _, name = argument.partition(" ")
    if not step:
        for line in _templates(session.settings.language, chosen):
            session.say(line)
        return
    if "=" in argument or "," in argument or len(argument.split()) > 2:
        raise UsageError(f"got {argument!r}; expected: {COMMANDS['template'].usage}")
    load_template(step, language=session.settings.language)
    chosen.pop(step, None)
    if name.strip():
        chosen[step] = name.strip()
    session.change("templates", show_templates(chosen))
    session.say(f"template: {step} is asked with {name.strip() or 'its own'}")


def _templates(language: str, chosen: dict[str, str]) -> Iterator[str]:
    from cot.prompt.source import list_located, locate, search_path

    folders = search_path()
    for name in dict.fromkeys(found.name for found in list_located(folders)):
        found = locate(chosen.get(name, name), language=language, folders=folders)
        instead = f" -> {found.name}" if found.name != name else ""
        yield f"{name}{instead}  {found.folder.origin}, {found.language}"


async def _system(session: Session, argument: str) -> None:
    if argument:
        session.change("system", "" if argument == "off" else argument)
    session.say(f"system message: {session.settings.system or 'none'}")


async def _paste(session: Session, _: str) -> None:
    await session.paste()


async def _strategy(session: Session, argument: str) -> None:
    check_strategy(argument)
    session.change("strategy", argument)
    session.say(f"strategy: {argument}")


async def _set(session: Session, argument: str) -> None:
    name, _, text = argument.partition(" ")
    if not text.strip():
        raise UsageError(f"got /set {name} without a value; expected: {COMMANDS['set'].usage}")
    session.change(name, text.strip())
    session.say(f"{name} = {getattr(session.settings, name)}")


async def _retry(session: Session, _: str) -> None:
    await session.ask_again(session.last.question)


async def _undo(session: Session, _: str) -> None:
    question = session.last.question
    session.keep(Undone())
    session.say(f"took back: {question}")


async def _edit(session: Session, _: str) -> None:
    if session.edit is None:
        raise UsageError("/edit opens an editor, which needs a terminal; send the new message instead")
    turns = session.conversation.turns
    text = session.edit(turns[-1].question if turns else "")
    if text is None or not text.strip():
        session.say("nothing was changed: the text is empty or was not saved")
        return
    await session.ask_again(text.strip())


async def _trace(session: Session, _: str) -> None:
    turn = session.last
    if turn.trace is None:
        raise UsageError("the last message has no trace: it ended before the model was asked; see /retry")
    session.emit(TraceOpened(read_trace(Path(turn.trace))))


async def _stats(session: Session, _: str) -> None:
    turns = session.conversation.turns
    total = {name: sum(turn.usage.get(name, 0) for turn in turns) for name in _COUNTED}
    seconds = sum(turn.seconds for turn in turns)
    longest = max((turn.longest_tokens for turn in turns), default=0)
    context = max((turn.context_tokens for turn in turns), default=0)
    speed = f"{total['completion_tokens'] / seconds:.0f} tokens/s" if seconds else "no tokens yet"
    answered = sum(turn.answered for turn in turns)
    session.say(f"{len(turns)} messages, {answered} answered, {total['calls']} calls to the model, {seconds:.2f} s")
    session.say(
        f"{total['prompt_tokens']:,} prompt tokens ({total['cached_tokens']:,} cached, "
        f"{total['image_tokens']:,} of images), {total['completion_tokens']:,} generated, {speed}"
    )
    session.say(f"longest prompt with its answer: {longest:,} of {f'{context:,}' if context else 'unknown'} tokens")


async def _export(session: Session, argument: str) -> None:
    from cot.chat.export import export

    path = Path(unquoted(argument)).expanduser()
    export(session.conversation, path, name=session.store.name, images=session.opened)
    session.say(f"wrote {path}")


async def _save(session: Session, argument: str) -> None:
    session.store.rename(argument)
    session.say(f"saved as {argument}; go on another time with: cot chat --resume {argument}")


async def _sessions(session: Session, _: str) -> None:
    found = list_saved(session.store.chats)
    for one in found:
        here = "  (this one)" if one.name == session.store.name else ""
        what = f"unreadable: {one.unreadable}" if one.unreadable else f"{one.turns} messages  {one.first}"
        session.say(f"{one.name}  {one.changed:%Y-%m-%d %H:%M}  {what}{here}")
    if not found:
        session.say("no conversation was saved yet")


async def _help(session: Session, _: str) -> None:
    for command in COMMANDS.values():
        session.say(f"{command.usage}: {command.help}")
    session.say("A path, pattern or address of an image within a message attaches it.")
    session.say("Alt-Enter starts a new line; Ctrl-C stops an answer, and leaves at an empty prompt; Ctrl-D leaves.")


async def _quit(session: Session, _: str) -> None:
    session.leaving = True


_COUNTED: Final = ("calls", "prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens")


@dataclass(frozen=True)
class Command:
    """A command. usage: as it is typed; what is in capitals is up to the user."""

    usage: str
    help: str
    do: Callable[[Session, str], Awaitable[None]]

    @property
    def needs_argument(self) -> bool:
        """Whether it says nothing by itself."""
        return " " in self.usage and "[" not in self.usage


COMMANDS: Final = {
    "image": Command("/image PATH", "attach an image: a path, a pattern such as *.png, or an address", _image),
    "paste": Command("/paste", "attach the image on the clipboard", _paste),
    "images": Command("/images", "list the attached images", _images),
    "drop": Command("/drop N", "take an image away", _drop),
    "model": Command("/model NAME", "answer with another model", _model),
    "strategy": Command("/strategy NAME", f"reason in another way: {', '.join(STRATEGY_NAMES)}", _strategy),
    "template": Command("/template [STEP [NAME]]", "list the templates, or ask a step with another one", _template),
    "system": Command("/system [TEXT|off]", "put a system message before every prompt", _system),
    "set": Command("/set KEY VALUE", "change a setting, as cot config names it", _set),
    "steps": Command("/steps full|brief|off", "show all steps, only what was found, or none", _steps),
    "retry": Command("/retry", "ask the last message again", _retry),
    "undo": Command("/undo", "take back the last message and its answer", _undo),
    "edit": Command("/edit", "change the last message in $EDITOR and ask it again", _edit),
    "trace": Command("/trace", "show how the last answer came about, with prompts", _trace),
    "stats": Command("/stats", "show what the conversation has cost", _stats),
    "export": Command("/export FILE", "write the conversation to FILE.md, FILE.json or FILE.html", _export),
    "save": Command("/save NAME", "give the conversation a name", _save),
    "sessions": Command("/sessions", "list the saved conversations", _sessions),
    "help": Command("/help", "list the commands", _help),
    "quit": Command("/quit", "leave", _quit),
}
"""By name, in the order of `/help`."""
