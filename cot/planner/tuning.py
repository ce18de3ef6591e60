"""Numbers that strategies go by, and what makes confidences honest.

In: nothing, or numbers that `cot.planner.calibrate` fitted to a model. Out: a `Tuning`, whose defaults are guesses
for a model that nobody has measured and leave confidences as they are. `calibration_file` keeps it.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from cot.step import Source

MAX_LOGIT: Final = 16.0
"""Log-odds beyond it, which no set of samples can tell apart, count as this."""

MAX_VOTE_LOGIT: Final = 3.0
"""The same for votes: a handful that all say the same is no certainty, and must not outweigh all the others."""

Slope = Annotated[float, Field(ge=0, le=100)]
Shift = Annotated[float, Field(ge=-100, le=100)]


class Tuning(BaseModel):
    """What a strategy may be tuned by."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keep: Annotated[float, Field(ge=0, le=1)] = 0.5
    """`route` keeps a direct answer of at least this confidence, and asks for no plan; 0 plans where there is none.
    This one confidence is that before calibration."""
    samples: Annotated[int, Field(ge=1, le=64)] = 8
    """`vote` draws at most so many, beside the direct answer; so many plans are drawn where the first is not valid."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.7
    """Both are drawn with it."""
    rounds: Annotated[int, Field(ge=1, le=4)] = 2
    """Rounds of sub-questions, the plan's own among them; later ones ask for what is still unknown."""
    plan_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much of the plan's probability is in the confidence of a computed answer: its exponent. 0 leaves it out: a
    model that may write the same plan in many ways gives little to each."""
    direct_slope: Slope = 1.0
    """What the log-odds of a direct answer's confidence are multiplied by; 1 leaves them."""
    direct_shift: Shift = 0.0
    """What is added to them; 0 leaves them."""
    steps_slope: Slope = 1.0
    """The same for the product over facts, and the plan."""
    steps_shift: Shift = 0.0
    vote_slope: Slope = 1.0
    """The same for the share of votes."""
    vote_shift: Shift = 0.0

    def calibrated(self, confidence: float, source: Source) -> float:
        """The probability, in [0, 1], that an answer of this confidence is right.

        Platt (1999), scaling of the log-odds: 1 / (1 + exp(-(slope * logit(confidence) + shift))). 0, which an engine
        without probabilities gives, and confidences of other sources stay as they are.
        """
        if source == "other" or not confidence:
            return confidence
        slope, shift = getattr(self, f"{source}_slope"), getattr(self, f"{source}_shift")
        if (slope, shift) == (1.0, 0.0):
            return confidence
        return 1 / (1 + math.exp(-_bounded(slope * log_odds(confidence, source) + shift)))

    @classmethod
    def recorded(cls, settings: Mapping[str, Any]) -> "Tuning":
        """The tuning among the settings of a trace, as `recordable` has it; what is not there has its default.

        Raises ValueError for an unknown name, or a number out of range.
        """
        return cls.model_validate(
            {key.removeprefix(_RECORDED): value for key, value in settings.items() if key.startswith(_RECORDED)}
        )

    @property
    def recordable(self) -> dict[str, float | int]:
        """All numbers by name, as traces keep them."""
        return {f"{_RECORDED}{name}": value for name, value in self}


_RECORDED: Final = "tuning: "


def log_odds(confidence: float, source: Source) -> float:
    """Natural log-odds of a confidence, within what its source can tell apart."""
    most = MAX_VOTE_LOGIT if source == "vote" else MAX_LOGIT
    return max(-most, min(most, logit(confidence)))


def logit(probability: float) -> float:
    """Natural log-odds, from -`MAX_LOGIT` to `MAX_LOGIT`."""
    if not 0 < probability < 1:
        return MAX_LOGIT if probability else -MAX_LOGIT
    return _bounded(math.log(probability) - math.log1p(-probability))


def _bounded(log_odds: float) -> float:
    return max(-MAX_LOGIT, min(MAX_LOGIT, log_odds))
