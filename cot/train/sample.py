"""What a generator makes: an image, what each patch of it shows, and questions with their programs."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cot.task import Fact as Fact
from cot.train.wording import Wording

IMAGE_PIXELS: Final = 160
"""Side of the square images that are drawn."""
INPUT_PIXELS: Final = 224
"""Side to which the embedded model's processor resizes what it is shown: more than is drawn, since what is small
in its patches is counted wrong (docs/log.md)."""
PATCH_PIXELS: Final = 16
"""Side of a patch of that."""
GRID: Final = INPUT_PIXELS // PATCH_PIXELS


@dataclass(frozen=True)
class QA:
    """A question, its true answer, and the ground-truth program: facts, and how they combine.

    family: the kind of question, for example `count` or `sum`.
    expression: over the facts, as plans write it (`#1 + #2`).
    wording: in which of the ways it is worded.
    """

    family: str
    question: str
    answer: str
    facts: tuple[Fact, ...]
    expression: str = "#1"
    wording: Wording = "trained"

    @property
    def plan(self) -> str:
        """The program in the format of plans."""
        lines = [f"{number}. [{fact.wants}] {fact.text}" for number, fact in enumerate(self.facts, 1)]
        return "\n".join([*lines, f"answer: {self.expression}"])


Maker = Callable[[], QA | None]
"""Makes a question about a sample; None where the one it drew makes no sense there."""


@dataclass(frozen=True)
class Dense:
    """What the patches of an image show, each (GRID, GRID) or (GRID, GRID, values).

    classes: index into `labels.CLASSES` of the thing that covers most of a patch; 0 is background.
    objects: which object covers it, numbered from 1 within the image; 0 on all that is no object.
    offsets: from the middle of a patch to the middle of the thing that covers it, right and down, in patches;
    the thing's size, log2 of its side in patches; where its middle lies, from the middle of the image, in patches.
    0 on background.
    facets: what `labels.FACETS` tells, in its order.
    Where `classes` and `facets` are -100, nothing is known.
    """

    classes: NDArray[np.int64]
    objects: NDArray[np.int64]
    offsets: NDArray[np.float32]
    facets: NDArray[np.int64]


class Seen(NamedTuple):
    """What an image shows of something that has a name.

    number: of such things. x, y, side: middle and size of the only one, pixels. tens, units: of the value of the
    bar so labelled. objects: bit `n` is set for each object `n` of `Dense.objects` that has this name. -100 where there
    is none.
    """

    number: int = -100
    x: int = -100
    y: int = -100
    side: int = -100
    tens: int = -100
    units: int = -100
    objects: int = -100


Look = Callable[[str], Seen]
"""What an image shows of a name."""


@dataclass
class Sample:
    """One image with everything that is known about it.

    image: RGB, `IMAGE_PIXELS` squared.
    dense: what each patch of it shows.
    extra: sub-questions that abstain ("unknown"); they are trained and scored as facts only.
    look: what it shows of a name that a question may mention.
    """

    domain: str
    image: Image.Image
    dense: Dense
    qas: list[QA] = field(default_factory=list)
    extra: list[Fact] = field(default_factory=list)
    style: str = ""
    look: Look = lambda _: Seen()

    def ask(self, makers: Sequence[tuple[Maker, float]], rng: random.Random, *, questions: int) -> None:
        """Draw up to `questions` distinct questions from weighted makers; twice as many draws may fail."""
        weights = [weight for _, weight in makers]
        for maker in rng.choices([maker for maker, _ in makers], weights, k=2 * questions):
            qa = maker()
            if qa is not None and all(qa.question != other.question for other in self.qas):
                self.qas.append(qa)
            if len(self.qas) == questions:
                break
