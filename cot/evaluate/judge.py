"""A model as judge: it is shown the question, the ground truths and an answer, and says what the answer is worth.

In: an engine, a template of `prompts/`, an answer. Out: a score, and what the judge said. A judge that is unsure, says
something else or fails gives no score; that is never the answer's fault, so that it counts as errored, not as wrong.
The judge sees no image.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from cot.engine.base import Choices, Constraint, Engine, Regex
from cot.errors import CotError, TaskError, TraceError
from cot.metric import SCORE_PATTERN, VERDICTS, Score, errored, read_score, read_verdict, scored
from cot.planner.asked import Asked
from cot.planner.budget import Budget, ChainStopped
from cot.planner.chain import Chain
from cot.planner.wording import Wording
from cot.prompt import load_template
from cot.question import Question
from cot.trace.event import JUDGE_STEP, Call, Note, RunFinished, RunStarted, StepTaken
from cot.trace.record import Recorder

INPUTS: Final = ("question", "answer", "targets", "options", "choices")
"""What a judge's template may take: `targets` are the ground truths, `options` those of the question, `choices` the
verdicts."""

_Reads = Callable[[str], str | float]
_SCALES: Final[dict[str, tuple[Constraint, _Reads]]] = {
    "choice": (Choices(VERDICTS, lettered=False), read_verdict),
    "number": (Regex(SCORE_PATTERN), read_score),
}
"""By the template's `output`: what the judge is held to, and how its text is read."""


class Judged(BaseModel):
    """What the judge said of one answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    status: Literal["judged", "unsure", "unparsed", "errored"]
    """`unparsed`: it said something else. `errored`: it said nothing, because asking failed."""
    verdict: str | float | None = None
    """A verdict or a score, as it was read."""
    raw: str = ""
    """The judge's own text."""
    problem: str | None = None
    """Why there is no verdict."""
    confidence: float = 0.0
    """Probability of the text, in [0, 1]; 0 where the engine gives none."""
    usage: dict[str, int] = {}
    """Tokens and calls of the judge alone."""


@dataclass(frozen=True)
class Judge:
    """An engine that judges, and what it is asked with. template: its name. budget: for each answer."""

    engine: Engine
    template: str
    language: str = "en"
    budget: Budget = dataclasses.field(default_factory=Budget)
    seed: int = 0

    async def __call__(
        self, question: Question, targets: tuple[str, ...], answer: str, recorder: Recorder | None
    ) -> tuple[Score, Judged]:
        """Ask for a verdict on an answer. recorder: where the call is kept. Raises TraceError."""
        chain = Chain(
            question, self.engine, self.budget, seed=self.seed, wording=Wording(self.language), recorder=recorder
        )  # fmt: skip
        try:
            judged = await self._ask(chain, question, targets, answer)
        except TraceError:
            raise
        except (ChainStopped, CotError) as error:
            judged = Judged(status="errored", problem=str(error))
        return _score(judged), judged.model_copy(update={"usage": dataclasses.asdict(chain.usage)})

    async def _ask(self, chain: Chain, question: Question, targets: tuple[str, ...], answer: str) -> Judged:
        matter = load_template(self.template, language=self.language).matter
        constraint, reads = _SCALES[str(matter.output)]
        given: dict[str, Any] = {
            "question": question.text, "answer": answer, "targets": targets, "options": question.choices,
            "choices": VERDICTS,
        }  # fmt: skip
        asked: Asked[str | float] = await chain.ask(
            self.template,
            {name: given[name] for name in matter.inputs},
            reads,
            step=JUDGE_STEP,
            constraint=constraint,
            with_images=False,
        )
        status: Literal["judged", "unsure", "unparsed"] = "judged"
        if asked.problem is not None:
            status = "unparsed"
        elif asked.value == "unsure":
            status = "unsure"
        return Judged(
            status=status, verdict=asked.value, raw=asked.raw, problem=asked.problem, confidence=asked.confidence
        )


class JudgedRecorder(Recorder):
    """Keeps the end of a trace back until it is closed, so that what the judge was asked stands before it."""

    _end: RunFinished | None = None

    def record(self, event: RunStarted | Call | StepTaken | Note | RunFinished) -> None:
        """Append one event. Notes about the judge's call are not the answer's, and are left out."""
        if isinstance(event, RunFinished):
            self._end = event
        elif self._end is None or not isinstance(event, Note):
            super().record(event)

    def close(self) -> None:
        """Write the end, and close the file."""
        if self._end:
            super().record(self._end)
        super().close()


def check_template(name: str, language: str) -> str:
    """The hash of a judge's template. Raises PromptError if there is none, and TaskError if it cannot judge."""
    template = load_template(name, language=language)
    matter = template.matter
    if matter.output not in _SCALES:
        raise TaskError(
            f"the template {name} has the output {str(matter.output)[:40]}; expected {' or '.join(_SCALES)} of a judge"
        )
    if "answer" not in matter.inputs or (unknown := sorted(set(matter.inputs) - set(INPUTS))):
        wrong = "no input answer" if "answer" not in matter.inputs else f"the input {unknown[0]}"
        raise TaskError(f"the template {name} has {wrong}; expected of a judge: {', '.join(INPUTS)}")
    return template.sha256


def _score(judged: Judged) -> Score:
    match judged.status:
        case "judged":
            value = judged.verdict if isinstance(judged.verdict, float) else float(judged.verdict == "correct")
            return scored(value, "", f"the judge says {judged.verdict}")
        case "unsure":
            return errored("the judge is unsure")
        case "unparsed":
            return errored(f"the judge's reply is no verdict: {judged.problem}")
        case "errored":
            return errored(f"the judge failed: {judged.problem}")
