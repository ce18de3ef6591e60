"""`cot report`: runs as a page, as Markdown, or as files that other programs read."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.whole_file import check_outs, whole_file, write
from cot.errors import UsageError

if TYPE_CHECKING:
    from cot.compare import Chosen
    from cot.report import DataImages


def report_runs(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="Run folders, or FOLDER:STRATEGY for one strategy of a run.")
    ],
    html: Annotated[Path | None, typer.Option(help="Write one page, with plots and samples, to this file.")] = None,
    md: Annotated[Path | None, typer.Option(help="Write Markdown tables to this file; - is stdout.")] = None,
    lm_eval: Annotated[
        Path | None, typer.Option("--lm-eval", help="Write one run's scores as lm-evaluation-harness has them.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every result as a line of CSV to this file.")] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write every result as a row of Parquet, in typed columns, to this file.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Samples on the page at most; of more, so many are drawn.")
    ] = 10_000,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Small images on the page, from traces or the tasks' data.")
    ] = True,
) -> None:
    """Report runs: scores with intervals, paired differences, plots, and the samples themselves."""
    from cot.compare.stored import choose_all
    from cot.report import collect, lm_eval_results, markdown, report_page

    if all(out is None for out in (html, md, lm_eval, csv, parquet)):
        raise UsageError(
            "got nothing to write; expected --html FILE, --md FILE, --lm-eval FILE, --csv FILE or --parquet FILE"
        )
    check_outs({"--html": html, "--md": md, "--lm-eval": lm_eval, "--csv": csv, "--parquet": parquet})
    if parquet is not None:
        _check_parquet(parquet)
    chosen = [one for name in runs for one in choose_all(name)]
    if twice := [
        name for name, n in Counter(f"{one.run.path.resolve()}:{one.strategy}" for one in chosen).items() if n > 1
    ]:
        raise UsageError(f"got {twice[0]} more than once; expected each run and strategy once; leave it out")
    if html is not None or md is not None or lm_eval is not None:
        report = collect(chosen, max_samples=samples if html is not None else 0)
        if lm_eval is not None:
            write(json.dumps(lm_eval_results(report), indent=2) + "\n", lm_eval)
        if md is not None:
            write(markdown(report), md)
        if html is not None:
            write(report_page(report, images=images, data=_data_images() if images else None), html)
    if csv is not None:
        _write_csv(chosen, csv)
    if parquet is not None:
        _write_parquet(chosen, parquet)


def _data_images() -> "DataImages":
    from cot.cli.eval_tasks import loaders
    from cot.config import load_settings
    from cot.report import DataImages
    from cot.trace.plain import plain

    limits = load_settings({})[0].image_limits
    return DataImages(loaders(), limits, lambda text: typer.echo(plain(text, one_line=True), err=True))


def _write_csv(chosen: "list[Chosen]", out: Path) -> None:
    from cot.report import write_csv

    if str(out) == "-":
        write_csv(chosen, sys.stdout)
        return
    with whole_file(out) as path, path.open("w", encoding="utf-8", newline="") as file:
        write_csv(chosen, file)
    typer.echo(f"wrote {out}", err=True)


def _check_parquet(out: Path) -> None:
    """Say what is missing before any result is read."""
    from cot.dataset.parquet import load_pyarrow

    if str(out) == "-":
        raise UsageError("got --parquet -; expected a file: Parquet is no text; for stdout take --csv -")
    load_pyarrow()


def _write_parquet(chosen: "list[Chosen]", out: Path) -> None:
    from cot.report import write_parquet

    with whole_file(out) as path, path.open("wb") as file:
        write_parquet(chosen, file)
    typer.echo(f"wrote {out}", err=True)
