"""`cot config`: what the settings are, and where each came from."""

import json
from typing import Annotated

import typer

app = typer.Typer(help="Show the settings.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Show the settings."""


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print each setting, its value, and where the value came from.

    The first of these that names a setting wins:
    the command line, COT_* environment variables, cot.toml in the current folder, the user's config.toml, the default.
    But where both files name redact, what either leaves out of traces is left out, and a trace_dir of the user's stays.
    """
    from cot.config import load_settings
    from cot.errors import CotError
    from cot.planner.names import check_strategy
    from cot.trace.plain import plain

    settings, origins = load_settings({})
    try:
        check_strategy(settings.strategy)
    except CotError as error:
        typer.echo(f"warning: {plain(str(error), one_line=True)}", err=True)
    values = settings.model_dump(mode="json")
    if as_json:
        rows = {name: {"value": values[name], "from": origin} for name, origin in origins.items()}
        typer.echo(json.dumps(rows, indent=2))
        return

    from cot.cli.table import console, table

    shown = table("setting", "value", "from")
    for name, origin in origins.items():
        # As a settings file and a variable take it.
        value = str(values[name]).lower() if isinstance(values[name], bool) else str(values[name])
        shown.add_row(name, plain(value), plain(origin))
    console().print(shown)
