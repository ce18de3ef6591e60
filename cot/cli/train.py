"""`cot train`: train the embedded model from nothing."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cot.cli.options import named_path

app = typer.Typer(help="Train models.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train models."""


def _minutes(what: str) -> Any:
    return typer.Option(min=0, help=f"Time for learning {what}.")


@app.command()
def embedded(
    out: Annotated[Path, typer.Option(parser=named_path, metavar="PATH", help="Folder for the finished checkpoint.")],
    work: Annotated[
        Path, typer.Option(parser=named_path, metavar="PATH", help="Folder for what a stopped run resumes from.")
    ] = Path("runs/embedded"),
    init: Annotated[
        Path | None, typer.Option(parser=named_path, metavar="PATH", help="A finished checkpoint to start from.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train on for --minutes where the run has ended.")] = False,
    minutes: Annotated[float, _minutes("to answer")] = 90.0,
    vision_minutes: Annotated[float, _minutes("to see, before that")] = 150.0,
    look_up_minutes: Annotated[float, _minutes("what a name refers to, between the two")] = 4.0,
    size: Annotated[str, typer.Option(help="embedded, or tiny for a trial.")] = "embedded",
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 1e-3,
    tower_share: Annotated[float, typer.Option(min=0, help="The vision tower's, as a share of --learning-rate.")] = 0.5,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of weights and samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile first: faster, needs a C++ compiler.")] = False,
) -> None:
    """Train the embedded model on samples that the generators make and on easy-VQA's train split.

    The same command with the same --work resumes a run that was stopped.
    """
    from cot.train.embedded import train_embedded
    from cot.train.recipe import Recipe

    recipe = Recipe(
        size=size, minutes=minutes, vision_minutes=vision_minutes, look_up_minutes=look_up_minutes, batch=batch,
        learning_rate=learning_rate, tower_share=tower_share, workers=workers, seed=seed, compile=compiled,
    )  # fmt: skip
    train_embedded(recipe, work=work, out=out, device=device, init=init, again=again)
    typer.echo(f"wrote {out}", err=True)
