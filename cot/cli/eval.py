"""`cot eval`: tasks through strategies, into a folder that the same command goes on from; `eval_tasks` chooses them.

The tables go to stdout; everything else goes to stderr. Started by `accelerate launch` or `torchrun`, each process
does its share, and the last one prints the tables. Exit codes: 0 every task has a score, or the share is done, 1 a task
has none or is below the gate, 2 a wrong command line or task, 130 interrupted.
"""

import asyncio
import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.ask import load_engine
from cot.cli.eval_tasks import choose, split_strategies
from cot.cli.options import Device, KvMemory, Language, Model, Quantize, Seed
from cot.errors import DataError, UsageError

if TYPE_CHECKING:
    from cot.cli.eval_output import EvalOutput
    from cot.config import Settings
    from cot.engine.base import Engine
    from cot.evaluate import Options, RunFolder, Selection, Shard, Summary
    from cot.evaluate.ablation import Control


@dataclass(frozen=True)
class _Run:
    """One of the runs of a command: what is taken from the model, how it is asked, and where the results go."""

    control: "Control"
    options: "Options"
    folder: "RunFolder"


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
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    kv_memory: KvMemory = None,
    max_steps: Annotated[int | None, typer.Option(help="Questions to the model at most, for each sample.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens generated at most, for each sample.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds at most, for each sample.")] = None,
    ablate: Annotated[
        str | None,
        typer.Option(help="Controls: blank, wrong-image, random-crop, shuffle-steps, none; several, comma separated."),
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
    """Evaluate a model on tasks, with a score and its interval for each task and strategy, and for each category.

    The same command with the same --out goes on where it was stopped. With several controls each is a run of its own
    in a folder below --out, and one table has them all.
    """
    from cot.cli.eval_output import EvalOutput
    from cot.config import load_settings
    from cot.evaluate import find_shard
    from cot.evaluate.ablation import find_controls
    from cot.evaluate.gate import check_comparable, fallen, read_baseline
    from cot.task import find_suite

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens, "max_seconds": max_seconds}
    )  # fmt: skip
    suite = find_suite(tasks)
    if check:
        from cot.cli.eval_check import check_data

        chosen = choose(suite, settings, data=data, limit=limit, shuffle=shuffle, shots=shots)
        raise typer.Exit(0 if check_data(chosen, settings) else 1)
    names = split_strategies(strategy) or suite.strategies or split_strategies(settings.strategy)
    controls = find_controls(ablate, names)
    if gate and len(controls) > 1:
        raise UsageError(f"got --gate and --ablate {ablate}; expected one control with a gate, or none")
    options = make_options(settings, names, concurrency=concurrency, retry_errors=retry_errors, trace=trace)
    baseline = read_baseline(gate) if gate else None
    shard = find_shard(os.environ)
    output = EvalOutput(as_json=as_json, quiet=quiet, process=shard.label if shard else None)
    place = out or _new_folder(shard)
    with ExitStack() as stack:
        runs = _open_runs(place, controls, options, shard, stack)
        output.say(f"run: {place}")
        selections = choose(suite, settings, data=data, limit=limit, shuffle=shuffle, shots=shots, shard=shard)
        if baseline:
            check_comparable(baseline, [s.identity for s in selections], names, controls[0].ablation)
        summaries = _run(runs, selections, settings, output, judge_model)
    if not summaries:
        output.share_done(place)
        return
    output.result([(summary, run.folder.path) for summary, run in zip(summaries, runs, strict=True)], place, names)
    below = fallen(baseline, summaries[0]) if baseline else []
    for line in below:
        output.fell(line)
    scored = all(part.score is not None for summary in summaries for part in summary.parts)
    raise typer.Exit(0 if scored and not below else 1)


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
    from cot.evaluate.runner import Options
    from cot.planner.budget import Budget

    asking = Asking(
        budget=Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        language=settings.language,
        image_limits=settings.image_limits,
    )
    return Options(strategies, asking, concurrency=concurrency, retry_errors=retry_errors, trace=trace)


def _open_runs(
    place: Path, controls: "Sequence[Control]", options: "Options", shard: "Shard | None", stack: ExitStack
) -> list[_Run]:
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
        runs.append(_Run(control, replace(options, strategies=control.strategies, asking=asking), folder))
    return runs


def _run(
    runs: list[_Run],
    selections: "list[Selection]",
    settings: "Settings",
    output: "EvalOutput",
    judge_model: str | None,
) -> "list[Summary]":
    """What each run came to; nothing where another process of several will say so."""
    from cot.evaluate.runner import check_judge
    from cot.evaluate.shots import check_strategies
    from cot.planner.ask import ONE_IMAGE
    from cot.planner.calibration_file import tuning_for

    # Loading takes long, so what is wrong is said before.
    for run in runs:
        check_strategies(selections[0].identity.shots, run.options.strategies)
    check_judge(selections, judge_model is not None, settings.language)
    shard = runs[0].folder.shard
    engine = _load(settings, shard, output)
    judge = engine if judge_model == settings.model else None
    if judge_model and judge is None:
        judge = _load(_for_judge(settings, judge_model), shard, output)
    tuning, note = tuning_for(settings, engine.info)
    tuned = [replace(run.options, asking=replace(run.options.asking, tuning=tuning)) for run in runs]
    runs = [replace(run, options=options) for run, options in zip(runs, tuned, strict=True)]
    if note:
        output.say(f"note: {note}")
    if settings.model == "embedded" and selections[0].identity.shots:
        output.say(f"note: {ONE_IMAGE}")
    try:
        return asyncio.run(_ask_all(runs, selections, engine, judge, output))
    except KeyboardInterrupt:
        output.interrupted()
        raise
    finally:
        output.close()


async def _ask_all(
    runs: list[_Run], selections: "list[Selection]", engine: "Engine", judge: "Engine | None", output: "EvalOutput"
) -> "list[Summary]":
    """One run after another, then what all of them came to; nothing where other processes are still at work."""
    from cot.evaluate import Summary, evaluate
    from cot.evaluate.folder import SUMMARY_FILE

    last = None
    try:
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
    engine = load_engine(_with_own_device(settings, shard) if shard else settings)
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
