"""`cot trace html`, `export`, `prune` and `schema`: what writes files, or deletes them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cot.cli.options import TraceDir, joined
from cot.cli.trace_options import PATH, REDACT, age, bytes_of, opened, traces_folder
from cot.cli.whole_file import check_outs, write
from cot.cli.words import counted
from cot.errors import TraceError, UsageError

if TYPE_CHECKING:
    from cot.trace.read import Trace

MAX_TRACES: Final = 1000
"""On one page; more would be slow to open."""


def html(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…|last", help="As for show, or a folder of runs; several give an index.")
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write, instead of stdout.")] = None,
    redact: Annotated[list[str] | None, REDACT] = None,
    trace_dir: TraceDir = None,
) -> None:
    """Write one HTML file that shows runs without a server: timeline, steps, images, prompts, tokens."""
    from cot.trace.page import traces_page
    from cot.trace.redact import NOTHING, whats

    what = whats(joined(redact) or NOTHING)
    traces = [trace.redacted(what) for name in paths for trace in _traces(name, trace_dir)]
    if len(traces) > MAX_TRACES:
        raise UsageError(f"got {len(traces):,} traces; a page holds at most {MAX_TRACES:,}; name fewer")
    write(traces_page(traces), out)


def export(
    path: Annotated[str, PATH],
    otel: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL", help="Write OpenTelemetry spans (OTLP/JSON) to this file, or send them to a collector."
        ),
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all events as JSON to this file.")] = None,
    content: Annotated[
        bool, typer.Option("--content", help="Put questions, prompts and replies into the spans too.")
    ] = False,
    redact: Annotated[list[str] | None, REDACT] = None,
    trace_dir: TraceDir = None,
) -> None:
    """Write a run in a form that other programs read, or send it to one. - is stdout."""
    from cot.source import public_url
    from cot.trace.otel import otlp_json
    from cot.trace.otel_send import is_address, send
    from cot.trace.plain import plain
    from cot.trace.read import as_json as json_of
    from cot.trace.redact import NOTHING, whats

    if otel is None and as_json is None:
        raise UsageError("got nothing to write; expected --otel FILE, --otel http://HOST:4318 or --json FILE")
    if content and otel is None:
        raise UsageError("got --content without --otel; --json has the content anyway, --redact leaves it out")
    sent = otel is not None and is_address(otel)
    check_outs({"--otel": None if otel is None or sent else Path(otel), "--json": as_json})
    what = whats(joined(redact) or NOTHING)
    trace = opened(path, trace_dir).redacted(what)
    if otel is not None and sent:
        send(otlp_json(trace, content=content), otel)
        typer.echo(f"sent spans to {plain(public_url(otel), one_line=True)}", err=True)
    elif otel is not None:
        write(json.dumps(otlp_json(trace, content=content), indent=1) + "\n", Path(otel))
    if as_json is not None:
        found = json_of(trace) | ({"path": trace.name} if what else {})
        write(json.dumps(found, indent=1) + "\n", as_json)


def prune(
    older_than: Annotated[str | None, typer.Option(help="Runs that began longer ago than this: 30d, 12h.")] = None,
    max_size: Annotated[
        str | None, typer.Option(help="The oldest runs, until all have together at most this: 1GiB.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
    trace_dir: TraceDir = None,
) -> None:
    """Delete old runs, and images that no trace names. A run that is being written stays."""
    from cot.cli.models import size
    from cot.cli.table import console
    from cot.trace.plain import plain
    from cot.trace.prune import prune as delete
    from cot.trace.prune import what_to_prune

    if older_than is None and max_size is None:
        raise UsageError("got no bound; expected --older-than 30d, --max-size 1GiB, or both")
    before = None if older_than is None else datetime.now(UTC) - age(older_than, "--older-than")
    most = None if max_size is None else bytes_of(max_size, "--max-size")
    with traces_folder(trace_dir) as folder:
        removals = what_to_prune(folder, older_than=before, max_bytes=most)
    out = console()
    for removal in removals:
        files = counted(len(removal.files), "file")
        line = f"{plain(removal.folder.name, one_line=True)}: {removal.why} ({files}, {size(removal.bytes)})"
        out.print(line)
    freed = sum(removal.bytes for removal in removals) if dry_run else delete(folder, removals)
    typer.echo(f"{'would free' if dry_run else 'freed'} {size(freed)}", err=True)


def schema() -> None:
    """Print the JSON Schema of one line of a trace."""
    from cot.trace.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _traces(name: str, trace_dir: Path | None) -> "list[Trace]":
    """The trace of that name, or all of a folder of runs, newest first, with word of those that cannot be read."""
    from cot.trace.listing import list_traces
    from cot.trace.plain import plain
    from cot.trace.read import read_trace
    from cot.trace.record import TRACE_FILE

    folder = Path(name)
    try:
        several = folder.is_dir() and not (folder / TRACE_FILE).exists()
    except OSError:
        several = False
    if not several:
        return [opened(name, trace_dir)]
    found, damaged = [], []
    for listed in list_traces(folder, limit=MAX_TRACES + 1):
        try:
            trace = read_trace(listed.path)
            # Nothing is written yet, or only half a line: there is nothing to show.
            found += [trace] if trace.events else []
        except TraceError as error:
            damaged.append(str(error))
    if damaged:
        what = counted(len(damaged), "trace")
        typer.echo(f"left out {what} that cannot be read: {plain(damaged[0], one_line=True)}", err=True)
    if not found:
        raise TraceError(f"there is no trace in {folder}; expected a run folder, or a folder of such")
    return found
