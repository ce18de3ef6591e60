"""The artwork of the scenes: one sheet of sprites a style, read here and rebuilt by `python -m cot.train.artwork`.

A sheet holds every kind of `cot.train.kinds.KINDS` as a `SPRITE_PIXELS` square, RGBA, ten a row.
Rebuilding needs `npm` and the extra `train`; the versions it draws from are in `PACKAGES`.
"""

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cot.train.kinds import KINDS, STYLES

SPRITE_PIXELS: Final = 64
COLUMNS: Final = 10
FOLDER: Final = Path(__file__).parent / "art"
PACKAGES: Final = {
    "noto": "@iconify-json/noto@1.2.9",
    "noto-v1": "@iconify-json/noto-v1@1.2.5",
    "fluent-emoji": "@iconify-json/fluent-emoji@1.2.7",
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "emojione": "@iconify-json/emojione@1.2.3",
    "twemoji": "@iconify-json/twemoji@1.2.5",
}
"""npm package of each style; licences are in `cot/train/art/LICENCES.md`."""


@cache
def sprites(style: str) -> tuple[Image.Image, ...]:
    """The sprites of one style, in the order of `KINDS`: RGBA, 64 x 64 pixels.

    Raises KeyError for an unknown style.
    """
    if style not in STYLES:
        raise KeyError(f"unknown art style {style!r}; known: {', '.join(STYLES)}")
    sheet = Image.open(FOLDER / f"{style}.webp").convert("RGBA")
    found = []
    for index in range(len(KINDS)):
        row, column = divmod(index, COLUMNS)
        left, top = column * SPRITE_PIXELS, row * SPRITE_PIXELS
        found.append(sheet.crop((left, top, left + SPRITE_PIXELS, top + SPRITE_PIXELS)))
    return tuple(found)


def _icons(package: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", package, "--silent"], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(Path(folder) / packed.stdout.strip()) as archive:
            member = archive.extractfile("package/icons.json")
            if member is None:
                raise FileNotFoundError(f"{package} holds no icons.json")
            icons: dict[str, Any] = json.load(member)
            return icons


def _svg(icons: dict[str, Any], name: str) -> str:
    while name not in icons["icons"]:
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    left, top = icon.get("left", 0), icon.get("top", 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
    )


def _trim(image: Image.Image) -> Image.Image:
    """Cut the empty margin, centre on a square, and resize to `SPRITE_PIXELS`."""
    alpha = image.getchannel("A").point(lambda value: 255 if value > 16 else 0)
    image = image.crop(alpha.getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((SPRITE_PIXELS, SPRITE_PIXELS), Image.Resampling.LANCZOS)


def build_sheet(style: str) -> Image.Image:
    """Draw the sheet of one style from its npm package."""
    import resvg_py

    icons = _icons(PACKAGES[style])
    rows = -(-len(KINDS) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * SPRITE_PIXELS, rows * SPRITE_PIXELS))
    for index, kind in enumerate(KINDS):
        drawn = resvg_py.svg_to_bytes(svg_string=_svg(icons, kind.artwork), width=256, height=256)
        row, column = divmod(index, COLUMNS)
        sprite = _trim(Image.open(io.BytesIO(bytes(drawn))).convert("RGBA"))
        sheet.paste(sprite, (column * SPRITE_PIXELS, row * SPRITE_PIXELS))
    return sheet


def main() -> None:
    """Rebuild every sheet."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().out
    for style in STYLES:
        path = folder / f"{style}.webp"
        build_sheet(style).save(path, quality=92, method=6)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
