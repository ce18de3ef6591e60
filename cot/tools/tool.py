"""What a tool is, and how one is used: a function with annotated arguments, called within a time limit.

In: a function. Out: a `Tool`, and its use with checked arguments and a typed result. An argument of the type
`LoadedImage` is one of the question's images: who uses the tool says which by its number, and the first is meant
where nothing is said. Which tools there are is told by `cot.tools.find`.
"""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from cot.errors import ToolError, reason
from cot.image import LoadedImage
from cot.step import ToolUse, Value

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
MAX_RESULT: Final = 2**64
"""Largest whole number of a result, and smallest below zero."""

MAX_RESULT_CHARACTERS: Final = 10_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Tool:
    """A function that a step may call.

    arguments: pydantic model of its arguments, which gives their JSON schema; an image is its number there, from 1.
    description: its docstring's first line. images: names of the arguments that are images.
    timeout_seconds: how long one use may work. version: of the package that it comes from; empty if unknown.
    turn: held by whoever uses it, if it cannot be used twice at a time; waiting for it is no work.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[..., Value]
    images: tuple[str, ...] = ()
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    version: str = ""
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def check(self, arguments: Mapping[str, object], *, later: Sequence[str] = ()) -> dict[str, Any]:
        """The arguments in their types, defaults filled in.

        later: names of arguments that are not known yet, and left out. Raises ToolError for what does not fit.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
            missing = [one for one in problems if one["type"] == "missing" and one["loc"][0] in later]
            if len(missing) == len(problems):
                return {}
            first = next(one for one in problems if one not in missing)
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(self.arguments.model_fields) or "none"
            raise ToolError(f"tool {self.name}: argument {where}: {first['msg']}; its arguments: {known}") from error
        return {name: getattr(checked, name) for name in self.arguments.model_fields}


def as_tool(
    name: str,
    function: Callable[..., Value],
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    version: str = "",
    turn: AbstractContextManager[Any] | None = None,
) -> Tool:
    """Make a tool of a function whose arguments are all annotated and can be given by name.

    Raises ToolError if the name is not made of a to z, 0 to 9 and _, if the function is asynchronous, or if an argument
    does not fit.
    """
    if not _NAME.fullmatch(name):
        raise ToolError(f"got the tool name {name!r}; expected at most 40 of a to z, 0 to 9 and _, a letter first")
    if inspect.iscoroutinefunction(function):
        raise ToolError(f"tool {name}: got an async function; expected a plain one: write def in place of async def")
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
    images = tuple(one for one, (kind, _) in fields.items() if kind is LoadedImage)
    fields |= dict.fromkeys(images, (int, Field(default=1, ge=1)))
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as error:  # pydantic refuses types and names in many ways
        raise ToolError(f"tool {name}: its arguments cannot be checked: {reason(error)}; use plain types") from error
    description = (inspect.getdoc(function) or "").partition("\n")[0]
    return Tool(name, description, model, function, images, timeout_seconds, version, turn or nullcontext())


async def use_tool(
    tool: Tool,
    arguments: Mapping[str, Value],
    *,
    images: Sequence[LoadedImage] = (),
    timeout_seconds: float | None = None,
) -> ToolUse:
    """Call a tool in a thread, and take down what it gave; an image is taken down by where it came from.

    images: of the question. timeout_seconds: how long it may work, instead of what the tool says. That is no hard
    limit: Python cannot stop a thread, so a tool that hangs goes on in the background until the program ends, which
    it does not hold up.
    Raises ToolError for arguments that do not fit, a tool that fails or takes too long, and a result
    that is no plain value or too long.
    """
    given = tool.check(arguments)
    for name in tool.images:
        if given[name] > len(images):
            raise ToolError(f"tool {tool.name}: got {name} {given[name]}; expected 1 to {len(images)}, as there are")
        given[name] = images[given[name] - 1]
    most = tool.timeout_seconds if timeout_seconds is None else timeout_seconds
    try:
        async with asyncio.timeout(None) as limit:
            result = await _in_thread(lambda: tool.function(**given), tool, limit, most)
    except TimeoutError as error:
        raise ToolError(f"tool {tool.name} took more than {most:g} s; give it less to do, or more time") from error
    if not isinstance(result, Value):
        kind = type(result).__name__
        raise ToolError(f"tool {tool.name} gave a {kind}; expected text, a number, a truth value or None")
    if isinstance(result, str) and len(result) > MAX_RESULT_CHARACTERS:
        raise ToolError(f"tool {tool.name} gave {len(result):,} characters; expected at most {MAX_RESULT_CHARACTERS:,}")
    if isinstance(result, int) and abs(result) > MAX_RESULT:
        raise ToolError(f"tool {tool.name} gave a number of {result.bit_length():,} bits; expected at most 64")
    try:
        if isinstance(result, str):
            result.encode()
        shown = {name: given[name].source for name in tool.images}
        return ToolUse(name=tool.name, arguments={**shown, **arguments, **shown}, result=result)
    except (ValidationError, UnicodeEncodeError) as error:
        raise ToolError(f"tool {tool.name} gave {result!r}; expected a finite number or text in UTF-8") from error


async def _in_thread(work: Callable[[], object], tool: Tool, limit: asyncio.Timeout, seconds: float) -> object:
    """What `work` gives. The thread is a daemon: those of asyncio's own pool are waited for when a program ends.

    limit: set to `seconds` from the moment at which the work begins.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()

    def begin() -> None:
        if not done.done():
            limit.reschedule(loop.time() + seconds)

    def settle(result: object, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result, failed = None, None
        with tool.turn:
            if done.cancelled():
                return
            try:
                loop.call_soon_threadsafe(begin)
                result = work()
            except ToolError as error:
                failed = ToolError(f"tool {tool.name}: {error}")
            except BaseException as error:  # a user's function can fail in any way, and end its thread
                failed = ToolError(
                    f"tool {tool.name} failed: {type(error).__name__}: {reason(error)}; see what it documents"
                )
        with suppress(RuntimeError):  # the program has ended, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name=f"tool {tool.name}", daemon=True).start()
    return await done
