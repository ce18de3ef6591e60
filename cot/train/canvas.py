"""Backgrounds, placement and the bookkeeping of what covers each patch."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cot.train.labels import BACKGROUND_COLOURS, COLOURS, FACETS
from cot.train.sample import GRID, IMAGE_PIXELS, Dense

Facets = Mapping[str, int]
"""Values of some of `labels.FACETS`, by name."""
_PATCH: Final = IMAGE_PIXELS / GRID
"""Side of what a patch shows, pixels of the drawn image."""
_EDGES: Final = np.rint(np.arange(GRID) * _PATCH).astype(np.int64)


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
    roomy = min(largest, 0.98 * IMAGE_PIXELS / math.sqrt(count + 0.5))
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
    """Collects what covers each patch; later things cover earlier ones. bare: what patches without a thing tell."""

    def __init__(self, bare: Facets | None = None) -> None:
        self._owners: NDArray[np.int64] = np.zeros((IMAGE_PIXELS, IMAGE_PIXELS), np.int64)
        self._things: list[tuple[int, float, float, float, bool]] = [(0, 0.0, 0.0, 1.0, False)]
        self._facets = [_row(bare or {})]

    def paint(
        self, label: int, mask: NDArray[np.bool_], left: int, top: int, facets: Facets, *, is_object: bool = True
    ) -> None:
        """Mark the pixels of a mask (height, width) placed at (left, top), which may stand out.

        facets: what it tells of the image, see `labels.FACETS`. is_object: whether it counts as an object.
        """
        height, width = mask.shape
        x, y = left + width / 2, top + height / 2
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + height, IMAGE_PIXELS), min(left + width, IMAGE_PIXELS)
        if y1 > y0 and x1 > x0:
            self._owners[y0:y1, x0:x1][mask[y0 - top : y1 - top, x0 - left : x1 - left]] = len(self._things)
        self._things.append((label, x, y, math.sqrt(max(height * width, 1)), is_object))
        self._facets.append(_row(facets))

    def rectangle(self, label: int, left: float, top: float, right: float, bottom: float, facets: Facets) -> None:
        """Mark a rectangle that is no object, pixels."""
        mask = np.ones((int(bottom) - int(top), int(right) - int(left)), np.bool_)
        self.paint(label, mask, int(left), int(top), facets, is_object=False)

    def dense(self, *, least: float = 0.15) -> Dense:
        """What each patch shows: the thing with most pixels where it covers at least `least` of the patch."""
        present = np.flatnonzero(np.bincount(self._owners.ravel(), minlength=2)[1:]) + 1
        shares = [
            np.add.reduceat(np.add.reduceat(self._owners == owner, _EDGES, axis=0, dtype=np.int32), _EDGES, axis=1)
            for owner in present
        ]
        stacked = np.stack([np.full((GRID, GRID), int(least * _PATCH**2) - 1), *shares])
        owners = np.concatenate([[0], present])[stacked.argmax(axis=0)]
        label, x, y, side, is_object = np.array(self._things).T
        middles = (np.arange(GRID) + 0.5) * _PATCH
        offsets = np.stack(
            [
                (x[owners] - middles[None, :]) / _PATCH,
                (y[owners] - middles[:, None]) / _PATCH,
                np.log2(side[owners] / _PATCH),
                x[owners] / _PATCH - GRID / 2,
                y[owners] / _PATCH - GRID / 2,
            ],
            axis=-1,
        )
        offsets[owners == 0] = 0
        facets = np.array(self._facets)[owners]
        objects = np.where(is_object[owners], owners, 0)
        return Dense(label[owners].astype(np.int64), objects, offsets.astype(np.float32), facets)


def _row(facets: Facets) -> list[int]:
    return [facets.get(name, -100) for name in FACETS]


def rank(value: int, values: Sequence[int]) -> int:
    """The facet `rank` of one of `values`: 2 for the largest, 0 for the smallest, else 1; 1 where all are equal."""
    return 1 if min(values) == max(values) else 2 * (value == max(values)) + (min(values) < value < max(values))


def jitter(colour: tuple[int, int, int], rng: random.Random, amount: int = 10) -> tuple[int, int, int]:
    """A colour near `colour`."""
    red, green, blue = (min(255, max(0, value + rng.randint(-amount, amount))) for value in colour)
    return red, green, blue


def named_colour(name: str, rng: random.Random) -> tuple[int, int, int]:
    """A shade of a named colour."""
    return jitter(COLOURS[name], rng)
