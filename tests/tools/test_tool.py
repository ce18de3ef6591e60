import asyncio
import threading
import time

import pytest
from PIL import Image
from pydantic import BaseModel

from cot.errors import ToolError
from cot.image import LoadedImage, from_pixels
from cot.step import ToolUse
from cot.tools.tool import as_tool, use_tool


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


def width(image: LoadedImage, times: int = 1) -> int:
    """Pixels a row."""
    return image.width * times


@pytest.fixture
def images():
    return tuple(from_pixels(Image.new("RGB", (side, 4)), source=f"{side}.png") for side in (3, 5))


async def test_an_image_is_one_of_the_question_by_its_number(images):
    tool = as_tool("width", width)
    assert tool.arguments.model_json_schema()["properties"]["image"]["type"] == "integer"
    used = await use_tool(tool, {}, images=images)
    assert used == ToolUse(name="width", arguments={"image": "3.png"}, result=3)
    used = await use_tool(tool, {"image": 2, "times": 2}, images=images)
    assert (used.arguments, used.result) == ({"image": "5.png", "times": 2}, 10)


@pytest.mark.parametrize(
    ("number", "why"), [(3, "got image 3; expected 1 to 2"), (0, "argument image: .*greater"), ("b", "argument image")]
)
async def test_images_that_are_not_there_are_refused(images, number, why):
    with pytest.raises(ToolError, match=f"tool width: {why}"):
        await use_tool(as_tool("width", width), {"image": number}, images=images)


def test_arguments_that_come_later_are_not_missed():
    tool = as_tool("tide_height", height)
    assert tool.check({"hour": 3}, later=["place"]) == {}
    with pytest.raises(ToolError, match="argument hour"):
        tool.check({"hour": "noon"}, later=["place"])
    with pytest.raises(ToolError, match="argument place: Field required"):
        tool.check({"hour": 3}, later=["wind"])


async def test_waiting_for_its_turn_is_no_work():
    turn = threading.Lock()
    tool = as_tool("nap", lambda: time.sleep(0.2), timeout_seconds=0.5, turn=turn)
    used = await asyncio.gather(*(use_tool(tool, {}) for _ in range(4)))
    assert [one.result for one in used] == [None] * 4


async def test_what_nobody_waits_for_any_more_is_not_begun():
    turn, begun = threading.Lock(), []
    tool = as_tool("note_down", lambda: begun.append(1), turn=turn)
    with turn:
        waiting = asyncio.create_task(use_tool(tool, {}))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    with turn:
        assert begun == []


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


async def test_what_a_tool_refuses_is_said_in_its_own_words():
    def refuse() -> int:
        raise ToolError("got no tide; expected a place by the sea")

    with pytest.raises(ToolError, match="^tool refuse: got no tide; expected a place by the sea$"):
        await use_tool(as_tool("refuse", refuse), {})


@pytest.mark.parametrize("error", [ValueError("no such place"), TimeoutError("slow"), KeyError(), SystemExit(3)])
async def test_a_tool_that_fails_says_why(error):
    def fail() -> int:
        raise error

    with pytest.raises(ToolError, match=f"tool fail failed: {type(error).__name__}"):
        await use_tool(as_tool("fail", fail), {})


@pytest.mark.parametrize("result", [[1], object(), b"x", float("nan"), "\ud800", "x" * 10_001, 2**65])
async def test_results_are_plain_values(result):
    with pytest.raises(ToolError, match="expected"):
        await use_tool(as_tool("odd", lambda: result), {})


@pytest.mark.parametrize("name", ["", "Tide", "a-b", "a" * 41, "1st"])
def test_names_are_checked(name):
    with pytest.raises(ToolError, match="got the tool name"):
        as_tool(name, height)


def test_an_async_function_is_refused():
    async def tide() -> int:
        return 1

    with pytest.raises(ToolError, match="tool tide: got an async function; expected a plain one: write def"):
        as_tool("tide", tide)


@pytest.mark.parametrize("function", [lambda size: size, lambda *sizes: 1, lambda **sizes: 1, 3])
def test_arguments_need_types(function):
    with pytest.raises(ToolError, match="tool t: got"):
        as_tool("t", function)
