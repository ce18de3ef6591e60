"""`cot prompts compare`: a task with one template, and with another in its place.

The figures go to stdout, progress to stderr. Each side is a run folder that the same command goes on from.
"""

import asyncio
import json
import shlex
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cot.cli import prompts_run
from cot.cli.ask import load_engine
from cot.cli.loading import said_if_slow
from cot.cli.options import Device, Model, Quantize, Seed, Strategy, named_path
from cot.cli.set_by import set_by_told
from cot.cli.words import counted
from cot.errors import DataError, UsageError

if TYPE_CHECKING:
    from cot.engine.base import Engine
    from cot.evaluate import SampleResult, Selection
    from cot.prompt import Template
    from cot.settings import Settings
    from cot.stats import Difference

MOST_SHOWN: Final = 20
"""Flipped samples that are printed; `--json` has all of them."""


def compare(
    old: Annotated[str, typer.Argument(metavar="A", help="A template, for example shipped:direct/answer.")],
    new: Annotated[str, typer.Argument(metavar="B", help="The template to compare it with.")],
    task: Annotated[str, typer.Option("--task", help="Name of a task, or the path of a .yaml file.")],
    limit: Annotated[int | None, typer.Option(help="Samples at most: the first ones.")] = None,
    strategy: Strategy = None,
    step: Annotated[
        str | None, typer.Option(help="The strategy's template in whose place both are put, if it is neither of them.")
    ] = None,
    model: Model = None,
    device: Device = None,
    quantize: Quantize = None,
    seed: Seed = None,
    data: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="Folder that the task's data is in, if not beside it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="Folder of both runs; one that is there goes on."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure what B changes: the paired difference of the scores with its interval, and the samples that flipped.

    Each stands in turn where the strategy asks with one of them.
    The strategy is the one that A's name begins with, unless --strategy says otherwise.
    """
    from cot.cli.eval_tasks import check_data, check_unjudged, loaders
    from cot.config import load_settings
    from cot.evaluate import select
    from cot.planner.names import strategy_names
    from cot.prompt.find import read_template
    from cot.task import load_task

    (first, first_folders), (second, second_folders) = prompts_run.find(old), prompts_run.find(new)
    if first.path == second.path:
        raise UsageError(f"got {old} and {new}, which are one file: {first.path}; expected two templates")
    templates = read_template(first, first_folders), read_template(second, second_folders)
    folder = first.name.partition("/")[0]
    named = strategy or (folder if folder in strategy_names() else None)
    settings, _ = load_settings(
        {"model": model, "strategy": named, "device": device, "quantize": quantize, "seed": seed}
    )
    with set_by_told(settings, "strategy"):
        name = step or _asked_with((first.name, second.name), settings.strategy)
        _check_inputs(name, templates, settings)
    check_data([task], data)
    loaded = load_task(task, data=data, loaders=loaders())
    check_unjudged([loaded])
    selection = select(loaded, limit=limit, seed=settings.seed)
    place = out or Path("runs") / f"compare-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with said_if_slow(settings.model):
        engine = load_engine(settings)
    try:
        before, after = asyncio.run(_both(name, templates, selection, settings, place, engine))
    except KeyboardInterrupt:
        typer.echo(
            prompts_run.safe(f"stopped; the same command with --out {shlex.quote(str(place))} goes on"), err=True
        )
        raise
    pairs = _paired(before, after)
    if left_out := len(before) - len(pairs):
        are = "is" if left_out == 1 else "are"
        typer.echo(f"note: {counted(left_out, 'sample')} errored on a side, and {are} in no figure", err=True)
    _report(pairs, (old, new), place, as_json=as_json)


def _asked_with(names: tuple[str, str], strategy: str) -> str:
    """The one of two templates that a strategy asks with. Raises UsageError: else both sides would be the same."""
    from cot.planner.templates import template_names

    known = template_names(strategy)
    for name in names:
        if name in known:
            return name
    raise UsageError(
        f"the strategy {strategy} asks with neither {names[0]} nor {names[1]}; name the template in whose place they"
        f" are put with --step: {', '.join(known)}"
    )


def _check_inputs(step: str, templates: "tuple[Template, Template]", settings: "Settings") -> None:
    """What the strategy gives to the template of a step must be what both take. Raises UsageError."""
    from cot.planner.templates import template_names
    from cot.prompt import load_template

    if step not in (known := template_names(settings.strategy)):
        raise UsageError(f"got --step {step}; the strategy {settings.strategy} asks with: {', '.join(known)}")
    named = [template for template in templates if template.matter.name == step]
    given = named[0] if named else load_template(step, language=settings.language)
    for template in templates:
        matter = template.matter
        for name, spec in matter.inputs.items():
            if spec.required and name not in given.matter.inputs:
                raise UsageError(f"{matter.name} needs the input {name!r}, which {step} is not given")
        if missing := sorted(set(given.matter.inputs) - set(matter.inputs)):
            raise UsageError(f"{matter.name} lacks the inputs {', '.join(missing)}, which {step} is given")


async def _both(
    name: str, templates: "tuple[Template, Template]", selection: "Selection", settings: "Settings", place: Path,
    engine: "Engine",
) -> "list[list[SampleResult]]":  # fmt: skip
    from cot.cli.eval_run import make_options
    from cot.evaluate import RunFolder, evaluate
    from cot.planner.calibration_file import tuning_for
    from cot.prompt.find import replaced

    options = make_options(settings, (settings.strategy,), concurrency=32, retry_errors=False, trace=False)
    options = replace(options, asking=replace(options.asking, tuning=tuning_for(settings, engine.info)[0]))
    sides = []
    try:
        for side, template in zip("ab", templates, strict=True):
            with replaced(name, template), RunFolder(place / side) as folder:
                await evaluate(folder, [selection], engine, options)
                sides.append(list(folder.results()))
            typer.echo(f"{side.upper()}: {counted(len(sides[-1]), 'sample')}", err=True)
    finally:
        await engine.close()
    return sides


def _paired(before: "list[SampleResult]", after: "list[SampleResult]") -> "list[tuple[SampleResult, SampleResult]]":
    """Both results of each sample that failed on neither side, in the order of the ids."""
    others = {result.id: result for result in after}
    pairs = [(one, others[one.id]) for one in sorted(before, key=lambda result: result.id) if one.id in others]
    return [pair for pair in pairs if "errored" not in (pair[0].status, pair[1].status)]


def _report(
    pairs: "list[tuple[SampleResult, SampleResult]]", names: tuple[str, str], place: Path, *, as_json: bool
) -> None:
    from cot.stats import paired_difference

    if not pairs:
        raise DataError(f"no sample has a score on both sides; the runs are in {place}, and say what failed")
    scores = [[result.score or 0.0 for result in side] for side in zip(*pairs, strict=True)]
    found = paired_difference(scores[0], scores[1], [one.group for one, _ in pairs])
    flipped = [_flip(one, other) for one, other in pairs if (one.score or 0.0) != (other.score or 0.0)]
    if as_json:
        means = {name: sum(side) / len(side) for name, side in zip(("a", "b"), scores, strict=True)}
        typer.echo(json.dumps({**means, "difference": asdict(found), "flipped": flipped, "out": str(place)}))
        return
    _print(found, names, scores, flipped)
    typer.echo(prompts_run.safe(f"runs: {place}"), err=True)


def _flip(one: "SampleResult", other: "SampleResult") -> dict[str, Any]:
    return {
        "id": one.id, "question": one.question, "targets": one.targets, "a": one.answer, "b": other.answer,
        "change": (other.score or 0.0) - (one.score or 0.0),
    }  # fmt: skip


def _print(
    found: "Difference", names: tuple[str, str], scores: list[list[float]], flipped: list[dict[str, Any]]
) -> None:
    from cot.cli.eval_table import interval_text

    better = sum(flip["change"] > 0 for flip in flipped)
    for letter, name, side in zip("AB", names, scores, strict=True):
        typer.echo(prompts_run.safe(f"{letter}  {sum(side) / len(side):.1%}  {name}"))
    typer.echo(
        f"B - A  {100 * found.mean:+.1f} points, 95% {interval_text(found.interval, signed=True)},"
        f" {counted(found.n, 'sample')}: {better} better, {len(flipped) - better} worse"
    )
    for flip in flipped[:MOST_SHOWN]:
        sign = "+" if flip["change"] > 0 else "-"
        line = f"{sign} {flip['id']}: {flip['question']}  {' | '.join(flip['targets'][:3])}: {flip['a']} -> {flip['b']}"
        typer.echo(prompts_run.safe(" ".join(line.split())))
    if len(flipped) > MOST_SHOWN:
        typer.echo(f"and {len(flipped) - MOST_SHOWN} more: --json has all")
