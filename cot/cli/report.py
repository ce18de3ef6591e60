"""`cot report`: runs as a page, as Markdown, or as files that other programs read."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli.trace_options import write
from cot.errors import DataError, UsageError, reason

if TYPE_CHECKING:
    from cot.compare import Chosen


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
    samples: Annotated[
        int, typer.Option(min=0, help="Samples on the page at most; of more, so many are drawn.")
    ] = 10_000,
) -> None:
    """Report runs: scores with intervals, paired differences, plots, and the samples themselves."""
    from cot.compare.stored import choose_all
    from cot.report import collect, lm_eval_results, markdown, report_page

    if html is None and md is None and lm_eval is None and csv is None:
        raise UsageError("got nothing to write; expected --html FILE, --md FILE, --lm-eval FILE or --csv FILE")
    chosen = [one for name in runs for one in choose_all(name)]
    if html is not None or md is not None or lm_eval is not None:
        report = collect(chosen, max_samples=samples if html is not None else 0)
        if lm_eval is not None:
            write(json.dumps(lm_eval_results(report), indent=2) + "\n", lm_eval)
        if md is not None:
            write(markdown(report), md)
        if html is not None:
            write(report_page(report), html)
    if csv is not None:
        _write_csv(chosen, csv)


def _write_csv(chosen: "list[Chosen]", out: Path) -> None:
    from cot.report import write_csv

    if str(out) == "-":
        write_csv(chosen, sys.stdout)
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            write_csv(chosen, file)
    except OSError as error:
        raise DataError(f"cannot write {out}: {reason(error)}; expected a file that can be written to") from error
    typer.echo(f"wrote {out}", err=True)
