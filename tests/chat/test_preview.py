import base64
import io
import re

import pytest
from PIL import Image
from rich.console import Console

from cot.chat.preview import MAX_COLUMNS, cells, chosen_way, known_way, picture
from cot.chat.screen import Screen
from cot.errors import UsageError
from cot.image import from_pixels

TALL = from_pixels(Image.new("RGB", (300, 600), (200, 0, 10)), source="tall.png")


def half(colours):
    pixels = Image.new("RGB", (4, 4), colours[0])
    pixels.paste(colours[1], (0, 2, 4, 4))
    return from_pixels(pixels, source="half.png")


def terminal(**how):
    return Console(file=io.StringIO(), force_terminal=True, width=40, height=15, legacy_windows=False, **how)


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({}, "none"),
        ({"TERM": "dumb"}, "none"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-kitty", "NO_COLOR": ""}, "kitty"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
    ],
)
def test_a_terminal_is_known_by_its_name(environment, way):
    assert known_way(environment) == way
    assert chosen_way("auto", environment) == way
    assert chosen_way("none", environment) == "none"


def test_an_unknown_way_is_refused():
    with pytest.raises(UsageError, match="got --preview gif; expected auto, kitty, iterm2, sixel, blocks, none"):
        chosen_way("gif", {})


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (600, 300), (300, 600)])
@pytest.mark.parametrize("room", [(1, 1), (40, 15), (300, 90)])
def test_an_image_stays_within_its_room(size, room):
    wide, high = cells(*size, columns=room[0], lines=room[1])
    assert 1 <= wide <= max(1, min(room[0] - 1, MAX_COLUMNS))
    assert 1 <= high <= max(1, room[1] // 3)


def test_an_image_keeps_its_proportions():
    assert cells(600, 300, columns=80, lines=60) == (40, 10)
    assert cells(300, 600, columns=80, lines=36) == (12, 12)


def test_blocks_are_two_pixels_each():
    console = terminal(color_system="truecolor")
    Screen(console, preview="blocks").image(half(((1, 2, 3), (4, 5, 6))))
    lines = console.file.getvalue().rstrip("\n").split("\n")
    assert [line.count("▀") for line in lines] == [10] * 5
    assert "38;2;1;2;3;48;2;1;2;3" in lines[0]
    assert "38;2;4;5;6;48;2;4;5;6" in lines[-1]


def test_kitty_gets_a_png_in_pieces_and_is_asked_for_no_reply():
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    text = picture(from_pixels(noise, source="noise"), "kitty", columns=80, lines=36)
    pieces = re.findall(r"\x1b_G(.*?);(.*?)\x1b\\", text)
    assert pieces[0][0].startswith("a=T,f=100,q=2,c=24,r=12,m=1")
    assert [head for head, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    assert all(len(data) <= 4096 for _, data in pieces)
    png = base64.b64decode("".join(data for _, data in pieces))
    assert Image.open(io.BytesIO(png)).size == (240, 240)


def test_iterm2_gets_a_png_and_its_size():
    text = picture(TALL, "iterm2", columns=80, lines=36)
    head, data = re.fullmatch(r"\x1b\]1337;File=(.*?):(.*?)\x07\n", text).groups()
    assert "inline=1" in head
    assert "width=12;height=12;preserveAspectRatio=1" in head
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (200, 0, 10)


def test_sixel():
    pytest.importorskip("chafa")
    assert chosen_way("sixel", {}) == known_way({"TERM": "foot"}) == "sixel"
    text = picture(TALL, "sixel", columns=80, lines=36)
    assert re.fullmatch(r"\x1bP[0-9;]*q[\x20-\x7e]+\x1b\\\n", text)


def test_sixel_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert known_way({"TERM": "foot"}) == "blocks"
    with pytest.raises(UsageError, match=r"pip install 'cot\[preview\]'"):
        chosen_way("sixel", {})


def test_nothing_is_shown_where_nothing_is_wanted():
    console = terminal()
    Screen(console).image(TALL)
    assert console.file.getvalue() == ""
