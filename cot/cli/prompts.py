"""`cot prompts`: find, write, check and compare prompt templates; `prompts_run` renders and tests them,
`prompts_compare` measures them.

NAME is `direct/answer`; before it may stand a language (`zh/direct/answer`), and before that one of the places
that are searched (`shipped:direct/answer`).
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cot.cli import prompts_compare, prompts_run

if TYPE_CHECKING:
    from cot.prompt.source import Folder, Located

app = typer.Typer(help="Write, look at and test prompt templates.", no_args_is_help=True)

_NAMES = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Templates; all of them if none.")]


@app.callback()
def _prompts() -> None:
    """Write, look at and test prompt templates."""


app.command("render")(prompts_run.render)
app.command("watch")(prompts_run.watch)
app.command("test")(prompts_run.run_cases)
app.command("compare")(prompts_compare.compare)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the templates, which folder each comes from, and the files that it shadows.

    The first that has a file wins: ./prompts (project), prompts in your settings folder (user), the shipped ones.
    """
    from cot.planner.names import name_problem
    from cot.planner.own import own_strategies
    from cot.prompt.source import list_located, search_path

    folders = search_path()
    found = list_located(folders)
    if as_json:
        rows = [
            {"name": one.name, "language": one.language, "from": one.folder.origin, "path": str(one.path),
             "shadows": [str(path) for path in one.shadows]}
            for one in found
        ]  # fmt: skip
        typer.echo(json.dumps(rows, indent=2))
        return
    _print_list(found)
    for folder in folders:
        is_there = "" if folder.path.is_dir() else " (not there)"
        typer.echo(prompts_run.safe(f"{folder.origin}: {folder.path}{is_there}"), err=True)
    for name, path in own_strategies().items():
        if not name_problem(name):
            typer.echo(prompts_run.safe(f"strategy {name}: {path}"), err=True)


def _print_list(found: "tuple[Located, ...]") -> None:
    from cot.cli.table import console, table

    shown = table("name", "language", "from", "shadows")
    for one in found:
        shadows = ", ".join(prompts_run.safe(str(path)) for path in one.shadows)
        shown.add_row(one.name, one.language, one.folder.origin, shadows)
    console().print(shown)


@app.command()
def show(name: prompts_run.Name) -> None:
    """Print a template's file."""
    from cot.prompt.source import read_inside

    found, _ = prompts_run.find(name)
    text = read_inside(found.path, found.folder.path, name=found.name)
    typer.echo(prompts_run.safe(f"{found.folder.origin}: {found.path}"), err=True)
    typer.echo(prompts_run.safe(text), nl=False)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="strategy/step, or language/strategy/step.")],
    for_user: Annotated[bool, typer.Option("--user", help="In your settings folder instead of ./prompts.")] = False,
) -> None:
    """Write a template that works, and cases for it, to start from.

    A name that is shipped gives a copy of what is shipped, which then takes its place.
    Where another language is set, it is the translation that is copied.
    """
    from pathlib import Path

    from cot.config import load_settings, user_file
    from cot.prompt.scaffold import scaffold
    from cot.prompt.source import Folder, search_path

    project = Folder("project", Path("prompts").absolute())
    folder = Folder("user", user_file().parent / "prompts") if for_user else project
    folders = search_path()
    if not for_user and project not in folders:
        # In a checkout, where who adds to what ships stands too.
        note = (
            f"note: {project.path} is the folder of what ships; a template of your own lies elsewhere, or with --user"
        )
        typer.echo(prompts_run.safe(note), err=True)
    language = load_settings({})[0].language
    for path in scaffold(name, folder=folder, folders=folders, language=language):
        typer.echo(prompts_run.safe(f"wrote {path}"))
    typer.echo(f"look at it with: cot prompts render {name}", err=True)


@app.command()
def lint(names: _NAMES = None) -> None:
    """Look for mistakes without a model. Exit code 1 if there are errors; warnings alone are 0."""
    from cot.planner.asking import check_output
    from cot.prompt.lint import lint as find_mistakes
    from cot.prompt.source import search_path, strays

    counts = {"error": 0, "warning": 0}
    chosen = _chosen(names)
    for problem in [] if names else _wrong_strategies():
        counts["error"] += 1
        typer.echo(prompts_run.safe(problem))
    for path, problem in () if names else strays(search_path()):
        counts["warning"] += 1
        typer.echo(prompts_run.safe(f"{path}: warning: {problem}"))
    for found, folders in chosen:
        for finding in find_mistakes(found, folders, check_output=check_output):
            counts[finding.level] += 1
            typer.echo(prompts_run.safe(f"{prompts_run.label(found)}: {finding.level}: {finding.text}"))
    said = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
    typer.echo(f"{len(chosen)} template{'s' * (len(chosen) != 1)}, {said}", err=True)
    raise typer.Exit(1 if counts["error"] else 0)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="A", help="A template, for example shipped:direct/answer.")],
    new: Annotated[str, typer.Argument(metavar="B", help="The template to compare it with.")],
    inputs: prompts_run.Inputs = None,
) -> None:
    """Print how B differs from A: front matter, and the text that both are rendered to with the same inputs."""
    from cot.prompt.compare_text import difference
    from cot.prompt.find import read_template
    from cot.prompt.inputs import example_inputs, typed_inputs

    (first, first_folders), (second, second_folders) = prompts_run.find(old), prompts_run.find(new)
    one, two = read_template(first, first_folders), read_template(second, second_folders)
    if inputs:
        known = [text for text in inputs if text.partition("=")[0] in one.matter.inputs]
        others = [text for text in inputs if text not in known]
        values = typed_inputs(known, one.matter) | typed_inputs(others, two.matter)
    else:
        values = example_inputs(two.matter, second)[0] | example_inputs(one.matter, first)[0]
    lines = difference(one, two, values, labels=(old, new))
    for line in lines:
        typer.echo(prompts_run.safe(line))
    if not lines:
        typer.echo("no difference", err=True)


def _wrong_strategies() -> list[str]:
    from cot.errors import CotError
    from cot.planner.names import find_own, name_problem
    from cot.planner.own import own_strategies

    problems = []
    for name, path in own_strategies().items():
        problem = name_problem(name)
        if problem:
            problems.append(f"{name}: error: {path}: {problem}")
            continue
        try:
            find_own(name)
        except CotError as error:
            problems.append(f"{name}: error: {error}")
    return problems


def _chosen(names: list[str] | None) -> "list[tuple[Located, tuple[Folder, ...]]]":
    return [prompts_run.find(name) for name in names] if names else prompts_run.find_all()
