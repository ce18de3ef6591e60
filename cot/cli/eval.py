"""`cot eval`: tasks through strategies, into a folder that the same command goes on from.

The table goes to stdout; everything else goes to stderr. Started by `accelerate launch` or `torchrun`, each process
does its share, and the last one prints the table. Exit codes: 0 every task has a score, or the share is done, 1 a task
has none or is below the gate, 2 a wrong command line or task, 130 interrupted.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from cot.cli.options import Device, KvMemory, Language, Model, Quantize, Seed


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
    run_python: Annotated[
        bool, typer.Option("--run-python", help="Run the Python files that tasks with `loader: python` name.")
    ] = False,
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
    from cot.cli.eval_run import make_options, new_folder, run_selections
    from cot.cli.eval_tasks import Wanted, choose, strategies_for
    from cot.config import load_settings
    from cot.evaluate import RunFolder, find_shard
    from cot.evaluate.gate import check_comparable, fallen, read_baseline
    from cot.task import find_suite

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens, "max_seconds": max_seconds}
    )  # fmt: skip
    suite = find_suite(tasks)
    wanted = Wanted(data, limit, shuffle, shots, run_python)
    if check:
        from cot.cli.eval_check import check_tasks

        raise typer.Exit(check_tasks(suite, settings, wanted))
    names = strategies_for(suite, strategy, settings)
    options = make_options(
        settings, names, ablate=ablate, concurrency=concurrency, retry_errors=retry_errors, trace=trace
    )
    baseline = read_baseline(gate) if gate else None
    shard = find_shard(os.environ)
    output = EvalOutput(as_json=as_json, quiet=quiet, process=shard.label if shard else None)
    with RunFolder(out or new_folder(shard), shard) as folder:
        selections = choose(suite, settings, wanted, shard=shard)
        output.say(f"run: {folder.path}")
        if baseline:
            check_comparable(baseline, [s.identity for s in selections], names, options.asking.ablation)
        summary = run_selections(folder, selections, settings, options, output, judge_model)
    if summary is None:
        output.share_done(folder.path)
        return
    output.result(summary, folder.path)
    below = fallen(baseline, summary) if baseline else []
    for line in below:
        output.fell(line)
    raise typer.Exit(0 if all(part.score is not None for part in summary.parts) and not below else 1)
