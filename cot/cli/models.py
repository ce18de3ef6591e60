"""`cot models`: which models are here, what they are made of, and making them smaller."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List, describe and quantise models.", no_args_is_help=True)

_MODEL = typer.Argument(metavar="MODEL", help="embedded, a checkpoint folder, or a Hugging Face id.")
_JSON = typer.Option("--json", help="Print JSON instead of a table.")


@app.callback()
def _models() -> None:
    """List, describe and quantise models."""


@app.command("list")
def list_(as_json: Annotated[bool, _JSON] = False) -> None:
    """List the embedded model and those in the local Hugging Face cache, with their sizes."""
    from cot.config import weights_folder
    from cot.engine.local.describe import found_in, on_this_machine

    found = [found_in(weights_folder(), "embedded"), *on_this_machine()]
    if as_json:
        rows = [{**dataclasses.asdict(one), "folder": str(one.folder)} for one in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = _table("model", "size", "takes images", "weights")
    words = {True: "yes", False: "no", None: "unknown"}
    for one in found:
        weights = "yes" if one.has_weights else "no safetensors"
        table.add_row(one.model, size(one.bytes), words[one.vision_language], weights)
    _print(table)


@app.command()
def info(model: Annotated[str, _MODEL], as_json: Annotated[bool, _JSON] = False) -> None:
    """Print what a model is made of and the memory that it takes, from its config alone: no weights are read."""
    from cot.engine.local.describe import IMAGE_SIZE, describe
    from cot.trace.plain import plain

    found = describe(_place(model))
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(found), "image_size": IMAGE_SIZE}, indent=2))
        return
    width, height = IMAGE_SIZE
    table = _table("", "")
    table.show_header = False
    table.add_row("model", plain(model))
    table.add_row("family", f"{plain(found.family)}, {found.architecture}")
    table.add_row("quantised on disk", plain(found.stored))
    table.add_row("context", f"{found.context_tokens:,} tokens" if found.context_tokens else "unknown")
    tokens = "unknown" if found.image_tokens is None else f"{found.image_tokens:,} tokens"
    table.add_row(f"image of {width} x {height}", tokens)
    for part, count in found.parameters.items():
        table.add_row(part, f"{count:,} parameters")
    table.add_row("all", f"{sum(found.parameters.values()):,} parameters")
    for precision, number in found.memory.items():
        table.add_row(f"weights in {precision}", size(number))
    _print(table)


@app.command()
def quantize(
    model: Annotated[str, _MODEL],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, new or empty.")],
    method: Annotated[str, typer.Option("--quantize", help="nf4, fp4 or int8.")] = "nf4",
    device: Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:1.")] = None,
) -> None:
    """Save a checkpoint whose decoder is quantised; ask it with --model OUT."""
    from cot.config import load_settings
    from cot.engine.local.convert import save_quantized

    settings, _ = load_settings({"device": device})
    done = save_quantized(_place(model), out, method=method, device=settings.device)
    written = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    typer.echo(f"wrote {out}: {done.quantization}, {size(written)} of weights", err=True)


def size(count: int) -> str:
    """Bytes for people: `18.8 MiB`."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def _place(model: str) -> str | Path:
    from cot.config import checkpoint, is_server
    from cot.errors import UsageError
    from cot.source import shown

    if is_server(model):
        raise UsageError(f"got the server {shown(model)}; expected embedded, a checkpoint folder or a Hugging Face id")
    return checkpoint(model)


def _table(*headings: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    # A pipe has no width: nothing is wrapped there, so that it can be searched line by line.
    width = None if sys.stdout.isatty() else 10_000
    Console(markup=False, highlight=False, emoji=False, width=width).print(table)
