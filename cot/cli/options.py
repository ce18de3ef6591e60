"""Options that several commands share, so that each means and reads the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer


def joined(words: list[str] | None) -> str | None:
    """Words of an option that may be given several times, as one text; None if it was not given."""
    return ",".join(words) if words else None


def named_path(text: str) -> Path:
    """A path that an option names. Raises BadParameter for none at all, which would be the folder stood in."""
    if not text:
        raise typer.BadParameter("got no text; expected a path")
    return Path(text)


Model = Annotated[str | None, typer.Option(help="embedded, a checkpoint folder, a Hugging Face id, or a server's URL.")]
Strategy = Annotated[str | None, typer.Option(help="route, decompose, direct, cot, vote, verify, or one of your own.")]
Language = Annotated[str | None, typer.Option(help="Language of the prompt templates: en or zh.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:1.")]
Quantize = Annotated[str | None, typer.Option(help="none, nf4, fp4 or int8: shrink the decoder.")]
KvMemory = Annotated[str | None, typer.Option(help="For keys and values: auto, 512MiB, 2GiB.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Compile a local model's decoding: slow at first.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn at random.")]
Redact = Annotated[
    list[str] | None,
    typer.Option(help="Never write these to a trace: prompts, images or all; several by commas, or one option each."),
]
TraceDir = Annotated[
    Path | None,
    typer.Option(parser=named_path, metavar="PATH", help="Folder of the traces, instead of the setting."),
]
