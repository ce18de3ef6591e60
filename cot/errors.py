"""The error tree. Every message says what was got, what was expected, and what to do next.

The command line prints the message as one line and exits with `exit_code`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

_ERROR_NUMBER: Final = re.compile(r"^\[Errno -?[0-9]+\] ")


class CotError(Exception):
    """Base of all errors that `cot` raises on purpose."""

    exit_code = 1


class UsageError(CotError):
    """The caller asked for something that makes no sense (a bad option, no question)."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting has a wrong name, type or range."""


class TaskError(UsageError):
    """A task file is missing, malformed, or names what there is not."""


class ImageError(CotError):
    """An image cannot be opened, is not an image, or is too large."""


class PromptError(CotError):
    """A template is missing, malformed, or was given wrong inputs."""


class UnknownTemplateError(PromptError):
    """There is no template of the name that was given."""

    exit_code = UsageError.exit_code


class EngineError(CotError):
    """A model cannot be loaded or cannot answer."""


class ModelNameError(EngineError):
    """A model's name is that of none: no folder is there, and it can be neither a hub id nor a server's URL."""

    exit_code = UsageError.exit_code


class DeviceNameError(EngineError):
    """A device's name is that of none."""

    exit_code = UsageError.exit_code


class RequestError(EngineError):
    """A model cannot answer this one request, because of what it asks; others may go well."""


class UnfitReplyError(RequestError):
    """A model replied, and not with what it was held to: an answer that does not parse, not a failure.

    text: what it said. usage: what that cost, by the names of `cot.engine.base.Usage`. cut: whether the text was cut
    short.
    """

    def __init__(
        self, message: str, *, text: str = "", usage: Mapping[str, int] | None = None, cut: bool = False
    ) -> None:
        super().__init__(message)
        self.text = text
        self.usage = dict(usage or {})
        self.cut = cut


class AnswerError(CotError):
    """A model's text is not a value of the wanted type."""


class PlanError(CotError):
    """A plan's text is not a valid plan."""


class ToolError(CotError):
    """A tool was given wrong arguments, failed, or took too long."""


class TraceError(CotError):
    """A trace is missing, unreadable, or of an unknown version."""


class DataError(CotError):
    """Training or evaluation data is missing or malformed."""


class MissingDataError(DataError):
    """The file or folder of a task's data is not where it is expected."""


def reason(error: BaseException, *, most: int = 300) -> str:
    """What a library's exception says, on one line of at most `most` characters; its type if it says nothing.

    The number that the system gives its errors is left out.
    """
    return _ERROR_NUMBER.sub("", " ".join(str(error).split()))[:most] or type(error).__name__


def quoted(text: str, *, most: int = 60) -> str:
    """A text as messages and explanations show it: one short line, whatever it holds."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'route'?`, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
