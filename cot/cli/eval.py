"""`cot eval`: tasks through strategies, into a folder that the same command goes on from.

The table goes to stdout; everything else goes to stderr. Started by `accelerate launch` or `torchrun`, each process
does its share, and the last one prints the table. Exit codes: 0 every task has a score, or the share is done, 1 a task
has none or is below the gate, 2 a wrong command line or task, 130 interrupted.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from cot.cli.ask import check_model
from cot.cli.options import Compile, Device, KvMemory, Language, Model, Quantize, Redact, Seed, joined, named_path
from cot.cli.set_by import set_by_told
from cot.errors import UsageError, quoted


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
    out: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="Folder of the run; one that is there goes on."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="Folder that the tasks' data is in, each in a folder of its name or not.",
        ),
    ] = None,
    run_python: Annotated[
        bool, typer.Option("--run-python", help="Run the Python files that tasks with `loader: python` name.")
    ] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do samples again that failed.")] = False,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="Keep a trace of every sample.")] = False,
    redact: Redact = None,
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    kv_memory: KvMemory = None,
    compile: Compile = None,
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
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="A kept summary.json; exit 1 if a score is below its interval there.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at the tasks' data and open every image; ask nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Evaluate a model on tasks, with a score and its interval for each task and strategy, and for each category.

    The same command with the same --out goes on where it was stopped.
    Several controls are runs of their own below --out, and one table has them all.
    """
    from cot.cli.eval_output import EvalOutput
    from cot.cli.eval_run import definition_of, make_options, new_folder, open_runs, run_selections
    from cot.cli.eval_tasks import Wanted, check_data, choose, strategies_for
    from cot.config import load_settings
    from cot.evaluate import find_shard
    from cot.evaluate.ablation import find_controls
    from cot.evaluate.gate import check_comparable, fallen, read_baseline
    from cot.task import find_suite

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "compile": compile, "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens, "max_seconds": max_seconds,
         "redact": joined(redact)}
    )  # fmt: skip
    if redact and not trace:
        raise UsageError("got --redact without --trace; no trace is kept, and results always hold question and answer")
    if judge_model is not None and not judge_model.strip():
        raise UsageError(f"got --judge-model {quoted(judge_model)}; expected the name of a model, as for --model")
    suite = find_suite(tasks)
    wanted = Wanted(data, limit, shuffle, shots, run_python)
    check_data(suite.tasks, data)
    if check:
        # Neither would be looked at.
        if unread := [name for name, given in (("--gate", gate), ("--json", as_json)) if given]:
            said = " and ".join(unread)
            raise UsageError(f"got --check with {said}; expected --check without: it asks nothing, and tells in words")
        from cot.cli.eval_check import check_tasks

        raise typer.Exit(check_tasks(suite, settings, wanted))
    names = strategies_for(suite, strategy, settings)
    controls = find_controls(ablate, names)
    if gate and len(controls) > 1:
        raise UsageError(f"got --gate and --ablate {ablate}; expected one control with a gate, or none")
    with set_by_told(settings, *(() if strategy else ("strategy",))):
        options = make_options(settings, names, concurrency=concurrency, retry_errors=retry_errors, trace=trace)
    baseline = read_baseline(gate) if gate else None
    # Samples may take long to draw, or to look at.
    check_model(settings)
    shard = find_shard(os.environ)
    process = shard.label if shard else None
    output = EvalOutput(as_json=as_json, quiet=quiet, process=process, concurrency=concurrency)
    place = out or new_folder(shard)
    with ExitStack() as stack:
        runs = open_runs(place, controls, options, shard, stack)
        selections = choose(suite, settings, wanted, shard=shard, before=definition_of(runs))
        if baseline:
            check_comparable(baseline, [s.identity for s in selections], names, controls[0].ablation)
        summaries = run_selections(runs, selections, settings, output, judge_model, baseline)
    if not summaries:
        output.share_done(place)
        return
    output.result([(summary, run.folder.path) for summary, run in zip(summaries, runs, strict=True)], place, options)
    below = fallen(baseline, summaries[0]) if baseline else []
    for line in below:
        output.fell(line)
    scored = all(part.score is not None for summary in summaries for part in summary.parts)
    raise typer.Exit(0 if scored and not below else 1)
