"""Users' own tools: functions that installed packages offer under the entry point group `cot.tools`.

In: a function with annotated arguments. Out: a `Tool`, and its use with checked arguments, a time
limit and a typed result. A package offers one so:

    [project.entry-points."cot.tools"]
    tide_height = "my_package.tides:height"

Loading runs that package's code, so nothing is loaded before `load_tools` is called.
"""

import asyncio
import contextlib
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from cot.errors import ToolError, reason
from cot.step import ToolUse, Value

GROUP: Final = "cot.tools"
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
MAX_RESULT_CHARACTERS: Final = 10_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN: Final = ("calculate", "zoom")


@dataclass(frozen=True)
class Tool:
    """A function that a step may call.

    arguments: pydantic model of its arguments, which gives their JSON schema. description: its docstring's first line.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[..., Value]


def as_tool(name: str, function: Callable[..., Value]) -> Tool:
    """Make a tool of a function whose arguments are all annotated and can be given by name.

    Raises ToolError if the name is taken or not made of a to z, 0 to 9 and _, or an argument does not fit.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ToolError(
            f"got the tool name {name!r}; expected at most 40 of a to z, 0 to 9 and _, and none of {', '.join(_TAKEN)}"
        )
    try:
        parameters, hints = inspect.signature(function).parameters, get_type_hints(function)
    except (TypeError, ValueError, NameError) as error:
        raise ToolError(f"tool {name}: got {function!r}; expected a function with annotated arguments") from error
    fields: dict[str, Any] = {}
    for parameter in parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if not named or parameter.name not in hints:
            raise ToolError(f"tool {name}: got the argument {parameter}; expected a name and a type: `size: int`")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as error:  # pydantic refuses types and names in many ways
        raise ToolError(f"tool {name}: its arguments cannot be checked: {reason(error)}; use plain types") from error
    return Tool(name, (inspect.getdoc(function) or "").partition("\n")[0], model, function)


def load_tools() -> dict[str, Tool]:
    """All installed tools by name. Raises ToolError if one cannot be loaded, or two have one name."""
    found: dict[str, Tool] = {}
    for point in entry_points(group=GROUP):
        if point.name in found:
            raise ToolError(f"two packages offer the tool {point.name!r}; remove one of them")
        try:
            function = point.load()
        except Exception as error:  # a package can fail in any way
            raise ToolError(
                f"tool {point.name} cannot be loaded from {point.value}: {reason(error)}; update or remove its package"
            ) from error
        found[point.name] = as_tool(point.name, function)
    return found


async def use_tool(
    tool: Tool, arguments: Mapping[str, Value], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> ToolUse:
    """Call a tool in a thread, and take down what it gave.

    timeout_seconds: how long it is waited for. That is no hard limit: Python cannot stop a thread, so a
    tool that hangs goes on in the background until the program ends, which it does not hold up.
    Raises ToolError for arguments that do not fit, a tool that fails or takes too long, and a result
    that is no plain value or too long.
    """
    try:
        checked = tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(tool.arguments.model_fields) or "none"
        raise ToolError(f"tool {tool.name}: argument {where}: {first['msg']}; its arguments: {known}") from error
    given = {name: getattr(checked, name) for name in tool.arguments.model_fields}
    try:
        async with asyncio.timeout(timeout_seconds):
            result = await _in_thread(lambda: tool.function(**given), name=tool.name)
    except TimeoutError as error:
        raise ToolError(
            f"tool {tool.name} took more than {timeout_seconds:g} s; give it less to do, or more time"
        ) from error
    if not isinstance(result, Value):
        kind = type(result).__name__
        raise ToolError(f"tool {tool.name} gave a {kind}; expected text, a number, a truth value or None")
    if isinstance(result, str) and len(result) > MAX_RESULT_CHARACTERS:
        raise ToolError(f"tool {tool.name} gave {len(result):,} characters; expected at most {MAX_RESULT_CHARACTERS:,}")
    try:
        if isinstance(result, str):
            result.encode()
        return ToolUse(name=tool.name, arguments=dict(arguments), result=result)
    except (ValidationError, UnicodeEncodeError) as error:
        raise ToolError(f"tool {tool.name} gave {result!r}; expected a finite number or text in UTF-8") from error


async def _in_thread(work: Callable[[], object], *, name: str) -> object:
    """What `work` gives. The thread is a daemon: those of asyncio's own pool are waited for when a program ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()

    def settle(result: object, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:  # a user's function can fail in any way
            failed = ToolError(f"tool {name} failed: {type(error).__name__}: {reason(error)}; see what it documents")
        with contextlib.suppress(RuntimeError):  # the program has ended, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name=f"tool {name}", daemon=True).start()
    return await done
