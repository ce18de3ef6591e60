import threading
import time
from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel

from cot.errors import ToolError
from cot.step import ToolUse
from cot.tools import own
from cot.tools.own import as_tool, load_tools, use_tool


class Place(BaseModel):
    name: str


def height(place: str, hour: int = 12) -> float:
    """Height of the tide in metres.

    More of it.
    """
    return len(place) + hour / 2


async def test_a_function_is_a_tool():
    tool = as_tool("tide_height", height)
    assert tool.description == "Height of the tide in metres."
    assert set(tool.arguments.model_json_schema()["properties"]) == {"place", "hour"}
    used = await use_tool(tool, {"place": "Brest", "hour": 3})
    assert used == ToolUse(name="tide_height", arguments={"place": "Brest", "hour": 3}, result=6.5)
    assert (await use_tool(tool, {"place": "Brest"})).result == 11


async def test_an_argument_may_be_a_model():
    def greet(place: Place) -> str:
        return place.name

    assert as_tool("greet", greet).arguments.model_validate({"place": {"name": "Brest"}})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [({}, "argument place: Field required"), ({"place": "a", "hour": "noon"}, "argument hour: .*integer")]
    + [({"place": "a", "wind": 3}, "argument wind: Extra inputs.*its arguments: place, hour")],
)
async def test_arguments_are_checked(arguments, why):
    with pytest.raises(ToolError, match=why):
        await use_tool(as_tool("tide_height", height), arguments)


async def test_a_tool_that_hangs_is_not_waited_for():
    hanging = threading.Event()

    def hang() -> int:
        hanging.wait(30)
        return 1

    begun = time.monotonic()
    with pytest.raises(ToolError, match="tool hang took more than 0.05 s"):
        await use_tool(as_tool("hang", hang), {}, timeout_seconds=0.05)
    assert time.monotonic() - begun < 20
    hanging.set()


@pytest.mark.parametrize("error", [ValueError("no such place"), TimeoutError("slow"), KeyError()])
async def test_a_tool_that_fails_says_why(error):
    def fail() -> int:
        raise error

    with pytest.raises(ToolError, match=f"tool fail failed: {type(error).__name__}"):
        await use_tool(as_tool("fail", fail), {})


@pytest.mark.parametrize("result", [[1], object(), b"x", float("nan"), "\ud800", "x" * 10_001])
async def test_results_are_plain_values(result):
    with pytest.raises(ToolError, match="expected"):
        await use_tool(as_tool("odd", lambda: result), {})


@pytest.mark.parametrize("name", ["", "Tide", "a-b", "zoom", "calculate", "a" * 41, "1st"])
def test_names_are_checked(name):
    with pytest.raises(ToolError, match="got the tool name"):
        as_tool(name, height)


@pytest.mark.parametrize("function", [lambda size: size, lambda *sizes: 1, lambda **sizes: 1, 3])
def test_arguments_need_types(function):
    with pytest.raises(ToolError, match="tool t: got"):
        as_tool("t", function)


def test_installed_tools_are_found_by_name(monkeypatch):
    points = [
        EntryPoint("plain_text", "cot.answer:comparable", own.GROUP),
        EntryPoint("gone", "no_such_package:f", own.GROUP),
    ]
    monkeypatch.setattr(own, "entry_points", lambda group: [])
    assert load_tools() == {}
    monkeypatch.setattr(own, "entry_points", lambda group: points[:1])
    assert list(load_tools()) == ["plain_text"]
    monkeypatch.setattr(own, "entry_points", lambda group: points[1:])
    with pytest.raises(ToolError, match="tool gone cannot be loaded from no_such_package:f"):
        load_tools()
    monkeypatch.setattr(own, "entry_points", lambda group: [EntryPoint("parts", "os.path:no_such", own.GROUP)])
    with pytest.raises(ToolError, match="tool parts cannot be loaded"):
        load_tools()
    monkeypatch.setattr(own, "entry_points", lambda group: [points[0], points[0]])
    with pytest.raises(ToolError, match="two packages offer the tool 'plain_text'"):
        load_tools()
