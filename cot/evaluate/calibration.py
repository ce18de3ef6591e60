"""Measures how sure a model should be, and when steps help it, on samples that nothing else is measured on.

In: chosen samples and an engine. Out: a `Calibration`. Every sample is asked directly, by steps and by votes.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cot.engine.base import Engine
from cot.errors import CotError, DataError, EngineError, reason
from cot.evaluate.asking import Asking, score_outcome, silent
from cot.evaluate.fitting import Answer, Asked, Calibration, check_enough, fit
from cot.evaluate.health import WatchedEngine
from cot.evaluate.images import Images, image_opener
from cot.evaluate.select import Selection
from cot.metric import Metric
from cot.planner.calibrate import MAX_COST, check_cost
from cot.planner.conclusion import product
from cot.planner.plan import grounds
from cot.planner.run import Outcome, run
from cot.planner.tuning import Tuning
from cot.planner.wording import Wording
from cot.question import Question
from cot.step import SubAnswer, SubQuestion
from cot.task import ImageSource, Sample

TEMPERATURES: Final = (0.7, 1.0)
"""Of the votes, that are tried; the first of those that are right most often is taken."""


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
    An engine that is gone is asked no more: what is left has failed.

    asking: its tuning has what is not fitted, no scales and no share of plans. votes: whether to fit `vote` too, which
    takes the longest.
    max_cost: tokens of `route` over those of `direct` at most, >= 1.
    Raises DataError for too few samples or too low a cost, and EngineError if so many failed that too few are left.
    """
    asking = replace(asking, tuning=asking.tuning or Tuning())
    failures: list[str] = []
    asker = _Asker(
        WatchedEngine(engine),
        asking,
        image_opener(asking.image_limits, asking.ablation, asking.seed),
        TEMPERATURES if votes else (),
    )
    places = asyncio.Semaphore(concurrency)
    work = list(_numbered(selections))
    check_enough([image % 2 == 0 for *_, image in work])
    check_cost(max_cost)
    done = 0

    async def ask(sample: Sample, metric: Metric, image: int) -> Asked | None:
        nonlocal done
        found = None
        async with places:
            try:
                found = await asker.every_way(sample, metric, image=image)
            except CotError as error:
                failures.append(str(error))
            except Exception as error:
                # A fault of the program itself. It is told, and costs one sample instead of all that was asked.
                failures.append(f"{type(error).__name__}: {reason(error)}")
        done += 1
        if watch:
            watch.asked(done, len(work))
        return found

    asked = [found for found in await asyncio.gather(*(ask(*one) for one in work)) if found]
    try:
        check_enough([one.fitted for one in asked])
    except DataError as error:
        raise EngineError(
            f"{len(failures)} of {len(work)} samples failed, the first with: {failures[0]}; too few are left to fit to"
        ) from error
    return fit(asked, asking.tuning or Tuning(), max_cost=max_cost, failures=failures)


def _numbered(selections: Iterable[Selection]) -> Iterator[tuple[Sample, Metric, int]]:
    """Each sample, its metric, and the number of its image, from 0: every other one is fitted to.

    Those of a group have one number, and so have those of several tasks that show the same images.
    """
    numbers = itertools.count()
    seen: dict[object, int] = {}
    for selection in selections:
        for sample in selection.samples():
            shown = (selection.identity.name, sample.group), tuple(map(_identity, sample.images))
            known = next((seen[one] for one in shown if one in seen), None)
            number = next(numbers) if known is None else known
            for one in shown:
                seen.setdefault(one, number)
            yield sample, selection.task.metric, number


def _identity(image: ImageSource) -> object:
    """What is the same for the same image in several tasks."""
    if isinstance(image, Path):
        return image.resolve()
    return image if isinstance(image, str) else hashlib.sha256(image).digest()


@dataclass(frozen=True)
class _Asker:
    engine: WatchedEngine
    asking: Asking
    images: Images
    temperatures: tuple[float, ...]

    async def every_way(self, sample: Sample, metric: Metric, *, image: int) -> Asked:
        """The sample in every way. Raises CotError if one of them fails, or nothing comes back from the engine."""
        if self.engine.gone:
            raise EngineError(self.engine.gone)
        engine = self.engine.for_sample()
        loaded = [await asyncio.to_thread(self.images, source) for source in sample.images]
        question = Question(sample.question, tuple(loaded), sample.target.choices)

        async def ask(strategy: str, tuning: Tuning) -> Answer:
            outcome = await run(
                strategy, question, engine, self.asking.budget, seed=self.asking.seed,
                wording=Wording(self.asking.language), tuning=tuning,
            )  # fmt: skip
            if failed := silent(outcome, engine):
                raise EngineError(failed.explanation)
            return _scored(outcome, metric, sample)

        tuning = self.asking.tuning or Tuning()
        direct = await ask("direct", tuning)
        steps = await ask("decompose", tuning.model_copy(update={"plan_share": 1.0}))
        votes = {t: await ask("vote", tuning.model_copy(update={"temperature": t})) for t in self.temperatures}
        return Asked(image % 2 == 0, direct, steps, votes, image)


def _scored(outcome: Outcome, metric: Metric, sample: Sample) -> Answer:
    score = score_outcome(outcome, metric, sample)
    if score.status == "errored":
        raise EngineError(score.explanation)
    tokens = outcome.usage.prompt_tokens + outcome.usage.completion_tokens
    answer, right = outcome.answer, (score.value or 0.0) >= 0.5
    # That a model does not know is no answer, however sure it is of that.
    facts, planned = 0.0 if answer.value is None else answer.confidence, 1.0
    if answer.source == "steps" and facts:
        found = {step.to: step.confidence for step in outcome.steps if isinstance(step, SubAnswer)}
        # A later round words some of them anew under the same number, and may refer to others than the plan did.
        asked = {step.id: step for step in outcome.steps if isinstance(step, SubQuestion)}
        facts = product(found[number] for number in grounds(answer.supports, asked.values()))
        planned = min(1.0, answer.confidence / facts)
    return Answer(answer.source, facts, right, max(1, tokens), planned)
