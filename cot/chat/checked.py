"""What a person gives a conversation, checked before it takes it: texts and settings.

In: text as it was typed. Out: settings, or an error. Nothing is kept or asked here.
"""

from typing import Final

from cot.config import with_setting
from cot.errors import UsageError
from cot.model import EMBEDDED, is_server, model_folder
from cot.planner.names import check_strategy
from cot.settings import Settings

MAX_QUESTION_CHARACTERS: Final = 10_000


def changed(settings: Settings, name: str, text: str) -> Settings:
    """Settings with one changed. Raises CotError for a value that makes no sense."""
    settings = with_setting(settings, name, text)
    if name == "model" and settings.model != EMBEDDED and (folder := model_folder(settings.model)):
        # It is kept in a conversation that may be gone on with elsewhere, where it would be a name of the hub's.
        settings = settings.model_copy(update={"model": str(folder.absolute())})
    check_settings(settings)
    if settings.templates:
        from cot.planner.wording import checked_templates

        checked_templates(settings.templates, language=settings.language)
    return settings


def check_settings(settings: Settings) -> None:
    """Raises CotError for settings that make no sense."""
    check_strategy(settings.strategy)
    if is_server(settings.model):
        # Before a conversation keeps it: it may hold a password.
        from cot.engine.remote.address import parse_address

        parse_address(settings.model)


def check_server(settings: Settings) -> None:
    """Raises ConfigError for a server on another machine that a folder's file names, and not the user."""
    if is_server(settings.model):
        from cot.engine.remote.address import check_server as check

        check(settings)


def check_length(text: str) -> None:
    """Raises UsageError for a line that is too long."""
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise UsageError(f"the message has more than {MAX_QUESTION_CHARACTERS:,} characters; shorten it")


def check_text(text: str) -> None:
    """Raises UsageError for a question that is too long or not UTF-8."""
    check_length(text)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"got text that is not UTF-8: {text[:60]!r}; write it in UTF-8")
