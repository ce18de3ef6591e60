"""The commands that change how questions are asked: model, strategy, template, system message, settings, steps."""

from collections.abc import Iterator
from typing import Final, cast, get_args

from cot.chat.checked import changed
from cot.chat.engines import OF_THE_MODEL
from cot.chat.event import Detail
from cot.chat.mention import unquoted
from cot.chat.session import Session
from cot.config import check_name
from cot.errors import CotError, EngineError, UsageError
from cot.planner.names import check_strategy, strategy_names
from cot.settings import NAMES

SOON_SECONDS: Final = 3.0
"""How long a model's loading is waited for: most names that are none are known by then, a large model is not there."""


async def model(session: Session, argument: str) -> None:
    """Obey `/model [NAME]`."""
    named = unquoted(argument)
    if not named:
        session.say(f"model: {session.settings.model}; name another one with /model NAME")
        return
    loading = await _load_with(session, "model", named)
    session.say(f"model: {session.settings.model}{loading}")


async def strategy(session: Session, argument: str) -> None:
    """Obey `/strategy [NAME]`."""
    if not argument:
        session.say(f"strategy: {session.settings.strategy}; known: {', '.join(strategy_names())}")
        return
    check_strategy(argument)
    session.change("strategy", argument)
    session.say(f"strategy: {argument}")


async def template(session: Session, argument: str) -> None:
    """Obey `/template [STEP [NAME]]`."""
    from cot.planner.wording import check_template, read_templates, show_templates

    chosen = read_templates(session.settings.templates)
    step, _, name = argument.partition(" ")
    if not step:
        for line in _templates(session.settings.language, chosen):
            session.say(line)
        return
    if "=" in argument or "," in argument or len(argument.split()) > 2:
        raise UsageError(f"got {argument!r}; expected: /template [STEP [NAME]]")
    name = name.strip()
    check_template(step, name or step, language=session.settings.language)
    chosen.pop(step, None)
    if name:
        chosen[step] = name
    session.change("templates", show_templates(chosen))
    session.say(f"template: {step} is asked with {name or 'its own'}")


async def system(session: Session, argument: str) -> None:
    """Obey `/system [TEXT|off]`."""
    if argument:
        session.change("system", "" if argument == "off" else argument)
    session.say(f"system message: {session.settings.system or 'none'}")


async def setting(session: Session, argument: str) -> None:
    """Obey `/set [KEY [VALUE]]`."""
    if not argument:
        for name in NAMES:
            session.say(f"{name} = {getattr(session.settings, name)}")
        return
    name, text = (*argument.split(maxsplit=1), "")[:2]
    check_name(name)
    if name in _OWN_COMMANDS and text:
        await _OWN_COMMANDS[name](session, text)
        return
    loading = ""
    if name in OF_THE_MODEL and text:
        loading = await _load_with(session, name, text)
    elif text:
        session.change(name, text)
    session.say(f"{name} = {getattr(session.settings, name)}{loading}")


async def steps(session: Session, argument: str) -> None:
    """Obey `/steps [full|brief|off]`."""
    if not argument:
        session.say(f"steps: {session.detail}; known: {', '.join(get_args(Detail))}")
        return
    if argument not in get_args(Detail):
        raise UsageError(f"got {argument!r}; expected /steps full, brief or off")
    session.detail = cast("Detail", argument)
    session.say(f"steps: {argument}")


_OWN_COMMANDS: Final = {"model": model, "system": system}
"""Settings that have a command, which does more than to set them."""


async def _load_with(session: Session, name: str, text: str) -> str:
    """Change a setting of the model; one with which it fails to load at once is not chosen, unless it failed before,
    since two settings may be wrong. What to say of loading."""
    before, broken = getattr(session.settings, name), session.engines.state == "failed"
    wanted = changed(session.settings, name, text)
    if session.engines.state == "loading" and wanted != session.settings:
        session.say(f"the model {session.settings.model} is still being loaded; this waits for that to end")
    loading = False
    try:
        try:
            loading = await session.engines.tried(wanted, SOON_SECONDS)
        except CotError as error:
            if not broken:
                raise EngineError(f"{error}; {name} stays {before}, and the model is loaded as before") from error
            session.say(str(error), "warning")
        session.change(name, text)
    finally:
        # What the settings name: after a failure, or Ctrl-C, that is the one before.
        session.load()
    return ", being loaded" if loading else ""


def _templates(language: str, chosen: dict[str, str]) -> Iterator[str]:
    from cot.prompt.source import list_located, locate, search_path

    folders = search_path()
    for name in dict.fromkeys(found.name for found in list_located(folders)):
        found = locate(chosen.get(name, name), language=language, folders=folders)
        instead = f" -> {found.name}" if found.name != name else ""
        yield f"{name}{instead}  {found.folder.origin}, {found.language}"
