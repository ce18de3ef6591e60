"""Fits strategies and confidences to how samples went that were asked in every way.

In: answers, each with its confidence and whether it is right. Out: a `Calibration`: the tuning that was fitted to half
of the images, and what it does on the other half. Pure functions; `calibration` asks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from cot.errors import DataError
from cot.planner.calibrate import MAX_COST, Pair, Routed, fit_keep, routed
from cot.planner.scale import MIN_ANSWERS, UNCHANGED, fit_scale, likeliest_scale, misfit
from cot.planner.tuning import Tuning
from cot.stats import calibration_error
from cot.step import Source

PLAN_SHARES: Final = (0.25, 0.5, 0.75, 1.0)
"""Of a plan's probability in the confidence of an answer, that are tried beside none."""
_CLEARLY: Final = 3.841
"""The 95% quantile of chi-squared with one degree of freedom."""


@dataclass(frozen=True)
class Answer:
    """How one sample went. source and confidence: before calibration. tokens: prompt and generated.

    planned: probability of the plan that it follows, which is not in the confidence yet.
    """

    source: Source
    confidence: float
    right: bool
    tokens: int
    planned: float = 1.0

    def sure(self, tuning: Tuning) -> float:
        """Its confidence, with as much of the plan's as the tuning says."""
        return self.confidence * self.planned**tuning.plan_share if self.source == "steps" else self.confidence


@dataclass(frozen=True)
class Asked:
    """One sample, asked in every way. votes: by temperature. fitted: whether it is of the half that is fitted to.

    image: a number for each image; by it that half is halved again, so that one part can tell what fits the other.
    """

    fitted: bool
    direct: Answer
    steps: Answer
    votes: dict[float, Answer]
    image: int = 0


@dataclass(frozen=True)
class Honesty:
    """Confidences of one source. before, after: expected calibration error on `n` answers that were not fitted to.

    fitted: answers that were; with too few of them confidences stay as they are. kept: why they stay; empty if not.
    """

    source: Source
    fitted: int
    n: int
    before: float
    after: float
    kept: str = ""


@dataclass(frozen=True)
class Calibration:
    """What was found. route: on the half that was not fitted to. left_out: samples that failed, in no figure,
    and with what the first of them did."""

    tuning: Tuning
    honesty: tuple[Honesty, ...]
    route: Routed
    n: int
    left_out: int
    failure: str = ""


def fit(
    asked: Sequence[Asked], tuning: Tuning, *, max_cost: float = MAX_COST, failures: Sequence[str] = ()
) -> Calibration:
    """Fit to one half, and say what it comes to on the other. Raises DataError for too few samples."""
    half, others = [one for one in asked if one.fitted], [one for one in asked if not one.fitted]
    check_enough([one.fitted for one in asked])
    if half[0].votes:
        right = {t: sum(one.votes[t].right for one in half) for t in half[0].votes}
        tuning = tuning.model_copy(update={"temperature": max(right, key=lambda t: right[t])})
    honesty = []
    for source in get_args(Source)[:3]:
        fitted = _answers(half, source, tuning.temperature)
        kept = f"fewer than {MIN_ANSWERS} answers to fit to"
        if len(fitted) >= MIN_ANSWERS:
            tuning, kept = _scaled(half, source, tuning)
        if checked := _answers(others, source, tuning.temperature):
            before, right_ones = [a.confidence for a in checked], [a.right for a in checked]
            after = [tuning.calibrated(a.sure(tuning), source) for a in checked]
            errors = calibration_error(before, right_ones), calibration_error(after, right_ones)
            honesty.append(Honesty(source, len(fitted), len(checked), *errors, kept))
    if not honesty:
        raise DataError("the engine gives no probabilities; expected them, since there is nothing else to calibrate")
    tuning = fit_keep([_pair(one, tuning) for one in half], tuning, max_cost=max_cost)
    route = routed([_pair(one, tuning) for one in others], tuning)
    return Calibration(tuning, tuple(honesty), route, len(asked), len(failures), next(iter(failures), ""))


def check_enough(fitted: Sequence[bool]) -> None:
    """Raises DataError for too few samples. fitted: of each, whether it is fitted to."""
    half = sum(fitted)
    if min(half, len(fitted) - half) < MIN_ANSWERS:
        raise DataError(
            f"got {half} samples to fit to and {len(fitted) - half} to check on; expected at least {MIN_ANSWERS} of"
            f" each, with half of the images in each; raise --limit to {3 * MIN_ANSWERS} or more, or name more data"
        )


def _scaled(half: Sequence[Asked], source: Source, tuning: Tuning) -> tuple[Tuning, str]:
    """The tuning with the scale of a source, and why it has none. Of plans, as much is taken as makes the answers
    likeliest, and nothing where that does not hold."""
    shares = (_plan_share(_answers(half, source, tuning.temperature)), 0.0) if source == "steps" else (0.0,)
    kept = ""
    for share in dict.fromkeys(shares):
        tuning = tuning.model_copy(update={"plan_share": share} if source == "steps" else {})
        (slope, shift), kept = _scale(half, source, tuning)
        if not kept:
            scale = {f"{source}_slope": round(slope, 4), f"{source}_shift": round(shift, 4)}
            return tuning.model_copy(update=scale), ""
    return tuning, kept


def _plan_share(fitted: Sequence[Answer]) -> float:
    """The share of a plan's probability with which the answers are clearly likelier than without: a likelihood-ratio
    test, at 5%. 0 if there is none."""
    right = [answer.right for answer in fitted]
    misfits = {
        share: misfit([a.sure(Tuning(plan_share=share)) for a in fitted], right, "steps")
        for share in (0.0, *PLAN_SHARES)
    }
    best = min(misfits, key=lambda share: misfits[share])
    return best if 2 * (misfits[0.0] - misfits[best]) > _CLEARLY else 0.0


def _scale(half: Sequence[Asked], source: Source, tuning: Tuning) -> tuple[tuple[float, float], str]:
    """The scale of a source, and why it is none. It must be clearly likelier than none, and what fits one part of the
    images must lower the error on the other part, and the other way round."""
    fitted = _answers(half, source, tuning.temperature)
    # That a share of plans makes the answers clearly likelier is known; then any scale may go with it.
    scale = likeliest_scale if source == "steps" and tuning.plan_share else fit_scale
    found = scale([a.sure(tuning) for a in fitted], [a.right for a in fitted], source)
    if found == UNCHANGED:
        return UNCHANGED, "no scale is clearly likelier than none"
    numbers = {image: number for number, image in enumerate(dict.fromkeys(one.image for one in half))}
    parts = [
        _answers([one for one in half if numbers[one.image] % 2 == part], source, tuning.temperature) for part in (0, 1)
    ]
    if min(map(len, parts)) < MIN_ANSWERS // 2:
        return UNCHANGED, "too few images to tell whether a scale holds"
    if all(_lowers(parts[one], parts[1 - one], source, tuning) for one in (0, 1)):
        return found, ""
    return UNCHANGED, "a scale does not lower the error on images that it was not fitted to"


def _lowers(fitted: Sequence[Answer], checked: Sequence[Answer], source: Source, tuning: Tuning) -> bool:
    slope, shift = likeliest_scale([a.sure(tuning) for a in fitted], [a.right for a in fitted], source)
    scaled = tuning.model_copy(update={f"{source}_slope": slope, f"{source}_shift": shift})
    before, right = [a.confidence for a in checked], [a.right for a in checked]
    after = [scaled.calibrated(a.sure(tuning), source) for a in checked]
    return calibration_error(after, right) < calibration_error(before, right)


def _answers(asked: Iterable[Asked], source: Source, temperature: float) -> list[Answer]:
    """Answers whose confidence is of this source. 0 is no confidence: there is no answer, or no probability."""
    if source == "vote":
        found = [answer for one in asked if (answer := one.votes.get(temperature))]
    else:
        found = [one.direct if source == "direct" else one.steps for one in asked]
    return [answer for answer in found if answer.source == source and answer.confidence]


def _pair(asked: Asked, tuning: Tuning) -> Pair:
    """As `route` sees it, which neither asks one fact alone nor asks directly again: both cost as the direct answer."""
    direct, steps = asked.direct, asked.steps
    followed = steps.source != "direct"
    return Pair(
        direct.confidence, direct.right, direct.tokens, steps.sure(tuning) if followed else 0.0, steps.right,
        steps.tokens if followed else max(0, steps.tokens - direct.tokens),
    )  # fmt: skip
