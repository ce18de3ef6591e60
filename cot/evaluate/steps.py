"""Scores the steps of a chain: was the plan valid and the right one, were its parts answered rightly, does the answer
follow from them.

In: an outcome, and the facts of the ground-truth program where there is one. Out: `StepScores`, and what many of
them come to. Whether the answer is right is not asked here.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cot.answer import match_choice, show_value
from cot.errors import PlanError
from cot.expression import evaluate
from cot.planner.direct import FALL_BACK
from cot.planner.plan import NOT_FOLLOWED, NOT_VALID, OPEN, Plan, parse_plan
from cot.planner.run import Outcome
from cot.step import FinalAnswer, Reasoning, SubAnswer, SubQuestion, ToolUse
from cot.task import Fact


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepScores(_Frozen):
    """How the steps of one sample went."""

    valid: bool
    """Whether the model's plan was one."""
    planned: bool | None
    """Whether exactly the needed sub-questions were asked; None where nobody knows them, or none was asked."""
    right: int = 0
    """Sub-answers that agree with the program,"""
    known: int = 0
    """of so many that it knows."""
    faithful: bool | None = None
    """Whether the answer is what the sub-answers give when it is computed again; None where it was not computed."""


class StepFigures(_Frozen):
    """What the steps of many samples come to. Shares are in [0, 1]; None where there is nothing to share."""

    plans: int
    """Samples in which the model was asked for a plan."""
    plan_validity: float
    """Share of plans that were plans."""
    plan_accuracy: float | None
    """Share of plans that asked exactly the needed sub-questions."""
    step_accuracy: float | None
    """Share of right sub-answers, of those that the program knows."""
    faithfulness: float | None
    """Share of computed answers that follow from the sub-answers."""


class StepTally:
    """Adds up `StepScores`."""

    def __init__(self) -> None:
        self._plans = self._valid = self._told = self._planned = 0
        self._known = self._right = self._computed = self._faithful = 0

    def add(self, scores: StepScores | None) -> None:
        """Take the scores of one sample; None where nothing was planned."""
        if scores is None:
            return
        self._plans += 1
        self._valid += scores.valid
        self._told += scores.planned is not None
        self._planned += bool(scores.planned)
        self._known += scores.known
        self._right += scores.right
        self._computed += scores.faithful is not None
        self._faithful += bool(scores.faithful)

    def figures(self) -> StepFigures | None:
        """What they come to; None if there was no plan."""
        if not self._plans:
            return None
        return StepFigures(
            plans=self._plans,
            plan_validity=self._valid / self._plans,
            plan_accuracy=_share(self._planned, self._told),
            step_accuracy=_share(self._right, self._known),
            faithfulness=_share(self._faithful, self._computed),
        )


def score_steps(outcome: Outcome, facts: Sequence[Fact] = (), choices: Sequence[str] = ()) -> StepScores | None:
    """Score the steps of an outcome; None if the model was not asked for a plan, or gave none because a call failed.
    The outcome is one of a strategy that plans: the steps of others are no plan.

    facts: those of the program; none where nobody knows it. choices: the question's.
    """
    said = [step.text for step in outcome.steps if isinstance(step, Reasoning)]
    asked = {question.text for question in _as_planned(outcome)}
    fell_back = any(text.startswith(FALL_BACK) for text in said)
    invalid = any(NOT_VALID in text for text in said)
    is_open = any(OPEN in text for text in said)
    followed = not any(reason in text for reason in NOT_FOLLOWED for text in said)
    if followed and not (asked or invalid or is_open):
        return None
    truth = {normalise(fact.asked): normalise(fact.answer) for fact in facts}
    answers = [step for step in outcome.steps if isinstance(step, SubAnswer) and normalise(step.asked) in truth]
    return StepScores(
        valid=not invalid,
        planned=_planned(facts, asked, is_open=is_open) if followed else None,
        right=sum(normalise(show_value(a.value)) == truth[normalise(a.asked)] for a in answers),
        known=len(answers),
        faithful=None if fell_back else _faithful(outcome, choices),
    )


def _as_planned(outcome: Outcome) -> tuple[SubQuestion, ...]:
    """The sub-questions of its plan. A later round words some of them anew under the same number; the first wording is
    what was planned."""
    first = {step.id: step for step in reversed(outcome.steps) if isinstance(step, SubQuestion)}
    return tuple(first.values())


def _planned(facts: Sequence[Fact], asked: set[str], *, is_open: bool) -> bool | None:
    """Whether the plan was the right one. is_open: it asked for a description, and no step is made of that."""
    if not facts:
        return None
    return {fact.wants for fact in facts} == {"text"} if is_open else asked == {fact.text for fact in facts}


def normalise(text: str) -> str:
    """Lower case, single blanks, no final full stop: sub-answers need no more."""
    return " ".join(text.lower().split()).rstrip(".")


def _faithful(outcome: Outcome, choices: Sequence[str]) -> bool | None:
    """Whether the answer is what the plan's expression gives over the sub-answers."""
    final = next((step for step in outcome.steps if isinstance(step, FinalAnswer)), None)
    # An answer that rests on no sub-answer is the direct one, which route and verify may let stand; one of another
    # source was decided by the model.
    if final is None or final.value is None or not final.supports or final.source == "other":
        return None
    computed = [step for step in outcome.steps if isinstance(step, ToolUse) and step.name == "calculate"]
    answers = {step.to: step.value for step in outcome.steps if isinstance(step, SubAnswer)}
    if computed:
        plan = _replan(outcome, str(computed[0].arguments["expression"]))
        if plan is None or plan.expression is None:
            return False
        try:
            expected = evaluate(plan.expression, answers)
        except PlanError:
            return False
    elif len(final.supports) == 1:
        expected = answers.get(final.supports[0])
    else:
        return None
    return final.value == (match_choice(expected, choices) if choices else expected)


def _replan(outcome: Outcome, expression: str) -> Plan | None:
    lines = {s.id: f"{s.id}. [{s.wants}] {s.text}" for s in outcome.steps if isinstance(s, SubQuestion)}
    try:
        return parse_plan("\n".join([*lines.values(), f"answer: {expression}"]))
    except PlanError:
        return None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
