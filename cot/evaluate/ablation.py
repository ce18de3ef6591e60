"""Ablations: something is taken from the model, to tell whether a score needs it at all.

In: images or samples as they are. Out: what is shown instead. All of it follows from the seed and the data, so that
a run that goes on shows the same. It asks no model.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from PIL import Image

from cot.errors import DataError, UsageError, quoted
from cot.image import LoadedImage, from_pixels
from cot.planner.facts import EXCHANGED
from cot.task import ImageSource, Sample

Ablation = Literal["blank", "wrong-image", "random-crop", "shuffle-steps"]
"""`blank`: grey of the same size. `wrong-image`: what another sample shows. `random-crop`: a quarter of the image.
`shuffle-steps`: sub-answers of one kind are exchanged before the answer is drawn from them."""

NO_ABLATION: Final = "none"
"""The name of nothing being taken, where several are asked for."""

PLANNING: Final = ("decompose", "route", "verify")
"""Strategies that have sub-answers."""

GREY: Final = (128, 128, 128)
MOST_OTHERS: Final = 64
"""Images that `wrong-image` draws from: so many are kept, however large the data is."""

_Others = dict[str, tuple[ImageSource, ...]]


@dataclass(frozen=True)
class Control:
    """What is taken from the model, None for nothing, and the strategies in which that changes something."""

    ablation: Ablation | None
    strategies: tuple[str, ...]

    @property
    def name(self) -> str:
        """As it is asked for."""
        return self.ablation or NO_ABLATION


def find_controls(names: str | None, strategies: tuple[str, ...]) -> tuple[Control, ...]:
    """What `blank,shuffle-steps` stands for, or None: one without ablation.

    `shuffle-steps` leaves out strategies that have no sub-answers. Raises UsageError for an unknown name, one that
    is there twice, and where no strategy is left.
    """
    said = NO_ABLATION if names is None else names
    controls = [_control(name.strip(), strategies) for name in said.split(",")]
    if len({control.ablation for control in controls}) != len(controls):
        raise UsageError(f"got --ablate {names}; expected each name once")
    return tuple(controls)


def _control(name: str, strategies: tuple[str, ...]) -> Control:
    known: tuple[Ablation, ...] = get_args(Ablation)
    if name == NO_ABLATION:
        return Control(None, strategies)
    if name not in known:
        raise UsageError(f"got --ablate {name or quoted(name)}; expected some of: {', '.join((NO_ABLATION, *known))}")
    if name == EXCHANGED:
        planning = tuple(strategy for strategy in strategies if strategy in PLANNING)
        if not planning:
            raise UsageError(
                f"got --ablate {EXCHANGED} for {', '.join(strategies)}, which has no sub-answers; expected --strategy"
                f" to have some of: {', '.join(PLANNING)}"
            )
        strategies = planning
    return Control(known[known.index(name)], strategies)


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


def with_other_images(
    samples: Callable[[], Iterator[Sample]], seed: int, *, everything: Callable[[], Iterator[Sample]] | None = None
) -> Iterator[Sample]:
    """The samples, each with the images of another group; one group's samples are shown the same ones.

    samples: called twice. everything: where images are looked for if the samples have only one.
    Raises DataError where there is no other image.
    """
    others = _drawn(samples(), random.Random(seed))
    if len(others) < 2 and everything:
        others = _drawn(_of_first_groups(everything(), MOST_OTHERS), random.Random(seed))
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


def _of_first_groups(samples: Iterator[Sample], most: int) -> Iterator[Sample]:
    groups: set[str] = set()
    for sample in samples:
        groups.add(sample.group)
        if len(groups) > most:
            return
        yield sample


def _other(sample: Sample, others: _Others, seed: int) -> tuple[ImageSource, ...]:
    usable = [images for group, images in others.items() if group != sample.group and images != sample.images]
    if not usable:
        raise DataError(f"{sample.where}: no other image is there to show; expected two at least")
    images = random.Random(f"{seed}/{sample.group}").choice(usable)
    # As many as the question is about.
    return tuple(images[number % len(images)] for number in range(len(sample.images)))
