"""`cot models`: which models are here, what they are made of, and making them smaller."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from cot.cli.table import console, table

app = typer.Typer(help="List, describe and quantise models.", no_args_is_help=True)

_MODEL = typer.Argument(metavar="MODEL", help="embedded, a checkpoint folder, or a Hugging Face id.")
_JSON = typer.Option("--json", help="Print JSON instead of a table.")


@app.callback()
def _models() -> None:
    """List, describe and quantise models."""


@app.command("list")
def list_(as_json: Annotated[bool, _JSON] = False) -> None:
    """List the embedded model and those in the local Hugging Face cache, with their sizes."""
    from cot.engine.local.describe import found_in, on_this_machine
    from cot.model import EMBEDDED
    from cot.shipped import weights_folder

    found = [found_in(weights_folder(), EMBEDDED), *on_this_machine()]
    if as_json:
        rows = [{**dataclasses.asdict(one), "folder": str(one.folder)} for one in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    shown = table("model", "size", "takes images", "weights")
    words = {True: "yes", False: "no", None: "unknown"}
    for one in found:
        weights = "yes" if one.has_weights else "no safetensors"
        shown.add_row(one.model, size(one.bytes), words[one.vision_language], weights)
    console().print(shown)


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
    shown = table("", "")
    shown.show_header = False
    shown.add_row("model", plain(model))
    shown.add_row("family", f"{plain(found.family)}, {found.architecture}")
    shown.add_row("quantised on disk", plain(found.stored))
    shown.add_row("context", f"{found.context_tokens:,} tokens" if found.context_tokens else "unknown")
    tokens = "unknown" if found.image_tokens is None else f"{found.image_tokens:,} tokens"
    shown.add_row(f"image of {width} x {height}", tokens)
    for part, count in found.parameters.items():
        shown.add_row(part, f"{count:,} parameters")
    shown.add_row("all", f"{sum(found.parameters.values()):,} parameters")
    for precision, number in found.memory.items():
        shown.add_row(f"weights in {precision}", size(number))
    console().print(shown)


@app.command()
def quantize(
    model: Annotated[str, _MODEL],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, new or empty.")],
    method: Annotated[str, typer.Option("--quantize", help="nf4, fp4 or int8.")] = "nf4",
    device: Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:1.")] = None,
) -> None:
    """Save a checkpoint whose decoder is quantised; ask it with --model OUT."""
    from cot.cli.loading import said_if_slow
    from cot.config import load_settings
    from cot.engine.local.convert import save_quantized

    settings, _ = load_settings({"device": device})
    with said_if_slow(_place(model)):
        done = save_quantized(model, out, method=method, device=settings.device)
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


def _place(model: str) -> str:
    from cot.errors import UsageError
    from cot.model import is_server
    from cot.source import shown

    if is_server(model):
        raise UsageError(
            f"got the server {shown(model)}, whose weights are not here to describe or to quantise; expected embedded, "
            "a checkpoint folder or a Hugging Face id; name the checkpoint that it serves"
        )
    return model
