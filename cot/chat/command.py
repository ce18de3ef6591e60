"""The slash commands: what there is, and how a line is one of them.

In: a session and a line that begins with `/`. Out: what the session tells. A line that begins with the path of a file
is no command.
"""

import difflib
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cot.chat.commands import choices, images, saved, turns
from cot.chat.mention import unquoted
from cot.chat.session import Session
from cot.errors import UsageError, quoted
from cot.planner.names import STRATEGY_NAMES

_FIRST_WORD: Final = re.compile(r"\s*/((?:\\.|\S)*)")


def is_command(line: str) -> bool:
    """Whether a line is a command: `/name`, with no further slash in the name, and not a file of the root folder."""
    match = _FIRST_WORD.match(line)
    if match is None or "/" in match[1]:
        return False
    return _known(match[1]) is not None or not os.path.isfile(unquoted(f"/{match[1]}"))


async def obey(session: Session, line: str) -> None:
    """Do what the command says. Raises CotError for one that is unknown or has a wrong argument."""
    name, *rest = line.strip()[1:].split(maxsplit=1) or [""]
    command = _known(name)
    if command is None:
        near = _near(name.lower())
        meant = f", did you mean /{' or /'.join(near)}?" if near else ""
        raise UsageError(f"unknown command '/{name}'{meant}; /help lists them all")
    argument = rest[0].strip() if rest else ""
    if command.needs_argument and not argument:
        raise UsageError(f"/{name} needs more; expected: {command.usage}")
    if argument and not command.takes_argument:
        raise UsageError(f"/{name} takes nothing more, got {quoted(argument)}; expected: {command.usage}")
    await command.do(session, argument)


def _known(name: str) -> "Command | None":
    return COMMANDS.get(ALIASES.get(name, name))


def _near(name: str) -> list[str]:
    """The commands that begin so; if there are none, the one that is spelt nearest."""
    names = (*COMMANDS, *ALIASES)
    return [known for known in names if name and known.startswith(name)] or difflib.get_close_matches(name, names, n=1)


async def _help(session: Session, _: str) -> None:
    for command in COMMANDS.values():
        session.say(f"{command.usage}: {command.help}")
    session.say("A path, pattern or address of an image within a message attaches it.")
    session.say("Alt-Enter starts a new line; Ctrl-C stops an answer, and leaves at an empty prompt; Ctrl-D leaves.")


async def _quit(session: Session, _: str) -> None:
    session.leaving = True


@dataclass(frozen=True)
class Command:
    """A command. usage: as it is typed; what is in capitals is up to the user."""

    usage: str
    help: str
    do: Callable[[Session, str], Awaitable[None]]

    @property
    def takes_argument(self) -> bool:
        """Whether anything may stand behind it."""
        return " " in self.usage

    @property
    def needs_argument(self) -> bool:
        """Whether it says nothing by itself."""
        return self.takes_argument and "[" not in self.usage


COMMANDS: Final = {
    "image": Command("/image PATH", "attach images: paths, a pattern such as *.png, or an address", images.image),
    "paste": Command("/paste", "attach the image on the clipboard", images.paste),
    "images": Command("/images", "list the attached images", images.images),
    "drop": Command("/drop N", "take an image away", images.drop),
    "model": Command("/model [NAME]", "answer with another model", choices.model),
    "strategy": Command("/strategy [NAME]", f"reason in another way: {', '.join(STRATEGY_NAMES)}", choices.strategy),
    "template": Command(
        "/template [STEP [NAME]]", "list the templates, or ask a step with another one", choices.template
    ),
    "system": Command("/system [TEXT|off]", "put a system message before every prompt", choices.system),
    "set": Command("/set [KEY [VALUE]]", "show the settings, or change one, as cot config names it", choices.setting),
    "steps": Command("/steps [full|brief|off]", "show all steps, only what was found, or none", choices.steps),
    "retry": Command("/retry", "ask the last message again", turns.retry),
    "undo": Command("/undo", "take back the last message, its answer and the images that it named", turns.undo),
    "edit": Command("/edit", "change the last message in $EDITOR and ask it again", turns.edit),
    "trace": Command("/trace", "show how the last answer came about, with prompts", turns.trace),
    "stats": Command("/stats", "show what the conversation has cost", turns.stats),
    "export": Command("/export FILE", "write the conversation to FILE.md, FILE.json or FILE.html", saved.export),
    "save": Command("/save NAME", "give the conversation a name", saved.save),
    "load": Command("/load NAME", "go on with another saved conversation", saved.load),
    "sessions": Command("/sessions", "list the saved conversations", saved.sessions),
    "help": Command("/help", "list the commands", _help),
    "quit": Command("/quit", "leave", _quit),
}
"""By name, in the order of `/help`."""

ALIASES: Final = {"ask-mode": "strategy", "exit": "quit", "bye": "quit"}
"""Names that other tools have for the same."""
