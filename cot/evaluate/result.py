"""One sample's result: a line of `samples.jsonl`."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict

from cot.evaluate.steps import StepScores
from cot.metric import Item, Score, Status, Target


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
    score: float | None
    """In [0, 1]; None if unparsed or errored."""
    status: Status
    explanation: str
    """Why it came to this."""
    confidence: float
    """In [0, 1]; 0 where the engine gives none."""
    stop_reason: str
    notes: tuple[str, ...] = ()
    steps: StepScores | None = None
    """How its steps went; None where nothing was planned."""
    usage: dict[str, int] = {}
    """Tokens, calls and batches."""
    seconds: float = 0.0
    """Wall clock of the chain, waiting for its turn included."""
    trace: str | None = None
    """Folder of the trace, from the run folder; None if none was kept."""

    @property
    def key(self) -> bytes:
        """Eight bytes that tell it apart within a run."""
        return result_key(self.task, self.strategy, self.id)

    def item(self) -> Item:
        """As aggregates take it."""
        score = Score(self.score, self.status, self.answer or "", self.explanation)
        return Item(score, Target(self.targets, self.choices), self.group, self.category)

    def line(self) -> bytes:
        """As it stands in the file, with its line break."""
        return json.dumps(self.model_dump(mode="json"), allow_nan=False).encode("ascii") + b"\n"


def result_key(task: str, strategy: str, sample: str) -> bytes:
    """What tells a result apart within a run: kept for every sample, hence short."""
    return hashlib.sha256(json.dumps([task, strategy, sample]).encode()).digest()[:8]
