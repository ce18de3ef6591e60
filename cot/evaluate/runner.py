"""Runs the chosen samples of tasks, a bounded number at a time, into a run folder.

In: a folder, selections, an engine, options. Out: a `Summary`, which is in the folder too. Each result is on disk
before its place is given to another sample; what is there already is not asked again. One of several processes does
its share, and the last one sums up.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from cot.engine.base import Engine
from cot.errors import DataError, TraceError, UsageError
from cot.evaluate.ablation import with_other_images
from cot.evaluate.asking import Asking, ask_sample
from cot.evaluate.bounded import run_bounded
from cot.evaluate.define import define
from cot.evaluate.folder import RUN_FILE, SUMMARY_FILE, TRACES_FOLDER, RunFolder
from cot.evaluate.health import Health, WatchedEngine
from cot.evaluate.images import Images, image_opener
from cot.evaluate.judge import Judge
from cot.evaluate.options import Options, Watch
from cot.evaluate.result import SampleResult, result_key
from cot.evaluate.select import Selection
from cot.evaluate.shots import check_strategies
from cot.evaluate.summary import Summary, Tally
from cot.metric import Metric
from cot.task import Sample

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

    Raises DataError for a folder that holds another run, and EngineError where going on makes no sense (`Health`).
    """
    names = [selection.identity.name for selection in selections]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"got the tasks {names}; expected at least one, each once")
    for selection in selections:
        check_strategies(selection.identity.shots, options.strategies)
    definition = define(selections, engine, options, judge)
    folder.define(definition)
    asked = WatchedEngine(engine)
    judging = asked if judge is engine else WatchedEngine(judge) if judge else None
    health = Health(asked, *([judging] if judging else []))
    tally = _tally(selections)
    done, skipped = _known(folder, selections, options, watch, health, tally)
    mine = len(options.strategies) * sum(selection.n for selection in selections)
    watch.started(mine, skipped)
    asking = replace(options.asking, traces=folder.path / TRACES_FOLDER if options.trace else None)
    images = image_opener(asking.image_limits, asking.ablation, asking.seed)

    async def work(job: _Job) -> None:
        try:
            result = await _do(job, asked, judging, asking, images)
        except TraceError as error:
            raise folder.without_trace(error) from error
        folder.append(result)
        tally.add(result)
        watch.finished(result)
        health.check(result)

    # Where nothing is missing the samples are not gone through once more, which takes long where they are many.
    await run_bounded(_jobs(selections, options, done) if skipped < mine else iter(()), work, options.concurrency)
    total = len(options.strategies) * sum(selection.identity.n for selection in selections)
    if folder.shard:
        if not folder.gathered(total):
            return None
        # Others have done their shares meanwhile.
        tally = _tally(selections)
        tally.take(folder.results())
    summary = Summary(
        complete=True,
        model=engine.info.model,
        tasks=tuple(selection.identity for selection in selections),
        ablation=asking.ablation,
        judge=definition.judge,
        parts=tally.parts(),
        wall_seconds=tally.wall_seconds(),
    )
    folder.write(SUMMARY_FILE, summary)
    return summary


def _tally(selections: Sequence[Selection]) -> Tally:
    metrics = {selection.identity.name: selection.task.task.metric.name for selection in selections}
    return Tally(metrics.__getitem__)


def _known(
    folder: RunFolder,
    selections: Sequence[Selection],
    options: Options,
    watch: Watch,
    health: Health,
    tally: Tally,
) -> tuple[set[bytes], int]:
    """The keys of what is there, and how many of these are this process's. The tally takes them all."""
    shares = {selection.identity.name: selection.share for selection in selections}
    mine = 0

    def known(result: SampleResult) -> None:
        nonlocal mine
        if result.task not in shares or result.strategy not in options.strategies:
            raise DataError(
                f"{folder.path} has a result of {result.task} {result.strategy}, which its {RUN_FILE} does not name;"
                " name another --out"
            )
        health.known(result)
        tally.add(result)
        share = shares[result.task]
        if share is None or result.group in share:
            mine += 1
            watch.known(result)

    return folder.open_samples(known, retry_errors=options.retry_errors), mine


@dataclass(frozen=True, slots=True)
class _Job:
    selection: Selection
    sample: Sample
    strategy: str


def _jobs(selections: Sequence[Selection], options: Options, done: set[bytes]) -> Iterator[_Job]:
    """What is missing. All strategies of a sample follow each other, while its image is remembered."""
    for selection in selections:
        missing = partial(_missing, selection.identity.name, options.strategies, done)
        for sample in _shown(selection, options.asking, missing):
            if selection.share is not None and sample.group not in selection.share:
                continue
            for strategy in missing(sample.id):
                yield _Job(selection, sample, strategy)


def _missing(task: str, strategies: Sequence[str], done: set[bytes], sample: str) -> list[str]:
    """The strategies that a sample has no result of."""
    return [strategy for strategy in strategies if result_key(task, strategy, sample) not in done]


def _shown(selection: Selection, asking: Asking, wanted: Callable[[str], object]) -> Iterator[Sample]:
    """The samples as an ablation shows them. wanted: by id; others may be left out."""
    if asking.ablation == "wrong-image":
        return with_other_images(selection.samples, asking.seed, everything=selection.task.samples)
    return selection.samples(wanted)


async def _do(
    job: _Job, engine: WatchedEngine, judge: WatchedEngine | None, asking: Asking, images: Images
) -> SampleResult:
    task, asked = job.selection.task, engine.for_sample()
    metric: Metric | Judge = task.metric
    if judge and task.judge_template:
        metric = Judge(judge.for_sample(), task.judge_template, asking.language, asking.budget, asking.seed)
    shots = job.selection.shots
    begun = time.time()
    result = await ask_sample(task.task.name, metric, job.sample, job.strategy, asked, asking, images, shots)
    return result.model_copy(update={"begun_at": round(begun, 3), "ended_at": round(time.time(), 3)})
