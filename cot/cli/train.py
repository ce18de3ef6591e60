"""`cot train`: train the embedded model from nothing."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train models.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train models."""


@app.command()
def embedded(
    out: Annotated[Path, typer.Option(help="Folder for the finished checkpoint.")],
    work: Annotated[Path, typer.Option(help="Folder for what a stopped run resumes from.")] = Path("runs/embedded"),
    init: Annotated[Path | None, typer.Option(help="A finished checkpoint to start from.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Time for learning to answer.")] = 90.0,
    vision_minutes: Annotated[float, typer.Option(min=0, help="Time for learning to see, before that.")] = 150.0,
    look_up_minutes: Annotated[
        float, typer.Option(min=0, help="Time for learning what a name refers to, between the two.")
    ] = 4.0,
    size: Annotated[str, typer.Option(help="embedded, or tiny for a trial.")] = "embedded",
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 1e-3,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the model first: faster, needs a C++ compiler.")
    ] = False,
) -> None:
    """Train the embedded model on samples that the generators make and on easy-VQA's train split.

    The same command with the same --work resumes a run that was stopped.
    """
    from cot.errors import UsageError
    from cot.train.embedded import Recipe, train_embedded
    from cot.train.model import SIZES

    if size not in SIZES:
        raise UsageError(f"unknown size {size!r}; known: {', '.join(SIZES)}")
    if init and not (init / "config.json").is_file():
        raise UsageError(f"--init {init} is not a checkpoint folder; expected config.json in it")
    recipe = Recipe(
        size=size,
        minutes=minutes,
        vision_minutes=vision_minutes,
        look_up_minutes=look_up_minutes,
        batch=batch,
        learning_rate=learning_rate,
        workers=workers,
        seed=seed,
        compile=compile_model,
    )
    train_embedded(recipe, work=work, out=out, device=device, init=init)
    typer.echo(f"wrote {out}", err=True)
