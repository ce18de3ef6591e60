"""Runs the chosen samples of tasks, a bounded number at a time, into a run folder.

In: a folder, selections, an engine, options. Out: a `Summary`, which is in the folder too. Each result is on disk
before its place is given to another sample; what is there already is not asked again. One of several processes does
its share, and the last one sums up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from cot.engine.base import Engine
from cot.errors import DataError, EngineError, UsageError
from cot.evaluate.ablation import with_other_images
from cot.evaluate.asking import Asking, ask_sample
from cot.evaluate.definition import Definition, JudgeIdentity, define
from cot.evaluate.folder import RUN_FILE, SUMMARY_FILE, TRACES_FOLDER, RunFolder
from cot.evaluate.images import Images, image_opener
from cot.evaluate.judge import Judge, check_template
from cot.evaluate.result import SampleResult, result_key
from cot.evaluate.select import Selection
from cot.evaluate.shots import check_strategies
from cot.evaluate.summary import Summary, summarise
from cot.metric import Metric
from cot.planner.names import check_strategy, strategy_names
from cot.planner.tuning import Tuning
from cot.task import Sample

MOST_FAILURES: Final = 20
"""Samples in a row that the engine failed on, before the run stops: it would fail on the rest too."""


@dataclass(frozen=True)
class Options:
    """How a run goes. concurrency: samples in flight, >= 1. trace: whether each sample leaves a trace in the folder.

    retry_errors: samples that errored are done again. Raises UsageError.
    """

    strategies: tuple[str, ...]
    asking: Asking = field(default_factory=Asking)
    concurrency: int = 32
    retry_errors: bool = False
    trace: bool = False

    def __post_init__(self) -> None:
        for name in self.strategies:
            check_strategy(name)
        if not self.strategies or len(set(self.strategies)) != len(self.strategies):
            known = ", ".join(strategy_names())
            raise UsageError(f"got the strategies {list(self.strategies)}; expected some of: {known}")
        if self.concurrency < 1:
            raise UsageError(f"got --concurrency {self.concurrency}; expected at least 1")


class Watch:
    """Is told how a run goes, and does nothing with it."""

    def known(self, result: SampleResult) -> None:
        """A result that was there already."""

    def started(self, total: int, skipped: int) -> None:
        """How many results there will be, and how many of them are there."""

    def finished(self, result: SampleResult) -> None:
        """A result that is on disk now."""


_QUIET: Final = Watch()


async def evaluate(
    folder: RunFolder,
    selections: Sequence[Selection],
    engine: Engine,
    options: Options,
    watch: Watch = _QUIET,
    judge: Engine | None = None,
) -> Summary | None:
    """Run what is missing, and sum up. Cancelled, it leaves a folder that the same call goes on from.

    judge: what judges the answers of the tasks that want it.
    One of several processes runs what is missing of its share, and gives None unless it is the last one.

    Raises DataError for a folder that holds another run, and EngineError if the engine fails again and again.
    """
    names = [selection.identity.name for selection in selections]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"got the tasks {names}; expected at least one, each once")
    for selection in selections:
        check_strategies(selection.identity.shots, options.strategies)
    folder.define(_definition(selections, engine, options, _judge_identity(selections, judge, options.asking.language)))
    done, skipped = _known(folder, selections, options, watch)
    watch.started(len(options.strategies) * sum(selection.n for selection in selections), skipped)
    asking = replace(options.asking, traces=folder.path / TRACES_FOLDER if options.trace else None)
    images = image_opener(asking.image_limits, asking.ablation, asking.seed)
    failures = 0

    async def work(job: _Job) -> None:
        nonlocal failures
        result = await _do(job, engine, judge, asking, images)
        folder.append(result)
        watch.finished(result)
        # What no call was made for is not the engine's failure.
        failed = result.failed and (result.judge is not None or bool(result.notes))
        failures = failures + 1 if failed else 0
        if failures >= MOST_FAILURES:
            raise EngineError(
                f"the last {failures} samples failed, the last with: {result.explanation}; when that is mended, run it"
                " again with --retry-errors"
            )

    await run_bounded(_jobs(selections, options, done), work, options.concurrency)
    total = len(options.strategies) * sum(selection.identity.n for selection in selections)
    if folder.shard and not folder.gathered(total):
        return None
    return _sum_up(folder, selections, engine, asking)


def _known(
    folder: RunFolder, selections: Sequence[Selection], options: Options, watch: Watch
) -> tuple[set[bytes], int]:
    """The keys of what is there, and how many of these are this process's."""
    shares = {selection.identity.name: selection.share for selection in selections}
    mine = 0

    def known(result: SampleResult) -> None:
        nonlocal mine
        if result.task not in shares or result.strategy not in options.strategies:
            raise DataError(
                f"{folder.path} has a result of {result.task} {result.strategy}, which its {RUN_FILE} does not name;"
                " name another --out"
            )
        share = shares[result.task]
        if share is None or result.group in share:
            mine += 1
            watch.known(result)

    return folder.open_samples(known, retry_errors=options.retry_errors), mine


def _sum_up(folder: RunFolder, selections: Sequence[Selection], engine: Engine, asking: Asking) -> Summary:
    metrics = {selection.identity.name: selection.task.task.metric.name for selection in selections}
    summary = summarise(
        folder.results(),
        metrics.__getitem__,
        complete=True,
        model=engine.info.model,
        tasks=tuple(selection.identity for selection in selections),
        ablation=asking.ablation,
    )
    folder.write(SUMMARY_FILE, summary)
    return summary


@dataclass(frozen=True, slots=True)
class _Job:
    selection: Selection
    sample: Sample
    strategy: str


async def run_bounded(jobs: Iterator[_Job], work: Callable[[_Job], Awaitable[None]], concurrency: int) -> None:
    """Work on all jobs, at most `concurrency` at a time; jobs are taken as places become free.

    The first error ends it: what is in flight is cancelled, and the error raised.
    """
    pending: set[asyncio.Future[None]] = set()
    try:
        for job in jobs:
            pending.add(asyncio.ensure_future(work(job)))
            if len(pending) >= concurrency:
                finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for one in finished:
                    one.result()
        while pending:
            finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                one.result()
    finally:
        for one in pending:
            one.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _jobs(selections: Sequence[Selection], options: Options, done: set[bytes]) -> Iterator[_Job]:
    """What is missing. All strategies of a sample follow each other, while its image is remembered."""
    for selection in selections:
        for sample in _shown(selection, options.asking):
            if selection.share is not None and sample.group not in selection.share:
                continue
            for strategy in options.strategies:
                if result_key(selection.identity.name, strategy, sample.id) not in done:
                    yield _Job(selection, sample, strategy)


def _shown(selection: Selection, asking: Asking) -> Iterator[Sample]:
    if asking.ablation == "wrong-image":
        return with_other_images(selection.samples, asking.seed, everything=selection.task.samples)
    return selection.samples()


async def _do(job: _Job, engine: Engine, judge: Engine | None, asking: Asking, images: Images) -> SampleResult:
    task = job.selection.task
    metric: Metric | Judge = task.metric
    if judge and task.judge_template:
        metric = Judge(judge, task.judge_template, asking.language, asking.budget, asking.seed)
    shots = job.selection.shots
    return await ask_sample(task.task.name, metric, job.sample, job.strategy, engine, asking, images, shots)


def check_judge(selections: Sequence[Selection], named: bool, language: str) -> dict[str, str]:
    """Name -> hash of the templates that judges are asked with.

    named: whether there is a judge. Raises UsageError if a task wants one and there is none, or none wants it, and
    TaskError or PromptError for a template that is missing or cannot judge.
    """
    wanted = {selection.identity.name: selection.task.judge_template for selection in selections}
    judged = [name for name, template in wanted.items() if template]
    if judged and not named:
        raise UsageError(f"the task {judged[0]} is scored by a judge; name its model with --judge-model")
    if named and not judged:
        raise UsageError(f"got --judge-model, and none of {list(wanted)} is scored by a judge; leave it out")
    return {template: check_template(template, language) for template in wanted.values() if template}


def _judge_identity(selections: Sequence[Selection], judge: Engine | None, language: str) -> JudgeIdentity | None:
    templates = check_judge(selections, judge is not None, language)
    if judge is None:
        return None
    return JudgeIdentity(
        model=judge.info.model,
        revision=judge.info.revision,
        dtype=judge.info.dtype,
        quantization=judge.info.quantization,
        templates=templates,
    )


def _definition(
    selections: Sequence[Selection], engine: Engine, options: Options, judge: JudgeIdentity | None
) -> Definition:
    asking, first = options.asking, selections[0]
    settings: dict[str, float | int | str] = {
        "max_steps": asking.budget.max_steps,
        "max_tokens": asking.budget.max_tokens,
        "max_seconds": asking.budget.max_seconds,
        "max_image_bytes": asking.image_limits.max_bytes,
        "max_image_pixels": asking.image_limits.max_pixels,
        **(asking.tuning or Tuning()).recordable,
    }
    return define(
        [selection.identity for selection in selections],
        engine.info,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        strategies=options.strategies,
        language=asking.language,
        seed=asking.seed,
        shuffle=first.numbers is not None,
        ablation=asking.ablation,
        settings=settings,
        judge=judge,
        data={selection.identity.name: selection.place for selection in selections},
    )
