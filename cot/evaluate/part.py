"""What a task came to under a strategy: in all, and by category.

Frozen data for `summary.json`; `running.py` adds it up.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cot.evaluate.steps import StepFigures
from cot.metric import Figures

IntervalMethod = Literal["wilson", "clustered_bootstrap"]


class CategoryScore(BaseModel):
    """The samples of one category, for example a family of questions."""

    model_config = ConfigDict(frozen=True)

    category: str
    n: int
    scored: int
    score: float | None
    """In [0, 1]; None if nothing was scored."""
    interval: tuple[float, float] | None
    """95%; None if nothing was scored, or a bootstrap had but one image to draw."""
    tokens: int = 0
    """Of prompts and answers, over all `n`."""


class GroupScore(BaseModel):
    """Groups of samples that count together: the share in which every sample is correct."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    n: int
    """Groups in all."""
    scored: int
    """Those in which no sample errored."""
    right: int
    """Those in which every sample is correct."""
    score: Annotated[float, Field(ge=0, le=1)] | None
    """right / scored, in [0, 1]; None if nothing was scored."""
    interval: tuple[float, float] | None
    """95%; None if nothing was scored, or a bootstrap had but one image to draw."""
    interval_method: IntervalMethod | None
    """`wilson` where no two groups share an image, else `clustered_bootstrap`, with groups that do as clusters."""


class Part(BaseModel):
    """A task under a strategy."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    task: str
    strategy: str
    metric: str
    n: int
    """Samples in all; `scored` of them are in the score."""
    scored: int
    score: Annotated[float, Field(ge=0, le=1)] | None
    """In [0, 1]; None if nothing was scored."""
    interval: tuple[float, float] | None
    """95%; None if nothing was scored, or a bootstrap had but one image to draw."""
    interval_method: IntervalMethod | None
    """`wilson` where each score is 0 or 1, else `clustered_bootstrap`, with images as clusters."""
    images: int
    counts: dict[str, int]
    """Samples by status: correct, partial, wrong, unparsed, errored."""
    stopped: dict[str, int] = {}
    """Of the unparsed ones, those that had no answer yet when a budget ran out, by budget: seconds, tokens, steps."""
    mean_confidence: float | None
    """Over the answers that have one, so not over unparsed samples; None where the engine gives none."""
    calibration_error: float | None = None
    """Expected calibration error of the confidence, in [0, 1], over the answers that were correct or wrong; None where
    an answer is partly right, or the engine gives no confidence."""
    risk_coverage_area: float | None = None
    """Of the same answers: mean share of wrong ones among the surest, over all coverages; lower is better."""
    steps: StepFigures | None = None
    """How plans and sub-answers went; None where nothing was planned."""
    judged: dict[str, int] | None = None
    """Where a judge scores: answers by what it said: judged, unsure, unparsed, errored. Only the first are scored."""
    judge_usage: dict[str, int] | None = None
    """What judging took beside `usage`: sums over samples."""
    usage: dict[str, int]
    """Sums over samples."""
    seconds: float
    """Sum over samples of their wall clock; samples run at the same time."""
    figures: dict[str, Figures] | None = None
    """What the metric's own aggregate says, where it has one, by category."""
    group_scores: tuple[GroupScore, ...] = ()
    """Of samples that count together, where the task names such scores."""
    categories: tuple[CategoryScore, ...] = ()
    """By name; empty if the task has none, or one only."""
    note: str = ""

    @property
    def failed(self) -> int:
        """Errored samples that `--retry-errors` does again: not those that the judge gave no verdict on."""
        judged = self.judged or {}
        return self.counts["errored"] - judged.get("unsure", 0) - judged.get("unparsed", 0)

    @property
    def tokens(self) -> int:
        """Of prompts and answers, over all samples."""
        return self.usage.get("prompt_tokens", 0) + self.usage.get("completion_tokens", 0)
