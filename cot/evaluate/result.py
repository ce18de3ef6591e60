"""One sample's result: a line of `samples.jsonl`."""

import hashlib
import json
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cot.errors import DataError
from cot.evaluate.judge import Judged
from cot.evaluate.steps import StepScores
from cot.metric import Item, Score, Status, Target
from cot.task import MAX_GROUP_SCORES

Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[float, Field(ge=0, le=1e11)]
Amount = Annotated[int, Field(ge=0, le=2**40)]
"""Far more than a sample can take, and few enough that sums over millions of them fit."""


class SampleResult(BaseModel):
    """What one sample came to under one strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: str
    id: str
    group: str
    """What samples of one image share."""
    category: str = ""
    strategy: str
    question: str
    choices: tuple[str, ...] = ()
    answer: str | None
    """The answer as it was scored; None if there is none."""
    raw: str
    """The model's own text, or the expression that the answer was computed by."""
    targets: tuple[str, ...]
    """The ground truths."""
    in_groups: Annotated[dict[str, str], Field(max_length=MAX_GROUP_SCORES)] = {}
    """Names of the task's group scores, each with the group that it counts in."""
    score: Share | None
    """In [0, 1]; None if unparsed or errored."""
    status: Status
    explanation: str
    """Why it came to this."""
    confidence: Share
    """In [0, 1]; 0 where the engine gives none."""
    stop_reason: str
    notes: tuple[str, ...] = ()
    judge: Judged | None = None
    """What the judge said, where one scores."""
    steps: StepScores | None = None
    """How its steps went; None where nothing was planned."""
    usage: Annotated[dict[str, Amount], Field(max_length=100)] = {}
    """Tokens, calls and batches."""
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Wall clock of the chain, waiting for its turn included."""
    begun_at: Moment | None = None
    """When it was begun, in seconds since 1970, UTC; None where an earlier version made it."""
    ended_at: Moment | None = None
    """When the result was there."""
    trace: str | None = None
    """Folder of the trace, from the run folder; None if none was kept."""

    @model_validator(mode="after")
    def _check_score(self) -> Self:
        """Score and status must not contradict each other: what is missing is never a 0."""
        try:
            Score(self.score, self.status, "", "")
        except DataError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def key(self) -> bytes:
        """Eight bytes that tell it apart within a run."""
        return result_key(self.task, self.strategy, self.id)

    @property
    def failed(self) -> bool:
        """Whether something failed that may go well another time; a judge without a verdict has not failed."""
        return self.status == "errored" and (self.judge is None or self.judge.status == "errored")

    @property
    def ran_out(self) -> str:
        """The budget that ran out before there was an answer: seconds, tokens or steps; else empty."""
        kind, _, budget = self.stop_reason.partition("_")
        return budget if kind == "budget" and self.status == "unparsed" and self.answer is None else ""

    @property
    def has_confidence(self) -> bool:
        """Whether it is an answer that comes with one: not what only a metric found in a reply, nor what the engine
        gave no probabilities for."""
        return self.status not in ("unparsed", "errored") and self.stop_reason != "unparsed" and self.confidence > 0

    def item(self) -> Item:
        """As aggregates take it."""
        score = Score(self.score, self.status, self.answer or "", self.explanation)
        return Item(score, Target(self.targets, self.choices), self.group, self.category)

    def line(self) -> bytes:
        """As it stands in the file, with its line break."""
        return json.dumps(self.model_dump(mode="json"), allow_nan=False).encode("ascii") + b"\n"


def result_key(task: str, strategy: str, sample: str) -> bytes:
    """What tells a result apart within a run: kept for every sample, hence short."""
    # No name of a task or strategy has a zero in it.
    return hashlib.sha256(f"{task}\0{strategy}\0{sample}".encode()).digest()[:8]
