"""`cot prompts render`, `watch` and `test`: what templates become, and whether their cases hold.

Prompts and results go to stdout, all that is said about them to stderr.
"""

import asyncio
import functools
from typing import TYPE_CHECKING, Annotated

import typer

from cot.errors import CotError, PromptError, UsageError

if TYPE_CHECKING:
    from cot.engine.base import Engine
    from cot.image import LoadedImage
    from cot.prompt import Rendered, Template
    from cot.prompt.case import Case, Result
    from cot.prompt.source import Folder, Located
    from cot.settings import Settings

Name = Annotated[str, typer.Argument(metavar="NAME", help="direct/answer, zh/direct/answer or shipped:direct/answer.")]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input; a list as a,b or JSON.")
]
_TOKENS = Annotated[bool, typer.Option("--tokens", help="Also count tokens under the embedded model's tokenizer.")]


def render(name: Name, inputs: Inputs = None, tokens: _TOKENS = False) -> None:
    """Print what a template becomes: with the inputs given, or with those of its first example or case."""
    found, folders = find(name)
    _print_rendered(found, folders, inputs, tokens=tokens)


def watch(name: Name, inputs: Inputs = None, tokens: _TOKENS = False) -> None:
    """Render a template again whenever it, or what it includes, is saved. Ctrl-C ends it."""
    from cot.prompt.watch import changes

    found, folders = find(name)
    typer.echo(safe(f"watching {found.path}; Ctrl-C ends it"), err=True)
    try:
        for _ in changes(folders):
            try:
                _print_rendered(*find(name), inputs, tokens=tokens)
            except CotError as error:
                typer.echo(safe(f"error: {error}"), err=True)
            typer.echo("---", err=True)
    except KeyboardInterrupt:
        return


def run_cases(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Templates; all that have cases if none, your own first."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Also ask the model, for cases that say `live: true`.")] = False,
    model: Annotated[str | None, typer.Option(help="With --live: the model, as for cot ask.")] = None,
) -> None:
    """Check the cases that lie beside templates. Exit code 1 if one fails."""
    from cot.config import load_settings

    if model is not None and not live:
        raise UsageError("got --model without --live; recorded answers are checked, and no model is asked")
    chosen = [find(name) for name in names] if names else find_all()
    for found, _ in chosen if names else ():
        if not found.cases_path.exists():
            raise PromptError(f"{label(found)} has no cases; expected {found.cases_path}; write some there")
    settings, _ = load_settings({"model": model})
    results = asyncio.run(_run_all(chosen, settings, _engine(settings) if live else None))
    for name, result in results:
        typer.echo(safe(f"{result.status}  {name}: {result.case}"))
        for problem in result.problems:
            typer.echo(safe(f"    {problem}"))
    counts = {status: sum(r.status == status for _, r in results) for status in ("passed", "failed", "skipped")}
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()), err=True)
    if counts["skipped"]:
        typer.echo("skipped cases ask a model; run them with --live", err=True)
    raise typer.Exit(1 if counts["failed"] else 0)


def find(reference: str) -> "tuple[Located, tuple[Folder, ...]]":
    """The file that NAME stands for, and the folders for what it includes; says so where it is not translated."""
    from cot.config import load_settings
    from cot.prompt.source import locate, search_path, select

    settings, _ = load_settings({})
    name, language, folders = select(reference, language=settings.language, folders=search_path())
    found = locate(name, language=language, folders=folders)
    if found.language != language:
        typer.echo(safe(f"note: {name} has no translation into {language!r}; this is the English one"), err=True)
    return found, folders


def find_all() -> "list[tuple[Located, tuple[Folder, ...]]]":
    """Every template that wins, in every language, the shipped ones last."""
    from cot.prompt.source import list_located, search_path

    folders = search_path()
    located = sorted(list_located(folders), key=lambda found: found.folder.origin == "shipped")
    return [(found, folders) for found in located]


def label(found: "Located") -> str:
    """A name with its language, if that is not English."""
    from cot.prompt.source import ENGLISH

    return found.name if found.language == ENGLISH else f"{found.language}/{found.name}"


def safe(text: str) -> str:
    """Text for a terminal, line by line, and all of it."""
    from cot.trace.plain import plain

    return "\n".join(plain(line, most=len(line) + 1) for line in text.split("\n"))


def _print_rendered(found: "Located", folders: "tuple[Folder, ...]", given: list[str] | None, *, tokens: bool) -> None:
    from cot.prompt.find import read_template
    from cot.prompt.inputs import example_inputs, typed_inputs

    template = read_template(found, folders)
    if given:
        values, origin = typed_inputs(given, template.matter), ""
    else:
        values, origin = example_inputs(template.matter, found)
    rendered = template.render(**values)
    typer.echo(safe(rendered.transcript))
    if origin:
        typer.echo(safe(f"inputs: {origin}; give your own with --input name=value"), err=True)
    if tokens:
        from cot.prompt.tokens import count_tokens

        count = count_tokens(rendered.transcript)
        typer.echo(f"{count} tokens under the embedded model's tokenizer, images not counted", err=True)


def _engine(settings: "Settings") -> "Engine":
    from cot.cli import ask
    from cot.cli.loading import said_if_slow

    with said_if_slow(settings.model):
        return ask.load_engine(settings)


async def _run_all(
    chosen: "list[tuple[Located, tuple[Folder, ...]]]", settings: "Settings", engine: "Engine | None"
) -> "list[tuple[str, Result]]":
    results: list[tuple[str, Result]] = []
    try:
        for found, folders in chosen:
            results += [(label(found), result) for result in await _run(found, folders, settings, engine)]
    finally:
        if engine is not None:
            await engine.close()
    return results


async def _run(
    found: "Located", folders: "tuple[Folder, ...]", settings: "Settings", engine: "Engine | None"
) -> "list[Result]":
    from cot.planner.asking import parse_output
    from cot.prompt.case import Result, read_cases, run_case
    from cot.prompt.find import read_template
    from cot.prompt.tokens import count_tokens

    try:
        cases = read_cases(found)
        template = read_template(found, folders) if cases else None
    except PromptError as error:
        return [Result("loading", "failed", (str(error),))]
    if template is None:
        return []
    ask = None if engine is None else functools.partial(_ask, engine, settings.seed, template)
    return [await run_case(template, case, found, parse=parse_output, count=count_tokens, ask=ask) for case in cases]


async def _ask(
    engine: "Engine",
    seed: int,
    template: "Template",
    rendered: "Rendered",
    case: "Case",
    images: "tuple[LoadedImage, ...]",
) -> tuple[str, int]:
    from cot.engine.base import Request, Sampling
    from cot.planner.asking import messages, output_constraint

    completion = await engine.complete(
        Request(
            messages(rendered, images),
            max_tokens=rendered.max_tokens,
            sampling=Sampling(seed=seed),
            constraint=output_constraint(template.matter, template.checked(case.inputs)),
            stop=rendered.stop,
        )
    )
    return completion.text, completion.usage.completion_tokens
