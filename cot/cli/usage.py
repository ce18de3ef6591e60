"""A wrong command line, told on one line: what was got, what was expected, where to look.

In: what typer raised, and the command line. Out: a message. It prints nothing.
"""

from collections.abc import Sequence
from typing import Any

import typer

from cot.errors import did_you_mean


def usage_problem(error: typer.TyperException, command: Any, arguments: Sequence[str]) -> str:
    """What is wrong with a command line; empty where help was shown instead, since there was none.

    command: typer's, of the whole program. arguments: without the program's name.
    """
    path, command, rest = _reached("cot", command, arguments)
    see = f"see {path} --help"
    message = error.format_message().strip().rstrip(".")
    known = getattr(command, "commands", {})
    if not message:
        return ""
    if isinstance(option := getattr(error, "option_name", None), str) and hasattr(error, "possibilities"):
        options = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
        return f"{path} has no option {option!r}{did_you_mean(option, [*options, '--help'])}; {see}"
    if known and rest and not rest[0].startswith("-"):
        return f"{path} has no command {rest[0]!r}{did_you_mean(rest[0], known)}; known: {', '.join(known)}"
    if isinstance(error, typer.BadParameter) and error.param is not None:
        return f"{_of_parameter(error, error.param)}; {see}"
    usage = getattr(error, "ctx", None) and _usage(error)
    return "; ".join(filter(None, (message[:1].lower() + message[1:], usage, see)))


def _reached(path: str, command: Any, arguments: Sequence[str]) -> tuple[str, Any, Sequence[str]]:
    """The innermost command that a command line names, its path, and the words behind it."""
    for index, word in enumerate(arguments):
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            return path, command, arguments[index:]
        path, command = f"{path} {word}", inner
    return path, command, ()


def _of_parameter(error: typer.BadParameter, param: Any) -> str:
    from pydantic import ValidationError

    name = param.get_error_hint()
    if not error.message:
        return f"the {param.param_type_name} {name} is missing; {_usage(error)}"
    what = error.message.strip().rstrip(".")
    cause = error.__cause__
    got = f"got {cause.errors()[0]['input']!r} for" if isinstance(cause, ValidationError) else "wrong value of"
    return f"{got} {name}: {what[:1].lower() + what[1:]}"


def _usage(error: Any) -> str:
    return "expected: " + " ".join(error.ctx.get_usage().removeprefix("Usage:").split())
