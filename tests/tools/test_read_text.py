import socket

import pytest
from PIL import Image, ImageDraw, ImageFont

from cot.errors import ToolError
from cot.image import from_pixels
from cot.region import Box, parse_box
from cot.tools import read_text as module
from cot.tools.find import find_tool
from cot.tools.read_text import MAX_CHARACTERS, MAX_LINE_CHARACTERS, TextLine, as_text, line_of, read_text, rows
from cot.tools.tool import use_tool

WORDS = {"Platform 12": (20, 20), "LONDON": (420, 30), "Departs 09:41": (40, 220)}


def _needs_extra():
    pytest.importorskip("onnxruntime", reason="the extra ocr is not installed")
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")


@pytest.fixture(scope="module")
def sign():
    """640 x 320 pixels with three pieces of text, drawn at the places of `WORDS`."""
    _needs_extra()
    pixels = Image.new("RGB", (640, 320), "white")
    draw = ImageDraw.Draw(pixels)
    for words, place in WORDS.items():
        draw.text(place, words, fill="black", font=ImageFont.load_default(size=40))
    return from_pixels(pixels, source="sign.png")


def test_text_is_read_in_order_with_its_places(sign):
    lines = read_text(sign)
    assert [line.text for line in lines] == list(WORDS)
    for line, (x, y) in zip(lines, WORDS.values(), strict=True):
        assert 0.8 <= line.confidence <= 1
        assert line.box.left == pytest.approx(x / 640, abs=0.03)
        assert line.box.top == pytest.approx(y / 320, abs=0.06)
        assert 0.05 < line.box.bottom - line.box.top < 0.3


def test_a_region_is_read_alone_and_its_places_are_those_of_the_image(sign):
    (line,) = read_text(sign, Box(0.6, 0, 1, 0.4))
    assert line.text == "LONDON"
    assert line.box.left == pytest.approx(420 / 640, abs=0.03)
    assert line.box.right < 1


def test_small_print_is_enlarged(sign):
    small = from_pixels(sign.pixels.resize((160, 80)), source="small.png")
    assert [line.text for line in read_text(small)] == list(WORDS)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (300, 200)])
def test_where_nothing_is_written_nothing_is_read(sign, size):
    assert read_text(from_pixels(Image.new("RGB", size, "grey"), source="grey.png")) == ()


def test_nothing_is_fetched(sign, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    module._reader.cache_clear()
    assert len(read_text(sign)) == len(WORDS)


async def test_a_step_gets_rows_of_text(sign):
    tool = find_tool("read_text")
    assert "rapidocr" in tool.version
    used = await use_tool(tool, {}, images=(sign,))
    assert (used.arguments, used.result) == ({"image": "sign.png"}, "Platform 12 LONDON\nDeparts 09:41")
    used = await use_tool(tool, {"region": "[0, 0.5, 1, 1]", "with_regions": True}, images=(sign,))
    box, words = str(used.result).split("] ")
    assert parse_box(f"{box}]").top > 0.6
    assert words.startswith("Departs 09:41 (")


async def test_what_was_read_is_not_read_again(sign, monkeypatch):
    tool = find_tool("read_text")
    again = from_pixels(sign.pixels, source="again.png")
    first = await use_tool(tool, {"region": "[0, 0, 1, 0.4]"}, images=(sign,))
    monkeypatch.setattr(module, "_reader", None)
    second = await use_tool(tool, {"region": "[0, 0, 1, 0.4]", "with_regions": True}, images=(again,))
    assert first.result == "Platform 12 LONDON"
    assert [line.split("] ")[1][:8] for line in second.result.splitlines()] == ["Platform", "LONDON ("]


async def test_a_step_without_text_gets_nothing(sign):
    grey = from_pixels(Image.new("RGB", (30, 20), "grey"), source="grey.png")
    assert (await use_tool(find_tool("read_text"), {}, images=(grey,))).result is None


@pytest.mark.parametrize("region", ["", "left", "[0, 0, 2, 1]", "[" * 500])
async def test_regions_are_checked(sign, region):
    with pytest.raises(
        ToolError, match="tool read_text: got the region .*expected .left, top, right, bottom."
    ) as caught:
        await use_tool(find_tool("read_text"), {"region": region}, images=(sign,))
    assert len(str(caught.value)) < 300


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package",))
    with pytest.raises(ToolError, match=r"needs the package no-such-package; .* pip install -e '.\[ocr\]'"):
        find_tool("read_text")


CORNERS = [(0.1, 0.2), (0.5, 0.21), (0.5, 0.3), (0.1, 0.29)]


def test_hostile_text_is_made_harmless():
    line = line_of("\x1b[31mpay\x1b]0;x\x07 \u202eme\n\nnow" + "!" * 9999, CORNERS, 0.9)
    assert line.text.startswith("pay me now!!")
    assert len(line.text) == MAX_LINE_CHARACTERS
    assert line.text.isprintable()
    assert line.box == Box(0.1, 0.2, 0.5, 0.3)


@pytest.mark.parametrize("text", ["", " ", "●", "--", "\x1b[31m", "\u200b"])
def test_what_has_no_letter_and_no_digit_is_no_line(text):
    assert line_of(text, CORNERS, 1.0) is None


def test_places_stay_in_the_image_and_have_an_extent():
    assert line_of("a", [(-0.1, 0), (1.2, 0), (1.2, 2), (-0.1, 2)], 1.0).box == Box(0, 0, 1, 1)
    assert line_of("a", [(0.2, 0.1), (0.2, 0.1), (0.2, 0.3), (0.2, 0.3)], 1.0) is None


def _at(text, left, top, height=0.1):
    return TextLine(text, Box(left, top, left + 0.1, top + height), 1.0)


def test_rows_run_down_and_each_from_left_to_right():
    lines = [_at("d", 0.1, 0.51), _at("b", 0.6, 0.1), _at("c", 0.6, 0.49), _at("a", 0.1, 0.12), _at("e", 0, 0.8)]
    assert [[line.text for line in row] for row in rows(lines)] == [["a", "b"], ["d", "c"], ["e"]]
    assert rows([]) == []


def test_what_is_much_higher_stands_in_a_row_of_its_own():
    lines = [_at("big", 0.5, 0, 0.9), _at("a", 0, 0.1), _at("b", 0, 0.3), _at("c", 0.2, 0.3)]
    assert [[line.text for line in row] for row in rows(lines)] == [["big"], ["a"], ["b", "c"]]


@pytest.mark.parametrize("with_regions", [False, True])
def test_long_text_is_cut(with_regions):
    lines = [_at("word" * 40, 0, number / 1000, 0.001) for number in range(200)]
    text = as_text(lines, with_regions=with_regions)
    assert len(text) == MAX_CHARACTERS
    assert text.endswith("…")
