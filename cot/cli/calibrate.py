"""`cot calibrate`: fits strategies and confidences to a model, and keeps what it found for the next questions.

Figures go to stdout; progress, and how to go back, to stderr.
"""

import asyncio
import json
import shlex
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.ask import check_model, load_engine
from cot.cli.eval_run import make_options
from cot.cli.eval_tasks import check_data, check_unjudged, loaders
from cot.cli.loading import said_if_slow, say_notes
from cot.cli.options import Compile, Device, KvMemory, Language, Quantize, Seed, named_path
from cot.cli.time_left import SECONDS_BETWEEN_LINES, TimeLeft
from cot.cli.words import counted

if TYPE_CHECKING:
    from cot.engine.base import Engine, EngineInfo
    from cot.evaluate.fitting import Calibration
    from cot.evaluate.options import Options
    from cot.evaluate.select import Selection
    from cot.planner.calibration_file import Entry
    from cot.settings import Settings
    from cot.trace.stderr import Stderr


def calibrate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="embedded, a checkpoint folder, a Hugging Face id, or a URL."),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="A task whose samples nothing is measured on; several may be named."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Samples of each task at most: the first ones.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="The file to write, not that of the settings."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(parser=named_path, metavar="PATH", help="Folder that the tasks' data is in, if not beside them."),
    ] = None,
    votes: Annotated[bool, typer.Option("--votes/--no-votes", help="Fit `vote` too, which takes the longest.")] = True,
    max_cost: Annotated[float, typer.Option(min=1, help="Tokens of `route` over those of `direct` at most.")] = 2.5,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, max=4, help="Rounds of sub-questions, if not as before; later ones ask what stayed unknown."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Samples in flight at most.")] = 32,
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    kv_memory: KvMemory = None,
    compile: Compile = None,
    seed: Seed = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
) -> None:
    """Measure how sure a model should be, and when steps help it; confidences and `route` go by that from then on.

    Half of the images are fitted to, the other half tells what it is worth.
    Without --task the samples are drawn by this package's generators, which is right for the embedded model.
    For another one name a task of your own pictures.
    """
    from cot.config import load_settings
    from cot.evaluate.select import select
    from cot.planner.calibration_file import check_writable, read_entries
    from cot.task import load_task
    from cot.trace.plain import plain
    from cot.trace.stderr import Stderr

    settings, _ = load_settings(
        {"model": model, "language": language, "device": device, "quantize": quantize, "kv_memory": kv_memory,
         "compile": compile, "seed": seed}
    )  # fmt: skip
    options = make_options(settings, ("direct",), concurrency=concurrency, retry_errors=False, trace=False)
    path = out or settings.calibration
    # What cannot be added to, or written, is told before anything is asked.
    before = read_entries(path).get(settings.model)
    names = tasks or ["calibration"]
    check_data(names, data)
    loaded = [load_task(task, data=data, loaders=loaders()) for task in names]
    check_writable(path)
    check_unjudged(loaded)
    check_model(settings)
    selections = [select(task, limit=limit) for task in loaded]
    told = Stderr()
    if not quiet:
        samples = counted(sum(selection.n for selection in selections), "sample")
        ways = "directly, by steps and by votes" if votes else "directly and by steps"
        what = f"calibrating {settings.model} into {path}: {samples}, each asked {ways}"
        told.print(plain(what, one_line=True))
    found, info = _measure(
        selections, settings, options, votes=votes, max_cost=max_cost, rounds=rounds, told=told, quiet=quiet
    )
    try:
        if as_json:
            typer.echo(json.dumps({**asdict(found), "tuning": found.tuning.model_dump(), "out": str(path)}))
        else:
            _print(found, before)
    finally:
        # Also where nobody reads the figures any more: it took long to find them.
        back = _write(path, settings.model, _entry(found, info))
        told.print(f"wrote {path}\nto go back: {back}")


def _measure(
    selections: "list[Selection]",
    settings: "Settings",
    options: "Options",
    *,
    votes: bool,
    max_cost: float,
    rounds: int | None,
    told: "Stderr",
    quiet: bool,
) -> "tuple[Calibration, EngineInfo]":
    from cot.evaluate.calibration import Watch
    from cot.evaluate.calibration import calibrate as measure
    from cot.planner.calibration_file import tuning_for
    from cot.planner.tuning import Tuning

    class Progress(Watch):
        def __init__(self) -> None:
            self._shown = time.monotonic()
            self._time_left = TimeLeft(options.concurrency)

        def asked(self, done: int, total: int) -> None:
            now = time.monotonic()
            self._time_left.finished(now)
            if not quiet and (done == total or now - self._shown >= SECONDS_BETWEEN_LINES):
                self._shown = now
                told.print(f"{done}/{counted(total, 'sample')}{self._time_left.text(total - done, now)}")

    with said_if_slow(settings.model, quiet=quiet):
        engine = load_engine(settings)
    before, _ = tuning_for(settings, engine.info)
    asking = replace(options.asking, tuning=Tuning(rounds=rounds or before.rounds))
    # Also to who wants no progress: what is fitted holds in other folders too.
    say_notes(engine)

    async def run(engine: "Engine") -> "Calibration":
        try:
            return await measure(
                selections, engine, asking, votes=votes, max_cost=max_cost, concurrency=options.concurrency,
                watch=Progress(),
            )  # fmt: skip
        finally:
            await engine.close()

    return asyncio.run(run(engine)), engine.info


def _entry(found: "Calibration", info: "EngineInfo") -> "Entry":
    from cot.planner.calibration_file import Entry

    measured = {"samples": float(found.n), "route": found.route.accuracy, "direct": found.route.direct_accuracy,
                "cost": found.route.cost}  # fmt: skip
    for one in found.honesty:
        measured |= {f"{one.source} error before": one.before, f"{one.source} error after": one.after}
    rounded = {name: round(value, 4) for name, value in measured.items()}
    numbers = found.tuning.model_dump()
    return Entry(revision=info.revision, quantization=info.quantization, measured=rounded, **numbers)


def _write(path: Path, model: str, entry: "Entry") -> str:
    """Write it; the command that undoes it. The file that was there is kept beside."""
    from cot.planner.calibration_file import kept_beside, write_entry

    kept = kept_beside(path)
    was_there = path.is_file()
    if was_there:
        # What a link of that name leads to is none of it.
        kept.unlink(missing_ok=True)
        shutil.copyfile(path, kept)
    write_entry(path, model, entry)
    return shlex.join(["mv", str(kept), str(path)] if was_there else ["rm", str(path)])


def _print(found: "Calibration", before: "Entry | None") -> None:
    from cot.cli.table import console, table
    from cot.planner.tuning import Tuning

    shown = table("confidence", "fitted", "checked", "error before", "after")
    for one in found.honesty:
        shown.add_row(one.source, str(one.fitted), str(one.n), f"{one.before:.3f}", f"{one.after:.3f}")
    console().print(shown)
    for one in found.honesty:
        if one.kept:
            typer.echo(f"{one.source}: confidences stay as they are: {one.kept}")
    route = found.route
    typer.echo(
        f"route, on what was not fitted to: {route.accuracy:.1%} right at {route.cost:.2f} times the tokens of direct,"
        f" which has {route.direct_accuracy:.1%}"
    )
    old = before.tuning if before else Tuning()
    changed = [(name, value, getattr(old, name)) for name, value in found.tuning if value != getattr(old, name)]
    for name, value, was in changed:
        typer.echo(f"{name}: {was:g} -> {value:g}")
    if not changed:
        typer.echo("nothing changed")
    if found.left_out:
        are = "is" if found.left_out == 1 else "are"
        failed = f"{counted(found.left_out, 'sample')} failed, and {are} in no figure, the first with: {found.failure}"
        typer.echo(f"note: {failed}", err=True)
