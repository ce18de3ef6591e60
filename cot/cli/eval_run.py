"""What `cot eval` runs: an engine is loaded, and the chosen samples go through it into the folder of each run."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cot.cli.ask import check_model, load_engine
from cot.cli.loading import said_if_slow
from cot.errors import DataError, UsageError

if TYPE_CHECKING:
    from cot.cli.eval_output import EvalOutput
    from cot.engine.base import Engine
    from cot.evaluate import Definition, Options, RunFolder, Selection, Shard, Summary
    from cot.evaluate.ablation import Control
    from cot.settings import Settings


@dataclass(frozen=True)
class Run:
    """One of the runs of a command: what is taken from the model, how it is asked, and where the results go."""

    control: "Control"
    options: "Options"
    folder: "RunFolder"


def make_options(
    settings: "Settings",
    strategies: tuple[str, ...],
    *,
    concurrency: int,
    retry_errors: bool,
    trace: bool,
) -> "Options":
    """How a run goes, from settings. Raises UsageError or ConfigError."""
    from cot.evaluate.asking import Asking
    from cot.evaluate.options import Options
    from cot.planner.budget import Budget
    from cot.trace.redact import whats

    asking = Asking(
        budget=Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        language=settings.language,
        image_limits=settings.image_limits,
        redact=whats(settings.redact),
    )
    return Options(strategies, asking, concurrency=concurrency, retry_errors=retry_errors, trace=trace)


def new_folder(shard: "Shard | None") -> Path:
    """A folder below `runs` that nobody else has. Raises UsageError for several processes, which must share one."""
    if shard:
        raise UsageError(
            f"got {shard.world_size} processes and no --out; expected the folder of the run, the same one for all"
        )
    return Path("runs") / f"eval-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def open_runs(
    place: Path, controls: "Sequence[Control]", options: "Options", shard: "Shard | None", stack: ExitStack
) -> list[Run]:
    """The run of each control: in `place` where there is one, else below it. stack: closes their folders.

    Raises DataError as `RunFolder` does.
    """
    from cot.evaluate import RunFolder
    from cot.evaluate.folder import RUN_FILE

    if len(controls) > 1 and (place / RUN_FILE).exists():
        raise DataError(f"{place} is a run, and several controls are runs below a folder; name another with --out")
    runs = []
    for control in controls:
        asking = replace(options.asking, ablation=control.ablation)
        path = place / control.name if len(controls) > 1 else place
        folder = stack.enter_context(RunFolder(path, shard))
        runs.append(Run(control, replace(options, strategies=control.strategies, asking=asking), folder))
    return runs


def definition_of(runs: list[Run]) -> "Definition | None":
    """That of runs that go on; None if one of them begins now, before which all samples are to be looked at.

    Raises DataError.
    """
    found = [run.folder.definition() for run in runs]
    return found[0] if all(found) else None


def run_selections(
    runs: list[Run],
    selections: "list[Selection]",
    settings: "Settings",
    output: "EvalOutput",
    judge_model: str | None,
    baseline: "Summary | None" = None,
) -> "list[Summary]":
    """What each run came to when what is missing is done; nothing if other processes still work on it.

    baseline: what the runs are held to, by the same judge. Raises CotError.
    """
    from cot.evaluate.define import check_asked, check_judge, untranslated
    from cot.evaluate.shots import check_strategies
    from cot.model import EMBEDDED
    from cot.planner.ask import ONE_IMAGE
    from cot.planner.calibration_file import tuning_for
    from cot.prompt import own_notes

    # Loading takes long, so what is wrong is said before.
    for run in runs:
        check_strategies(selections[0].identity.shots, run.options.strategies)
        if before := run.folder.definition():
            check_asked(before, selections, run.options, str(run.folder.path))
    check_judge(selections, judge_model is not None, settings.language)
    if judge_model:
        check_model(_for_judge(settings, judge_model))
    shard = runs[0].folder.shard
    engine = _load(settings, shard, output)
    judge = engine if judge_model == settings.model else None
    if judge_model and judge is None:
        judge = _load(_for_judge(settings, judge_model), shard, output)
    tuning, note = tuning_for(settings, engine.info)
    tuned = [replace(run.options, asking=replace(run.options.asking, tuning=tuning)) for run in runs]
    runs = [replace(run, options=options) for run, options in zip(runs, tuned, strict=True)]
    strategies = list(dict.fromkeys(name for run in runs for name in run.options.strategies))
    for said in (note, untranslated(settings.language, strategies), *own_notes()):
        if said:
            output.say(f"note: {said}")
    if settings.model == EMBEDDED and selections[0].identity.shots:
        output.say(f"note: {ONE_IMAGE}")
    try:
        return asyncio.run(_ask_all(runs, selections, engine, judge, output, baseline))
    except KeyboardInterrupt:
        output.interrupted()
        raise
    finally:
        output.close()


async def _ask_all(
    runs: list[Run],
    selections: "list[Selection]",
    engine: "Engine",
    judge: "Engine | None",
    output: "EvalOutput",
    baseline: "Summary | None",
) -> "list[Summary]":
    """One run after another, then what all of them came to; nothing where other processes are still at work."""
    from cot.evaluate import Summary, evaluate
    from cot.evaluate.define import judge_identity
    from cot.evaluate.folder import SUMMARY_FILE
    from cot.evaluate.gate import check_judge

    last = None
    try:
        if baseline:
            # Only a model that is loaded tells which it is.
            check_judge(baseline, judge_identity(selections, judge, runs[0].options.asking.language))
        for run in runs:
            output.begin(run.folder.path, run.control.name if len(runs) > 1 else "")
            last = await evaluate(run.folder, selections, engine, run.options, output, judge)
    finally:
        await engine.close()
        if judge and judge is not engine:
            await judge.close()
    # Of several processes, whoever is last with the last run knows that the others are summed up.
    files = [run.folder.path / SUMMARY_FILE for run in runs]
    return [Summary.model_validate_json(file.read_bytes()) for file in files] if last else []


def _load(settings: "Settings", shard: "Shard | None", output: "EvalOutput") -> "Engine":
    with said_if_slow(settings.model, quiet=output.quiet):
        engine = load_engine(_with_own_device(settings, shard) if shard else settings)
    if engine.info.note:
        output.say(f"note: {engine.info.note}")
    return engine


def _for_judge(settings: "Settings", model: str) -> "Settings":
    """The same for the model that judges; a server loads its own as it likes."""
    from cot.model import is_server

    for_a_local_one = {"quantize": "none", "kv_memory": "auto", "compile": False} if is_server(model) else {}
    return settings.model_copy(update={"model": model, **for_a_local_one})


def _with_own_device(settings: "Settings", shard: "Shard") -> "Settings":
    """Each process of a machine takes a GPU of its own, where `device` leaves it open which."""
    from cot.engine.local.device import own_device
    from cot.model import is_server

    if is_server(settings.model):
        return settings
    return settings.model_copy(update={"device": own_device(settings.device, shard.local_rank)})
