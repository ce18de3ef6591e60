"""One message and what came of it.

In: what a run of the planner gave, or how far it got. Out: a frozen `Turn`, which is saved, exported and shown.
A message never stands alone: whatever stops its answer, the turn says so.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from cot.step import FinalAnswer, Step, StopReason
from cot.trace.event import TracedImage


class Turn(BaseModel):
    """A message, its images, and its answer as far as there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    question: str
    """As it went to the planner."""
    images: tuple[TracedImage, ...]
    """All that were shown to the model, in order."""
    attached: tuple[str, ...] = ()
    """SHA-256 of those that came with the message, and go with it when it is taken back."""
    strategy: str
    model: dict[str, str | None] = {}
    """Name, revision, number format, quantisation and device."""
    steps: tuple[Step, ...] = ()
    answer: FinalAnswer | None = None
    stop_reason: StopReason = "cancelled"
    """Why it ended; `cancelled`: interrupted, or the process was killed."""
    notes: tuple[str, ...] = ()
    """What a person should know; the last one tells why it stopped, unless it was answered."""
    usage: dict[str, int] = {}
    """Tokens and calls by name."""
    seconds: float = 0.0
    """Wall clock, loading the model not counted."""
    trace: str | None = None
    """File of the trace."""
    understood: str = ""
    """The question as it was asked, where it was put into other words since it follows another one."""
    summary: str = ""
    """What was said in the first `summarised` turns, where that was too long to be told whole."""
    summarised: int = 0
    """How many turns before it the summary stands for."""
    longest_tokens: int = 0
    """Of the longest prompt with its answer."""
    context_tokens: int = 0
    """The longest prompt plus answer that the model takes; 0 if unknown."""

    @property
    def answered(self) -> bool:
        """Whether there is an answer, be it the best so far."""
        if self.answer is None or self.answer.value is None:
            return False
        return self.stop_reason not in ("error", "unparsed", "cancelled")

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated, by wall clock over all steps."""
        return self.usage.get("completion_tokens", 0) / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints and `/export` writes; names as `cot ask --json` has them."""
        found = self.model_dump(mode="json")
        answer = self.answer
        return {
            "answer": answer.text if answer else None,
            "value": answer.value if answer else None,
            "confidence": answer.confidence if answer else None,
            **{name: found[name] for name in ("stop_reason", "strategy", "question", "images", "steps", "notes")},
            **{name: found[name] for name in ("usage", "seconds", "model", "trace")},
        }
