"""What defines a training run of the embedded model."""

import math
from dataclasses import dataclass

from cot.errors import UsageError
from cot.train.model import SIZES


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run.

    vision_minutes, look_up_minutes and minutes: time to spend on patch labels, then, with the vision tower held still,
    on finding what a name refers to, and then on questions and patch labels together.
    learning_rate: peak; cosine decay, but for the look-up.
    tower_share: rate of the vision tower while questions are trained, as a share of learning_rate: less than 1 where it
    has learned longer than the decoder.
    read_out_steps: in a run that starts from a finished checkpoint, steps in which nothing but the read-outs learns.
    max_text_tokens: of the turns of an image in the training on questions.
    compile: torch.compile both towers (CPU: 1.6x faster after 1-2 minutes).
    Raises UsageError for an unknown size, and for a time or rate that is negative or not finite.
    """

    size: str = "embedded"
    minutes: float = 90.0
    vision_minutes: float = 150.0
    look_up_minutes: float = 4.0
    read_out_steps: int = 150
    batch: int = 16
    learning_rate: float = 1e-3
    tower_share: float = 0.5
    weight_decay: float = 0.05
    max_text_tokens: int = 480
    workers: int = 2
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UsageError(f"unknown size {self.size!r}; known: {', '.join(SIZES)}")
        for name in ("minutes", "vision_minutes", "look_up_minutes", "learning_rate", "tower_share"):
            if not 0 <= getattr(self, name) < math.inf:
                option = name.replace("_", "-")
                raise UsageError(f"got --{option} {getattr(self, name)}; expected a number of at least 0, and finite")
