"""What `cot eval` runs: an engine is loaded, and the chosen samples go through it into the folder of the run."""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cot.cli.ask import load_engine
from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.cli.eval_output import EvalOutput
    from cot.config import Settings
    from cot.engine.base import Engine
    from cot.evaluate import Options, RunFolder, Selection, Shard, Summary


def make_options(
    settings: "Settings",
    strategies: tuple[str, ...],
    *,
    ablate: str | None = None,
    concurrency: int,
    retry_errors: bool,
    trace: bool,
) -> "Options":
    """How a run goes, from settings. Raises UsageError or ConfigError."""
    from cot.evaluate.ablation import find_ablation
    from cot.evaluate.asking import Asking
    from cot.evaluate.options import Options
    from cot.planner.budget import Budget

    asking = Asking(
        budget=Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        language=settings.language,
        ablation=find_ablation(ablate, strategies),
        image_limits=settings.image_limits,
    )
    return Options(strategies, asking, concurrency=concurrency, retry_errors=retry_errors, trace=trace)


def new_folder(shard: "Shard | None") -> Path:
    """A folder below `runs` that nobody else has. Raises UsageError for several processes, which must share one."""
    if shard:
        raise UsageError(
            f"got {shard.world_size} processes and no --out; expected the folder of the run, the same one for all"
        )
    return Path("runs") / f"eval-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_selections(
    folder: "RunFolder",
    selections: "list[Selection]",
    settings: "Settings",
    options: "Options",
    output: "EvalOutput",
    judge_model: str | None,
) -> "Summary | None":
    """Run what is missing in a folder; None if other processes still work on it. Raises CotError."""
    from cot.evaluate import evaluate
    from cot.evaluate.define import check_judge
    from cot.evaluate.shots import check_strategies
    from cot.planner.ask import ONE_IMAGE
    from cot.planner.calibration_file import tuning_for

    async def run(engine: "Engine", judge: "Engine | None") -> "Summary | None":
        try:
            return await evaluate(folder, selections, engine, options, output, judge)
        finally:
            await engine.close()
            if judge and judge is not engine:
                await judge.close()

    # Loading takes long, so what is wrong is said before.
    check_strategies(selections[0].identity.shots, options.strategies)
    check_judge(selections, judge_model is not None, settings.language)
    engine = _load(settings, folder, output)
    judge = engine if judge_model == settings.model else None
    if judge_model and judge is None:
        judge = _load(_for_judge(settings, judge_model), folder, output)
    tuning, note = tuning_for(settings, engine.info)
    options = replace(options, asking=replace(options.asking, tuning=tuning))
    if note:
        output.say(f"note: {note}")
    if settings.model == "embedded" and selections[0].identity.shots:
        output.say(f"note: {ONE_IMAGE}")
    try:
        return asyncio.run(run(engine, judge))
    except KeyboardInterrupt:
        output.interrupted(folder.path)
        raise
    finally:
        output.close()


def _load(settings: "Settings", folder: "RunFolder", output: "EvalOutput") -> "Engine":
    engine = load_engine(_with_own_device(settings, folder.shard) if folder.shard else settings)
    if engine.info.note:
        output.say(f"note: {engine.info.note}")
    return engine


def _for_judge(settings: "Settings", model: str) -> "Settings":
    """The same for the model that judges; a server loads its own as it likes."""
    from cot.config import is_server

    quantize = "none" if is_server(model) else settings.quantize
    return settings.model_copy(update={"model": model, "quantize": quantize})


def _with_own_device(settings: "Settings", shard: "Shard") -> "Settings":
    """Each process of a machine takes a GPU of its own, where `device` leaves it open which."""
    from cot.config import is_server
    from cot.engine.local.device import own_device

    if is_server(settings.model):
        return settings
    return settings.model_copy(update={"device": own_device(settings.device, shard.local_rank)})
