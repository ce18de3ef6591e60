"""`cot eval`: tasks through strategies, into a folder that the same command goes on from.

The table goes to stdout; everything else goes to stderr. Started by `accelerate launch` or `torchrun`, each process
does its share, and the last one prints the table. Exit codes: 0 every task has a score, or the share is done, 1 a task
has none or is below the gate, 2 a wrong command line or task, 130 interrupted.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.ask import load_engine
from cot.cli.options import Device, KvMemory, Language, Model, Quantize, Redact, Seed, joined
from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.cli.eval_output import EvalOutput
    from cot.config import Settings
    from cot.dataset import DataSpec, Loader, Row
    from cot.engine.base import Engine
    from cot.evaluate import Options, RunFolder, Selection, Shard, Summary
    from cot.task import Suite


def evaluate_tasks(
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK…|SUITE", help="Names of tasks, paths of .yaml files, or one suite.")
    ],
    model: Model = None,
    strategy: Annotated[str | None, typer.Option(help="One or several, comma separated: direct,decompose.")] = None,
    limit: Annotated[int | None, typer.Option(help="Samples of each task at most: the first ones.")] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Draw the samples of --limit at random, by --seed.")
    ] = False,
    shots: Annotated[
        int, typer.Option(help="Solved examples that each question is shown behind, from the `shots` of its task.")
    ] = 0,
    seed: Seed = None,
    concurrency: Annotated[int, typer.Option(help="Samples in flight at most.")] = 32,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; one that is there goes on.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that the tasks' data is in, each in a folder of its name or not.")
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do samples again that errored.")] = False,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Keep a trace of every sample.")] = False,
    redact: Redact = None,
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    kv_memory: KvMemory = None,
    max_steps: Annotated[int | None, typer.Option(help="Questions to the model at most, for each sample.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens generated at most, for each sample.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds at most, for each sample.")] = None,
    ablate: Annotated[
        str | None, typer.Option(help="A control: blank, wrong-image, random-crop or shuffle-steps.")
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="What judges the answers of tasks with `metric: judge`: as for --model.")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(help="A kept summary.json; exit 1 if a score is below its interval there.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at the tasks' data and open every image; ask nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Evaluate a model on tasks, with a score and its interval for each task and strategy.

    The same command with the same --out goes on where it was stopped.
    """
    from cot.cli.eval_output import EvalOutput
    from cot.config import load_settings
    from cot.evaluate import RunFolder, find_shard
    from cot.evaluate.gate import check_comparable, fallen, read_baseline
    from cot.task import find_suite

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens, "max_seconds": max_seconds,
         "redact": joined(redact)}
    )  # fmt: skip
    if redact and not trace:
        raise UsageError("got --redact without --trace; no trace is kept, and results always hold question and answer")
    suite = find_suite(tasks)
    if check:
        from cot.cli.eval_check import check_data

        chosen = choose(suite, settings, data=data, limit=limit, shuffle=shuffle, shots=shots)
        raise typer.Exit(0 if check_data(chosen, settings) else 1)
    names = split_strategies(strategy) or suite.strategies or split_strategies(settings.strategy)
    options = make_options(
        settings, names, ablate=ablate, concurrency=concurrency, retry_errors=retry_errors, trace=trace
    )
    baseline = read_baseline(gate) if gate else None
    shard = find_shard(os.environ)
    output = EvalOutput(as_json=as_json, quiet=quiet, process=shard.label if shard else None)
    with RunFolder(out or _new_folder(shard), shard) as folder:
        output.say(f"run: {folder.path}")
        selections = choose(suite, settings, data=data, limit=limit, shuffle=shuffle, shots=shots, shard=shard)
        if baseline:
            check_comparable(baseline, [s.identity for s in selections], names, options.asking.ablation)
        summary = _run(folder, selections, settings, options, output, judge_model)
    if summary is None:
        output.share_done(folder.path)
        return
    output.result(summary, folder.path)
    below = fallen(baseline, summary) if baseline else []
    for line in below:
        output.fell(line)
    raise typer.Exit(0 if all(part.score is not None for part in summary.parts) and not below else 1)


def split_strategies(text: str | None) -> tuple[str, ...]:
    """The strategies of `direct,decompose`."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


def choose(
    suite: "Suite",
    settings: "Settings",
    *,
    data: Path | None,
    limit: int | None,
    shuffle: bool,
    shots: int = 0,
    shard: "Shard | None" = None,
) -> "list[Selection]":
    """The samples of a suite's tasks, at most `limit` of each, and their examples.

    Raises TaskError, DataError and UsageError.
    """
    from cot.evaluate import select
    from cot.evaluate.images import image_opener
    from cot.evaluate.shots import draw_shots
    from cot.task import load_task

    # All task files are read before the first sample is.
    loaded = {name: load_task(name, data=data, loaders=loaders()) for name in suite.tasks}
    limits = {name: [most for most in (limit, own) if most is not None] for name, own in suite.tasks.items()}
    images = image_opener(settings.image_limits)
    examples = {name: draw_shots(task, shots, seed=settings.seed, images=images) for name, task in loaded.items()}
    return [
        select(
            task, limit=min(limits[name], default=None), shuffle=shuffle, seed=settings.seed, shard=shard,
            shots=examples[name],
        )
        for name, task in loaded.items()
    ]  # fmt: skip


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
    from cot.evaluate.runner import Options
    from cot.planner.budget import Budget
    from cot.trace.redact import whats

    asking = Asking(
        budget=Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        language=settings.language,
        ablation=find_ablation(ablate, strategies),
        image_limits=settings.image_limits,
        redact=whats(settings.redact),
    )
    return Options(strategies, asking, concurrency=concurrency, retry_errors=retry_errors, trace=trace)


def _run(
    folder: "RunFolder",
    selections: "list[Selection]",
    settings: "Settings",
    options: "Options",
    output: "EvalOutput",
    judge_model: str | None,
) -> "Summary | None":
    from cot.evaluate import evaluate
    from cot.evaluate.runner import check_judge
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


def _new_folder(shard: "Shard | None") -> Path:
    if shard:
        raise UsageError(
            f"got {shard.world_size} processes and no --out; expected the folder of the run, the same one for all"
        )
    return Path("runs") / f"eval-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _with_own_device(settings: "Settings", shard: "Shard") -> "Settings":
    """Each process of a machine takes a GPU of its own, where `device` leaves it open which."""
    from cot.config import is_server
    from cot.engine.local.device import own_device

    if is_server(settings.model):
        return settings
    return settings.model_copy(update={"device": own_device(settings.device, shard.local_rank)})


def loaders() -> "dict[str, Loader]":
    """The loaders by name, with the one of generated data."""
    from cot.dataset import LOADERS

    return {**LOADERS, "generated": _drawn, "easy-vqa": _drawn}


def _drawn(spec: "DataSpec", folder: Path) -> "Iterator[Row]":
    # They need what only the extra `train` installs, so they are imported when a task asks for them.
    from cot.train.held_out import LOADERS

    return LOADERS[spec.loader](spec, folder)
