"""`cot trace replay`: run a recorded question again, from the recorded replies or with a model."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cot.cli.options import TraceDir
from cot.cli.set_by import set_by_told
from cot.cli.table import console
from cot.cli.trace_options import PATH, opened
from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.trace.read import Trace


def replay(
    path: Annotated[str, PATH],
    live: Annotated[
        bool, typer.Option("--live", help="Ask a model again, that of the settings or of --model, and show the diff.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="With --live: as for cot ask.")] = None,
    strategy: Annotated[str | None, typer.Option(help="With --live: instead of the recorded one.")] = None,
    templates: Annotated[
        str | None, typer.Option(help="With --live: templates of yours in place of a step's: direct/answer=my/answer.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="With --live: as for cot ask.")] = None,
    quantize: Annotated[str | None, typer.Option(help="With --live: as for cot ask.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    trace_dir: TraceDir = None,
) -> None:
    """Run the planner again over the recorded replies, and say where it comes to something else.

    Exit code 0: all as recorded (with --live: there is an answer); 1: not.
    No model is loaded or asked because a trace names it: with --live it is that of the settings or of --model.
    A live run leaves a trace of its own, which is the one that `last` means from then on.
    """
    trace = opened(path, trace_dir)
    overrides = {"model": model, "strategy": strategy, "templates": templates, "device": device, "quantize": quantize}
    if live:
        raise typer.Exit(_live(trace, {**overrides, "trace_dir": trace_dir}, as_json=as_json))
    if given := [f"--{name}" for name, value in overrides.items() if value is not None]:
        raise UsageError(f"got {', '.join(given)} without --live; from recorded replies only the recorded run is made")
    raise typer.Exit(_recorded(trace, as_json=as_json))


def _recorded(trace: "Trace", *, as_json: bool) -> int:
    from rich.text import Text

    from cot.replay import replay
    from cot.trace.plain import plain

    found = asyncio.run(replay(trace))
    if as_json:
        typer.echo(json.dumps({"same": not found.differences, "differences": found.differences, **_ends(found.diff.b)}))
    else:
        out = console()
        for difference in found.differences:
            out.print(Text(plain(difference, one_line=True), "yellow"))
        calls = len(trace.calls)
        how = f"{calls} recorded repl{'y' if calls == 1 else 'ies'}, no model"
        ended = f"{plain(_ends(found.diff.b)['answer'] or 'none', one_line=True)}  ({how})"
        same = "the same answer again: " if not found.differences else "not as recorded; the answer now: "
        out.print(Text.assemble((same, "bold"), ended))
    return 1 if found.differences else 0


def _live(trace: "Trace", overrides: dict[str, Any], *, as_json: bool) -> int:
    from cot.cli import ask
    from cot.cli.loading import said_if_slow, say_notes
    from cot.config import load_settings
    from cot.planner.ask import ask as ask_again
    from cot.planner.names import check_strategy
    from cot.planner.wording import checked_templates, read_wording
    from cot.replay import begun, recorded_budget, recorded_language, recorded_question
    from cot.trace.diff import diff_traces
    from cot.trace.read import read_trace
    from cot.trace.record import Recorder
    from cot.trace.redact import whats
    from cot.trace.show_diff import diff_lines

    question, started = recorded_question(trace), begun(trace)
    wording = read_wording(recorded_language(trace), started.settings.get("system"), started.settings.get("templates"))
    asked = {"strategy": started.strategy, "system": "", "templates": "", **wording.recordable, "seed": started.seed}
    settings, _ = load_settings({**asked, **{name: value for name, value in overrides.items() if value is not None}})
    with set_by_told(settings, "strategy", "templates"):
        check_strategy(settings.strategy)
        checked_templates(settings.templates, language=settings.language)

    async def again(recorder: Recorder) -> Any:
        try:
            return await ask_again(question, engine, settings, budget=recorded_budget(trace), recorder=recorder)
        finally:
            await engine.close()

    with Recorder(settings.trace_dir, redact=whats(settings.redact)) as recorder:
        with said_if_slow(settings.model):
            engine = ask.load_engine(settings)
        say_notes(engine)
        outcome = asyncio.run(again(recorder))
    now = read_trace(recorder.path)
    if as_json:
        typer.echo(json.dumps({"recorded": _ends(trace), "now": _ends(now), "trace": str(now.path)}))
    else:
        console().print(diff_lines(diff_traces(trace, now)))
        typer.echo(f"trace: {now.path}", err=True)
    return 0 if ask.answered(outcome) else 1


def _ends(trace: "Trace") -> dict[str, Any]:
    finished = trace.finished
    answer = finished.answer if finished else None
    return {"answer": answer.text if answer else None, "stop_reason": finished.stop_reason if finished else None}
