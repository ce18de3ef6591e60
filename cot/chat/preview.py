"""An image in a few lines of a terminal.

In: an image, a way to show it, and the room there is. Out: text for rich, or a control sequence to write. The pixels
are sent anew, shrunk, so that nothing else of a file reaches the terminal. Which way a terminal knows is told by its
name in the environment: it is never asked, since its answer could be taken for what the user types.
"""

import base64
import importlib.util
import io
import math
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from cot.errors import UsageError
from cot.image import LoadedImage

Way = Literal["kitty", "iterm2", "sixel", "blocks", "none"]
"""`kitty`, `iterm2`, `sixel`: protocols of terminals. `blocks`: two pixels to a character, in colour."""

MAX_COLUMNS: Final = 40
MAX_LINES: Final = 12
CELL: Final = (10, 20)
"""Pixels that a character is taken to have, where pixels are sent."""

_KITTY_CHUNK: Final = 4096
_SIXEL_TERMINALS: Final = ("foot", "mlterm", "yaft", "contour")


def known_way(environment: Mapping[str, str]) -> Way:
    """What a terminal can show, told by its name; `none` for a dumb one, or where no colours are wanted."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if term in ("", "dumb", "unknown") or environment.get("NO_COLOR"):
        return "none"
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return "blocks"
    if environment.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in (program, term.removeprefix("xterm-")):
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if term.startswith(_SIXEL_TERMINALS) and _can_sixel():
        return "sixel"
    return "blocks"


def chosen_way(named: str, environment: Mapping[str, str]) -> Way:
    """What was named; for `auto` what the terminal is known to show.

    Raises UsageError for a way that there is not, or that needs a package which is not installed.
    """
    if named == "auto":
        return known_way(environment)
    for way in get_args(Way):
        if named == way:
            if way == "sixel" and not _can_sixel():
                raise UsageError("sixel needs the package chafa.py; install it with: pip install 'cot[preview]'")
            found: Way = way
            return found
    raise UsageError(f"got --preview {named}; expected auto, {', '.join(get_args(Way))}")


def picture(image: LoadedImage, way: Way, *, columns: int, lines: int) -> Text | str:
    """What to print, or a control sequence to write as it is. columns, lines: of the terminal."""
    if way == "none":
        return ""
    wide, high = cells(image.width, image.height, columns=columns, lines=lines)
    if way == "blocks":
        return _blocks(image.pixels.resize((wide, 2 * high), Image.Resampling.BOX))
    pixels = image.pixels.copy()
    pixels.thumbnail((wide * CELL[0], high * CELL[1]), Image.Resampling.BOX)
    if way == "sixel":
        return _sixel(pixels, wide, high)
    png = _png(pixels)
    return "".join(_kitty(png, wide, high)) if way == "kitty" else _iterm2(png, wide, high)


def cells(width: int, height: int, *, columns: int, lines: int) -> tuple[int, int]:
    """Columns and lines for an image of so many pixels, in proportion; a third of the lines at most."""
    most_wide, most_high = max(1, min(columns - 1, MAX_COLUMNS)), max(1, min(lines // 3, MAX_LINES))
    scale = min(most_wide / width, 2 * most_high / height)
    return max(1, round(width * scale)), max(1, min(most_high, math.ceil(height * scale / 2)))


def _blocks(pixels: Image.Image) -> Text:
    width, height = pixels.size
    data = pixels.tobytes()
    text = Text()
    for line in range(0, height, 2):
        for column in range(width):
            upper, lower = (3 * ((line + below) * width + column) for below in (0, 1))
            colours = (Color.from_rgb(*data[at : at + 3]) for at in (upper, lower))
            text.append("▀", Style.from_color(*colours))
        if line + 2 < height:
            text.append("\n")
    return text


def _kitty(png: bytes, columns: int, lines: int) -> Iterator[str]:
    """As https://sw.kovidgoyal.net/kitty/graphics-protocol/ has it; q=2: the terminal sends no reply."""
    data = base64.b64encode(png).decode()
    for start in range(0, len(data), _KITTY_CHUNK):
        first = f"a=T,f=100,q=2,c={columns},r={lines}," if start == 0 else ""
        more = int(start + _KITTY_CHUNK < len(data))
        yield f"\x1b_G{first}m={more};{data[start : start + _KITTY_CHUNK]}\x1b\\"
    yield "\n"


def _iterm2(png: bytes, columns: int, lines: int) -> str:
    """As https://iterm2.com/documentation-images.html has it."""
    what = f"inline=1;size={len(png)};width={columns};height={lines};preserveAspectRatio=1"
    return f"\x1b]1337;File={what}:{base64.b64encode(png).decode()}\x07\n"


def _sixel(pixels: Image.Image, columns: int, lines: int) -> str:
    import chafa

    config = chafa.CanvasConfig()
    config.width, config.height = columns, lines
    config.cell_width, config.cell_height = CELL
    config.pixel_mode = chafa.PixelMode.CHAFA_PIXEL_MODE_SIXELS
    canvas = chafa.Canvas(config)
    width, height = pixels.size
    canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, pixels.tobytes(), width, height, 3 * width)
    return f"{canvas.print(fallback=True).decode('ascii')}\n"


def _png(pixels: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG")
    return buffer.getvalue()


def _can_sixel() -> bool:
    return importlib.util.find_spec("chafa") is not None
