"""Backgrounds, placement and the bookkeeping of what covers each patch."""

import math
import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cot.train.labels import COLOURS
from cot.train.sample import GRID, IMAGE_PIXELS, PATCH_PIXELS

BACKGROUND_COLOURS: Final = {
    "white": (250, 250, 250),
    "gray": (190, 190, 195),
    "blue": (150, 195, 240),
    "green": (165, 215, 150),
    "yellow": (250, 240, 170),
    "pink": (250, 205, 220),
    "purple": (205, 185, 235),
    "brown": (205, 175, 140),
    "black": (35, 35, 40),
}
"""Plain backgrounds that questions may ask about, RGB."""


_EDGES: Final = np.arange(0, IMAGE_PIXELS, PATCH_PIXELS)


@dataclass(frozen=True)
class Box:
    """A square place: centre and side, pixels."""

    x: float
    y: float
    side: float

    def overlap(self, other: "Box") -> float:
        """Shared area as a fraction of the smaller box, in [0, 1]."""
        reach = (self.side + other.side) / 2
        width = min(reach - abs(self.x - other.x), self.side, other.side)
        height = min(reach - abs(self.y - other.y), self.side, other.side)
        return max(width, 0) * max(height, 0) / min(self.side, other.side) ** 2


def place(count: int, rng: random.Random, *, smallest: float, largest: float, max_overlap: float) -> list[Box]:
    """Boxes of random size that overlap little; fewer than `count` where they do not fit."""
    boxes: list[Box] = []
    roomy = min(largest, 1.05 * IMAGE_PIXELS / math.sqrt(count + 0.5))
    for _ in range(count):
        for _ in range(40):
            side = rng.uniform(smallest, max(roomy, smallest + 1))
            reach = side / 2 * 0.95
            box = Box(rng.uniform(reach, IMAGE_PIXELS - reach), rng.uniform(reach, IMAGE_PIXELS - reach), side)
            if all(box.overlap(other) <= max_overlap for other in boxes):
                boxes.append(box)
                break
    return boxes


def background(rng: random.Random) -> tuple[Image.Image, str, bool]:
    """A background, the name of its main colour, and whether it is plain."""
    size = (IMAGE_PIXELS, IMAGE_PIXELS)
    name = rng.choice(list(BACKGROUND_COLOURS))
    base = tuple(min(255, max(0, value + rng.randint(-8, 8))) for value in BACKGROUND_COLOURS[name])
    image = Image.new("RGB", size, base)
    style = rng.random()
    if style < 0.5:
        return image, name, True
    other = tuple(min(255, max(0, value + rng.randint(-45, 45))) for value in base)
    draw = ImageDraw.Draw(image)
    if style < 0.65:
        ramp = Image.linear_gradient("L").resize(size).rotate(rng.choice((0, 90, 180, 270)))
        image = Image.composite(image, Image.new("RGB", size, other), ramp)
    elif style < 0.75:
        draw.rectangle((0, rng.randint(60, 120), IMAGE_PIXELS, IMAGE_PIXELS), fill=other)
    elif style < 0.85:
        step = rng.randint(10, 30)
        for offset in range(0, IMAGE_PIXELS, 2 * step):
            draw.rectangle((offset, 0, offset + step - 1, IMAGE_PIXELS), fill=other)
    else:
        noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.uniform(5, 18), (40, 40, 3))
        coarse = np.clip(np.array(base) + noise, 0, 255).astype(np.uint8)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image, name, False


class PatchMap:
    """Collects what covers each patch; later things cover earlier ones."""

    def __init__(self) -> None:
        self._labels: NDArray[np.int64] = np.zeros((IMAGE_PIXELS, IMAGE_PIXELS), np.int64)
        self.centres: NDArray[np.int64] = np.zeros((GRID, GRID), np.int64)

    def paint(self, label: int, mask: Image.Image, left: int, top: int) -> None:
        """Mark the pixels of `mask` (mode L; above 100 counts) placed at (left, top), which may stand out."""
        covered = np.asarray(mask) > 100
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + covered.shape[0], IMAGE_PIXELS), min(left + covered.shape[1], IMAGE_PIXELS)
        if y1 > y0 and x1 > x0:
            self._labels[y0:y1, x0:x1][covered[y0 - top : y1 - top, x0 - left : x1 - left]] = label

    def rectangle(self, label: int, left: float, top: float, right: float, bottom: float) -> None:
        """Mark a rectangle, pixels."""
        self._labels[max(int(top), 0) : int(bottom), max(int(left), 0) : int(right)] = label

    def centre(self, x: float, y: float) -> None:
        """Count an object's centre, at most two a patch."""
        row, column = (min(max(int(value) // PATCH_PIXELS, 0), GRID - 1) for value in (y, x))
        self.centres[row, column] = min(2, self.centres[row, column] + 1)

    def labels(self, *, least: float = 0.15) -> NDArray[np.int64]:
        """(GRID, GRID): the foreground label with most pixels where it covers at least `least` of the patch, else 0."""
        present = [label for label in np.flatnonzero(np.bincount(self._labels.ravel())) if label]
        if not present:
            return np.zeros((GRID, GRID), np.int64)
        shares = [
            np.add.reduceat(np.add.reduceat(self._labels == label, _EDGES, axis=0, dtype=np.int32), _EDGES, axis=1)
            for label in present
        ]
        stacked = np.stack(shares)
        best = np.array(present)[stacked.argmax(axis=0)]
        return np.where(stacked.max(axis=0) >= least * PATCH_PIXELS**2, best, 0)


def jitter(colour: tuple[int, int, int], rng: random.Random, amount: int = 10) -> tuple[int, int, int]:
    """A colour near `colour`."""
    red, green, blue = (min(255, max(0, value + rng.randint(-amount, amount))) for value in colour)
    return red, green, blue


def named_colour(name: str, rng: random.Random) -> tuple[int, int, int]:
    """A shade of a named colour."""
    return jitter(COLOURS[name], rng)
