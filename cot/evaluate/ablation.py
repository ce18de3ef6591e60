"""Ablations: something is taken from the model, to tell whether a score needs it at all.

In: images or samples as they are. Out: what is shown instead. All of it follows from the seed and the data, so that
a run that goes on shows the same. It asks no model.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

from PIL import Image

from cot.errors import DataError, UsageError
from cot.image import LoadedImage, from_pixels
from cot.task import ImageSource, Sample

Ablation = Literal["blank", "wrong-image", "random-crop", "shuffle-steps"]
"""`blank`: grey of the same size. `wrong-image`: what another sample shows. `random-crop`: a quarter of the image.
`shuffle-steps`: sub-answers of one kind are exchanged before the answer is drawn from them."""

PLANNING: Final = ("decompose", "route", "verify")
"""Strategies that have sub-answers."""

GREY: Final = (128, 128, 128)
MOST_OTHERS: Final = 64
"""Images that `wrong-image` draws from: so many are kept, however large the data is."""

_Others = dict[str, tuple[ImageSource, ...]]


def find_ablation(name: str | None, strategies: tuple[str, ...]) -> Ablation | None:
    """The ablation of a name. Raises UsageError for an unknown one, and where it would change nothing."""
    if name is None:
        return None
    known: tuple[Ablation, ...] = get_args(Ablation)
    if name not in known:
        raise UsageError(f"got --ablate {name}; expected one of: {', '.join(known)}")
    idle = [strategy for strategy in strategies if strategy not in PLANNING]
    if name == "shuffle-steps" and idle:
        raise UsageError(
            f"got --ablate shuffle-steps for {', '.join(idle)}, which has no sub-answers; expected --strategy to be"
            f" some of: {', '.join(PLANNING)}"
        )
    return known[known.index(name)]


def altered(image: LoadedImage, ablation: Ablation | None, seed: int) -> LoadedImage:
    """The image as an ablation shows it: the same one for equal pixels."""
    if ablation == "blank":
        return from_pixels(Image.new("RGB", image.pixels.size, GREY), source=image.source)
    if ablation == "random-crop":
        rng = random.Random(f"{seed}/{image.sha256}")
        width, height = (max(1, side // 2) for side in image.pixels.size)
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        return from_pixels(image.pixels.crop((left, top, left + width, top + height)), source=image.source)
    return image


def with_other_images(samples: Callable[[], Iterator[Sample]], seed: int) -> Iterator[Sample]:
    """The samples, each with the images of another group; one group's samples are shown the same ones.

    samples: called twice. Raises DataError where all samples have one image.
    """
    others = _drawn(samples(), random.Random(seed))
    for sample in samples():
        yield dataclasses.replace(sample, images=_other(sample, others, seed))


def _drawn(samples: Iterator[Sample], rng: random.Random) -> _Others:
    """Groups with their images, each with the same chance (reservoir sampling, Vitter 1985, algorithm R)."""
    kept: list[tuple[str, tuple[ImageSource, ...]]] = []
    groups, last = 0, None
    for sample in samples:
        if sample.group == last or any(sample.group == group for group, _ in kept):
            continue
        last = sample.group
        place = groups if groups < MOST_OTHERS else rng.randint(0, groups)
        groups += 1
        if place < MOST_OTHERS:
            kept[place : place + 1] = [(sample.group, sample.images)]
    return dict(kept)


def _other(sample: Sample, others: _Others, seed: int) -> tuple[ImageSource, ...]:
    usable = [images for group, images in others.items() if group != sample.group and images != sample.images]
    if not usable:
        raise DataError(f"{sample.where}: no other image is there to show; expected two at least; raise --limit")
    images = random.Random(f"{seed}/{sample.group}").choice(usable)
    # As many as the question is about.
    return tuple(images[number % len(images)] for number in range(len(sample.images)))
