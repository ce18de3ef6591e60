"""Scores what the planner answered against the ground-truth programs.

In: a case and its outcome. Out: a `Result`; and tables of results.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from cot.answer import show_value
from cot.evaluate.steps import normalise, score_steps
from cot.planner.direct import FALL_BACK
from cot.planner.run import Outcome
from cot.stats import paired_difference, wilson
from cot.step import Reasoning
from cot.train.sample import QA
from cot.train.wording import Wording
from evals.heldout import Case

STATUSES: Final = ("correct", "wrong", "unknown", "unparsed", "errored")
"""What a question can come to; `unknown`: the model abstained, or a budget ran out before an answer."""

Fault = Literal["plan", "sub-answer", "operation"]
"""The first thing that goes wrong: other sub-questions than are needed, a wrong answer to one, or right answers that
are put together wrong."""


@dataclass(frozen=True)
class Result:
    """How one question went.

    status: one of `STATUSES`. facts: how many sub-questions the program has. planned: whether exactly these were asked;
    None for `direct`, which plans nothing. steps_right, steps: sub-answers that agree with the program, of those that
    it knows.
    faithful: whether the answer is what the sub-answers give; None where nothing was computed.
    """

    image_id: str
    family: str
    wording: Wording
    status: str
    confidence: float
    planned: bool | None = None
    steps_right: int = 0
    steps: int = 0
    faithful: bool | None = None
    fell_back: bool = False
    facts: int = 1

    @property
    def lost_to(self) -> Fault | None:
        """What kept an answer by steps from being right; None where it is, or nothing was planned."""
        if self.status == "correct" or self.planned is None:
            return None
        if not self.planned:
            return "plan"
        # A description is the one sub-answer that is not known word for word.
        return "operation" if self.steps and self.steps_right == self.steps else "sub-answer"


def score(case: Case, outcome: Outcome, strategy: str) -> Result:
    """Compare what a strategy came to with the truth."""
    qa = case.qa
    if outcome.stop_reason == "error":
        status = "errored"
    elif outcome.stop_reason == "unparsed":
        status = "unparsed"
    elif outcome.answer.value is None:
        status = "unknown"
    else:
        status = "correct" if normalise(show_value(outcome.answer.value)) == normalise(qa.answer) else "wrong"
    base = Result(case.image_id, qa.family, qa.wording, status, outcome.answer.confidence, facts=len(qa.facts))
    return base if strategy == "direct" else _with_steps(base, qa, outcome)


def _with_steps(base: Result, qa: QA, outcome: Outcome) -> Result:
    steps = score_steps(outcome, qa.facts)
    if steps is None:
        return base
    fell_back = any(isinstance(s, Reasoning) and s.text.startswith(FALL_BACK) for s in outcome.steps)
    return replace(
        base, planned=steps.planned, steps_right=steps.right, steps=steps.known, faithful=steps.faithful,
        fell_back=fell_back,
    )  # fmt: skip


def table(results: Iterable[Result], *, by: Callable[[Result], str]) -> dict[str, dict[str, Any]]:
    """Scores by group: n, accuracy with its 95% interval, counts, and what is known of the steps.

    What errored counts in n, and as neither right nor lost. The accuracy of a group of nothing else is None.
    """
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[by(result)].append(result)
    return {name: _summary(group) for name, group in sorted(groups.items())}


def _summary(group: list[Result]) -> dict[str, Any]:
    counts = {s: sum(r.status == s for r in group) for s in STATUSES}
    asked = [r for r in group if r.status != "errored"]
    row: dict[str, Any] = {
        "n": len(group),
        "accuracy": round(counts["correct"] / len(asked), 4) if asked else None,
        "interval": [round(bound, 4) for bound in wilson(counts["correct"], len(asked))] if asked else None,
        "counts": counts,
    }
    if planned := [r.planned for r in group if r.planned is not None]:
        row["plan_accuracy"] = round(sum(planned) / len(planned), 4)
        row["fell_back"] = sum(r.fell_back for r in group)
        row["lost_to"] = {fault: sum(r.lost_to == fault for r in asked) for fault in get_args(Fault)}
    if steps := sum(r.steps for r in group):
        row["step_accuracy"] = round(sum(r.steps_right for r in group) / steps, 4)
    if faithful := [r.faithful for r in group if r.faithful is not None]:
        row["faithfulness"] = round(sum(faithful) / len(faithful), 4)
    return row


def gain(before: list[Result], after: list[Result]) -> dict[str, Any]:
    """Paired difference of accuracy, after minus before, with its 95% interval clustered by image, over the questions
    that errored in neither; None if there are none."""
    asked = [pair for pair in zip(before, after, strict=True) if all(result.status != "errored" for result in pair)]
    if not asked:
        return {"n": 0, "difference": None, "interval": None}
    old, new = ([float(pair[side].status == "correct") for pair in asked] for side in (0, 1))
    found = paired_difference(old, new, [result.image_id for result, _ in asked])
    return {
        "n": found.n,
        "difference": round(found.mean, 4),
        "interval": [round(bound, 4) for bound in found.interval] if found.interval else None,
    }
