"""Fits strategies and confidences to a model, on samples that nothing else is measured on.

In: chosen samples and an engine. Out: a `Calibration`: the tuning that was fitted to half of the images, and what it
does on the other half. Every sample is asked directly, by steps and by votes.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

from cot.engine.base import Engine
from cot.errors import CotError, DataError, EngineError
from cot.evaluate.asking import Asking, score_outcome
from cot.evaluate.images import Images, image_opener
from cot.evaluate.select import Selection
from cot.metric import Metric
from cot.planner.calibrate import MAX_COST, Pair, Routed, fit_keep, routed
from cot.planner.run import Outcome, run
from cot.planner.scale import MIN_ANSWERS, UNCHANGED, fit_scale, likeliest_scale
from cot.planner.tuning import Tuning
from cot.planner.wording import Wording
from cot.question import Question
from cot.stats import calibration_error
from cot.step import Source
from cot.task import Sample

TEMPERATURES: Final = (0.7, 1.0)
"""Of the votes, that are tried; the first of those that are right most often is taken."""


@dataclass(frozen=True)
class Answer:
    """How one sample went. source and confidence: before calibration. tokens: prompt and generated."""

    source: Source
    confidence: float
    right: bool
    tokens: int


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
    """What was found. route: on the half that was not fitted to. left_out: samples that failed, in no figure."""

    tuning: Tuning
    honesty: tuple[Honesty, ...]
    route: Routed
    n: int
    left_out: int


class Watch:
    """Is told how far it is."""

    def asked(self, done: int, total: int) -> None:
        """So many samples are asked, of so many."""


async def calibrate(
    selections: Sequence[Selection],
    engine: Engine,
    asking: Asking,
    *,
    votes: bool = True,
    max_cost: float = MAX_COST,
    concurrency: int = 32,
    watch: Watch | None = None,
) -> Calibration:
    """Ask all samples, fit, and check. Images are fitted to and checked on in turn, so that no image is in both halves.

    asking: its tuning has what is not fitted, and no scales. votes: whether to fit `vote` too, which takes the longest.
    max_cost: tokens of `route` over those of `direct` at most.
    Raises DataError for too few samples, and EngineError if all of them failed.
    """
    asking = replace(asking, tuning=asking.tuning or Tuning())
    failures: list[str] = []
    asker = _Asker(
        engine, asking, image_opener(asking.image_limits, asking.ablation, asking.seed), TEMPERATURES if votes else ()
    )
    places = asyncio.Semaphore(concurrency)
    work = list(_numbered(selections))
    _check_enough([image % 2 == 0 for *_, image in work])
    done = 0

    async def ask(sample: Sample, metric: Metric, image: int) -> Asked | None:
        nonlocal done
        found = None
        async with places:
            try:
                found = await asker.every_way(sample, metric, image=image)
            except CotError as error:
                failures.append(str(error))
        done += 1
        if watch:
            watch.asked(done, len(work))
        return found

    asked = [found for found in await asyncio.gather(*(ask(*one) for one in work)) if found]
    if failures and not asked:
        raise EngineError(f"all {len(failures)} samples failed, the first with: {failures[0]}")
    return fit(asked, asking.tuning or Tuning(), max_cost=max_cost, left_out=len(failures))


def fit(asked: Sequence[Asked], tuning: Tuning, *, max_cost: float = MAX_COST, left_out: int = 0) -> Calibration:
    """Fit to one half, and say what it comes to on the other. Raises DataError for too few samples."""
    half, others = [one for one in asked if one.fitted], [one for one in asked if not one.fitted]
    _check_enough([one.fitted for one in asked])
    if half[0].votes:
        right = {t: sum(one.votes[t].right for one in half) for t in half[0].votes}
        tuning = tuning.model_copy(update={"temperature": max(right, key=lambda t: right[t])})
    honesty = []
    for source in get_args(Source)[:3]:
        fitted = _answers(half, source, tuning.temperature)
        kept = f"fewer than {MIN_ANSWERS} answers to fit to"
        if len(fitted) >= MIN_ANSWERS:
            (slope, shift), kept = _scale(half, source, tuning)
            scale = {f"{source}_slope": round(slope, 4), f"{source}_shift": round(shift, 4)}
            tuning = tuning.model_copy(update=scale)
        if checked := _answers(others, source, tuning.temperature):
            before, right_ones = [a.confidence for a in checked], [a.right for a in checked]
            after = [tuning.calibrated(confidence, source) for confidence in before]
            errors = calibration_error(before, right_ones), calibration_error(after, right_ones)
            honesty.append(Honesty(source, len(fitted), len(checked), *errors, kept))
    if not honesty:
        raise DataError("the engine gives no probabilities; expected them, since there is nothing else to calibrate")
    tuning = fit_keep([_pair(one) for one in half], tuning, max_cost=max_cost)
    return Calibration(tuning, tuple(honesty), routed([_pair(one) for one in others], tuning), len(asked), left_out)


def _check_enough(fitted: Sequence[bool]) -> None:
    """Raises DataError for too few samples. fitted: of each, whether it is fitted to."""
    half = sum(fitted)
    if min(half, len(fitted) - half) < MIN_ANSWERS:
        raise DataError(
            f"got {half} samples to fit to and {len(fitted) - half} to check on; expected at least {MIN_ANSWERS} of"
            f" each, with half of the images in each; raise --limit to {3 * MIN_ANSWERS} or more, or name more data"
        )


def _scale(half: Sequence[Asked], source: Source, tuning: Tuning) -> tuple[tuple[float, float], str]:
    """The scale of a source, and why it is none. It must be clearly likelier than none, and what fits one part of the
    images must lower the error on the other part, and the other way round."""
    fitted = _answers(half, source, tuning.temperature)
    found = fit_scale([a.confidence for a in fitted], [a.right for a in fitted], source)
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
    slope, shift = likeliest_scale([a.confidence for a in fitted], [a.right for a in fitted], source)
    scaled = tuning.model_copy(update={f"{source}_slope": slope, f"{source}_shift": shift})
    before, right = [a.confidence for a in checked], [a.right for a in checked]
    after = [scaled.calibrated(confidence, source) for confidence in before]
    return calibration_error(after, right) < calibration_error(before, right)


def _answers(asked: Iterable[Asked], source: Source, temperature: float) -> list[Answer]:
    """Answers whose confidence is of this source. 0 is no confidence: there is no answer, or no probability."""
    if source == "vote":
        found = [answer for one in asked if (answer := one.votes.get(temperature))]
    else:
        found = [one.direct if source == "direct" else one.steps for one in asked]
    return [answer for answer in found if answer.source == source and answer.confidence]


def _pair(asked: Asked) -> Pair:
    """As `route` sees it, which neither asks one fact alone nor asks directly again: both cost as the direct answer."""
    direct, steps = asked.direct, asked.steps
    followed = steps.source != "direct"
    return Pair(
        direct.confidence, direct.right, direct.tokens, steps.confidence if followed else 0.0, steps.right,
        steps.tokens if followed else max(0, steps.tokens - direct.tokens),
    )  # fmt: skip


def _numbered(selections: Iterable[Selection]) -> Iterator[tuple[Sample, Metric, int]]:
    """Each sample, its metric, and the number of its image, from 0: every other one is fitted to."""
    seen: dict[tuple[str, str], int] = {}
    for selection in selections:
        for sample in selection.samples():
            number = seen.setdefault((selection.identity.name, sample.group), len(seen))
            yield sample, selection.task.metric, number


@dataclass(frozen=True)
class _Asker:
    engine: Engine
    asking: Asking
    images: Images
    temperatures: tuple[float, ...]

    async def every_way(self, sample: Sample, metric: Metric, *, image: int) -> Asked:
        """The sample in every way. Raises CotError if one of them fails."""
        loaded = [await asyncio.to_thread(self.images, source) for source in sample.images]
        question = Question(sample.question, tuple(loaded), sample.target.choices)

        async def ask(strategy: str, tuning: Tuning) -> Answer:
            outcome = await run(
                strategy, question, self.engine, self.asking.budget, seed=self.asking.seed,
                wording=Wording(self.asking.language), tuning=tuning,
            )  # fmt: skip
            return _scored(outcome, metric, sample)

        tuning = self.asking.tuning or Tuning()
        direct, steps = await ask("direct", tuning), await ask("decompose", tuning)
        votes = {t: await ask("vote", tuning.model_copy(update={"temperature": t})) for t in self.temperatures}
        return Asked(image % 2 == 0, direct, steps, votes, image)


def _scored(outcome: Outcome, metric: Metric, sample: Sample) -> Answer:
    score = score_outcome(outcome, metric, sample)
    if score.status == "errored":
        raise EngineError(score.explanation)
    tokens = outcome.usage.prompt_tokens + outcome.usage.completion_tokens
    answer = outcome.answer
    return Answer(answer.source, answer.confidence, (score.value or 0.0) >= 0.5, max(1, tokens))
