"""`cot eval`: tasks through strategies, into a folder that the same command goes on from.

The table goes to stdout; everything else goes to stderr. Exit codes: 0 every task has a score, 1 one has none,
2 a wrong command line or task, 130 interrupted.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.ask import load_engine

if TYPE_CHECKING:
    from cot.cli.eval_output import EvalOutput
    from cot.config import Settings
    from cot.dataset import DataSpec, Loader, Row
    from cot.engine.base import Engine
    from cot.evaluate import Options, RunFolder, Selection, Summary


def evaluate_tasks(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK…", help="Names of tasks, or paths of .yaml files.")],
    model: Annotated[
        str | None, typer.Option(help="embedded, a checkpoint folder, a Hugging Face id, or a server's URL.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="One or several, comma separated: direct,decompose.")] = None,
    limit: Annotated[int | None, typer.Option(help="Samples of each task at most: the first ones.")] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Draw the samples of --limit at random, by --seed.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn at random.")] = None,
    concurrency: Annotated[int, typer.Option(help="Samples in flight at most.")] = 32,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; one that is there goes on.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that the tasks' data is in, if not beside them.")] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do samples again that errored.")] = False,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Keep a trace of every sample.")] = False,
    language: Annotated[str | None, typer.Option(help="Language of the prompt templates: en or zh.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:1.")] = None,
    quantize: Annotated[str | None, typer.Option(help="none, nf4, fp4 or int8: shrink the decoder.")] = None,
    kv_memory: Annotated[str | None, typer.Option(help="For keys and values: auto, 512MiB, 2GiB.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Questions to the model at most, for each sample.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens generated at most, for each sample.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds at most, for each sample.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Evaluate a model on tasks, with a score and its interval for each task and strategy.

    The same command with the same --out goes on where it was stopped.
    """
    from cot.cli.eval_output import EvalOutput
    from cot.config import load_settings
    from cot.evaluate import RunFolder, select
    from cot.task import load_task

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens, "max_seconds": max_seconds}
    )  # fmt: skip
    names = tuple(part.strip() for part in (strategy or settings.strategy).split(","))
    options = make_options(settings, names, concurrency=concurrency, retry_errors=retry_errors, trace=trace)
    loaded = [load_task(task, data=data, loaders=loaders()) for task in tasks]
    output = EvalOutput(as_json=as_json, quiet=quiet)
    with RunFolder(out or Path("runs") / f"eval-{datetime.now(UTC):%Y%m%d-%H%M%S}") as folder:
        output.say(f"run: {folder.path}")
        selections = [select(task, limit=limit, shuffle=shuffle, seed=settings.seed) for task in loaded]
        summary = _run(folder, selections, settings, options, output)
    output.result(summary, folder.path)
    raise typer.Exit(0 if all(part.score is not None for part in summary.parts) else 1)


def make_options(
    settings: "Settings", strategies: tuple[str, ...], *, concurrency: int, retry_errors: bool, trace: bool
) -> "Options":
    """How a run goes, from settings. Raises UsageError or ConfigError."""
    from cot.evaluate.asking import Asking
    from cot.evaluate.runner import Options
    from cot.planner.budget import Budget

    asking = Asking(
        budget=Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        language=settings.language,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        image_timeout_seconds=settings.image_timeout_seconds,
    )
    return Options(strategies, asking, concurrency=concurrency, retry_errors=retry_errors, trace=trace)


def _run(
    folder: "RunFolder", selections: "list[Selection]", settings: "Settings", options: "Options", output: "EvalOutput"
) -> "Summary":
    from cot.evaluate import evaluate
    from cot.planner.calibration_file import tuning_for

    async def run(engine: "Engine") -> "Summary":
        try:
            return await evaluate(folder, selections, engine, options, output)
        finally:
            await engine.close()

    engine = load_engine(settings)
    if engine.info.note:
        output.say(f"note: {engine.info.note}")
    tuning, note = tuning_for(settings, engine.info)
    options = replace(options, asking=replace(options.asking, tuning=tuning))
    if note:
        output.say(f"note: {note}")
    try:
        return asyncio.run(run(engine))
    except KeyboardInterrupt:
        output.interrupted(folder.path)
        raise
    finally:
        output.close()


def loaders() -> "dict[str, Loader]":
    """The loaders by name, with the one of generated data."""
    from cot.dataset import LOADERS

    return {**LOADERS, "generated": _generated}


def _generated(spec: "DataSpec", folder: Path) -> "Iterator[Row]":
    # The generators need what only the extra `train` installs, so they are imported when a task asks for them.
    from cot.train.held_out import held_out_rows

    return held_out_rows(spec, folder)
