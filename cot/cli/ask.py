"""`cot ask`: one question about images, one answer.

The answer goes to stdout, alone where stdout is no terminal; everything else goes to stderr. Exit codes:
0 there is an answer, 1 there is none, 2 a wrong command line, 130 interrupted.
"""

import asyncio
import itertools
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cot.cli.options import (
    Compile,
    Device,
    KvMemory,
    Language,
    Model,
    Quantize,
    Redact,
    Seed,
    Strategy,
    TraceDir,
    joined,
)
from cot.cli.set_by import set_by_told
from cot.errors import UsageError, quoted

if TYPE_CHECKING:
    from cot.cli.ask_output import Output
    from cot.engine.base import Engine
    from cot.planner.run import Outcome
    from cot.question import Question
    from cot.settings import Settings

MAX_QUESTION_CHARACTERS: Final = 10_000
_IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_SCHEMES: Final = ("http://", "https://", "file://")
_EXAMPLE: Final = 'cot ask photo.jpg "How many dogs are there?"'
_PIPED_EXAMPLE: Final = 'echo "How many dogs are there?" | cot ask photo.jpg'


def ask(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE… QUESTION", help="Paths or URLs of images, then the question; - is stdin."),
    ] = None,
    model: Model = None,
    strategy: Strategy = None,
    language: Language = None,
    device: Device = None,
    quantize: Quantize = None,
    kv_memory: KvMemory = None,
    compile: Compile = None,
    seed: Seed = None,
    max_steps: Annotated[int | None, typer.Option(help="Questions to the model at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens generated at most, over all steps.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds at most, loading not counted.")] = None,
    choices: Annotated[
        list[str] | None, typer.Option(help="The answer is one of these: comma separated, or one option each.")
    ] = None,
    trace_dir: TraceDir = None,
    redact: Redact = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Print where the time went.")] = False,
) -> None:
    """Answer a question about one or more images.

    Without a question among the arguments it is read from stdin: echo "How many dogs?" | cot ask photo.jpg
    """
    from cot.cli.ask_output import Output, seconds_since_process_start

    output = Output(as_json=as_json, quiet=quiet, timings=timings)
    output.spent("python and command line", seconds_since_process_start())
    given: dict[str, object] = {
        "model": model, "strategy": strategy, "language": language, "device": device, "quantize": quantize,
        "kv_memory": kv_memory, "compile": compile, "seed": seed, "max_steps": max_steps, "max_tokens": max_tokens,
        "max_seconds": max_seconds, "trace_dir": trace_dir, "redact": joined(redact),
    }  # fmt: skip
    with output.failure_as_json():
        outcome = _outcome(arguments or [], split_choices(choices or []), given, output)
    raise typer.Exit(0 if answered(outcome) else 1)


def split_arguments(arguments: list[str], *, stdin_is_terminal: bool) -> tuple[list[str], str | None]:
    """The images, and the question; None if the question is to be read from stdin.

    The last argument is the question, unless it is `-`, or is an image too and something is piped in.
    Raises UsageError if there is no image, no question, or stdin is wanted twice or has nothing.
    """
    if not arguments:
        raise UsageError(f"no image and no question were given; expected for example: {_EXAMPLE}")
    *images, last = arguments
    text: str | None = last
    if last == "-" and images:
        text = None
        if stdin_is_terminal:
            raise UsageError(
                "the question is -, but stdin is a terminal; pipe the question in, or write it instead of -"
            )
    elif last != "-" and _looks_like_image(last) and all(map(_looks_like_image, images)):
        images, text = arguments, None
        if stdin_is_terminal or "-" in images:
            raise UsageError(f"the question is missing: {last!r} looks like an image; expected for example: {_EXAMPLE}")
    elif _looks_like_image(last) and _hold_question(images):
        raise UsageError(f"the question comes after the images, but {last!r} is last; expected for example: {_EXAMPLE}")
    if not images:
        raise UsageError(f"no image was given, only {last!r}; expected for example: {_EXAMPLE}")
    if "" in images:
        # As a path it would be the folder stood in.
        raise UsageError(f"got '' for an image; expected a path or a URL, for example: {_EXAMPLE}")
    if images.count("-") + (text is None) > 1:
        raise UsageError("stdin (-) was named twice; it can be one image or the question")
    if text is not None:
        _check_quoted(images, text)
    return images, text


def _hold_question(images: list[str]) -> bool:
    """Whether a question stands among the images: one in quotes, or one without, of whose words none is an image."""
    are_images = list(map(_looks_like_image, images))
    return any(" " in image for image, is_image in zip(images, are_images, strict=True) if not is_image) or (
        len(images) > 1 and not any(are_images)
    )


def _check_quoted(images: list[str], question: str) -> None:
    """Raises UsageError where a question is likely not to be in quotes: a word stands behind images, and is none.

    What has blanks was in quotes, and a URL is an image that is told of when it is opened.
    """
    named = list(itertools.takewhile(_looks_like_image, images))
    words = images[len(named) :]
    if not named or not words or any(map(str.isspace, words[0] + question)):
        return
    if "://" in words[0] or _is_there(words[0]):
        return
    whole = " ".join([*words, question])
    shown = shlex.join(["cot", "ask", *named, whole if len(whole) <= 200 else f"{whole[:199]}…"])
    raise UsageError(f"got {quoted(words[0])}, which is no image; expected the question in quotes, perhaps: {shown}")


def split_choices(choices: list[str]) -> tuple[str, ...]:
    """Choices of `--choices a,b`, or of `--choices a --choices b`, where commas are part of a choice.

    Raises UsageError for a single one, which would be the answer whatever is asked.
    """
    found = choices[0].split(",") if len(choices) == 1 else choices
    if len(found) == 1:
        raise UsageError(f"got --choices {quoted(found[0])} alone; expected at least two, as in --choices red,blue")
    return tuple(choice.strip() for choice in found)


def load_question(images: list[str], text: str | None, choices: tuple[str, ...], settings: "Settings") -> "Question":
    """Open the images, and read the question from stdin if it is None. Raises UsageError or ImageError."""
    from cot.image import load_image
    from cot.question import Question

    is_long = False
    if text is None:
        data = sys.stdin.buffer.read(4 * MAX_QUESTION_CHARACTERS + 1)
        is_long = len(data) > 4 * MAX_QUESTION_CHARACTERS
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    text = text.strip()
    if not text and not is_long:
        raise UsageError(f"the question is empty; expected for example: {_EXAMPLE}; or on stdin: {_PIPED_EXAMPLE}")
    if is_long or len(text) > MAX_QUESTION_CHARACTERS:
        raise UsageError(f"the question has more than {MAX_QUESTION_CHARACTERS:,} characters; shorten it")
    for words in (text, *choices):
        if any("\ud800" <= character <= "\udfff" for character in words):
            raise UsageError(f"got text that is not UTF-8: {words[:60]!r}; write it in UTF-8")
    loaded = tuple(load_image(image, settings.image_limits) for image in images)
    return Question(text, loaded, choices)


def check_model(settings: "Settings") -> None:
    """Find out before what takes long that there is no such model as the settings name; a server is not asked.

    Raises EngineError, and ConfigError as `load_engine`.
    """
    from cot.model import is_server

    with set_by_told(settings, "model"):
        if is_server(settings.model):
            from cot.engine.remote.address import check_server

            check_server(settings)
        else:
            from cot.engine.local.source import find_settings

            # A hub model that a folder's file names is not fetched: nobody asked for that.
            find_settings(settings.model, fetch=not settings.set_by_folder("model"))


def load_engine(settings: "Settings") -> "Engine":
    """Load the model that the settings name, or connect to its server.

    Raises EngineError, or UsageError if it cannot be loaded as they say, and ConfigError for what a folder's file names
    that is not on this machine: a server, as `check_server`, or a model that would have to be fetched.
    """
    with set_by_told(settings, "model", "device", "quantize", "kv_memory", "compile"):
        return _load(settings)


def _load(settings: "Settings") -> "Engine":
    from cot.engine.local import LocalEngine
    from cot.model import is_server
    from cot.source import shown

    if is_server(settings.model):
        from cot.engine.remote import RemoteEngine
        from cot.engine.remote.address import check_server

        check_server(settings)
        for given, instead in (
            (settings.quantize != "none" and f"--quantize {settings.quantize}", "none"),
            (settings.kv_memory != "auto" and f"--kv-memory {settings.kv_memory}", "auto"),
            (settings.compile and "--compile", "false"),
        ):
            if given:
                raise UsageError(
                    f"got {given} for the server {shown(settings.model)}, which loads its model itself; "
                    f"leave it out, or set it to {instead}"
                )
        return asyncio.run(RemoteEngine.connect(settings.model))
    return LocalEngine.load(
        settings.model,
        device=settings.device,
        quantize=settings.quantize,
        kv_bytes=settings.kv_bytes,
        compile=settings.compile,
        fetch=not settings.set_by_folder("model"),
    )


def answered(outcome: "Outcome") -> bool:
    """Whether there is an answer, be it the best so far."""
    return outcome.answer.value is not None and outcome.stop_reason not in ("error", "unparsed", "cancelled")


def _outcome(arguments: list[str], choices: tuple[str, ...], given: dict[str, object], output: "Output") -> "Outcome":
    """What a command line comes to. given: its settings. Raises CotError for what fails before the model is asked."""
    images, text = split_arguments(arguments, stdin_is_terminal=sys.stdin.isatty())
    begun = time.perf_counter()
    from cot.config import load_settings
    from cot.planner.names import check_strategy

    settings, _ = load_settings(given)
    with set_by_told(settings, "strategy"):
        check_strategy(settings.strategy)
    output.spent("imports and settings", time.perf_counter() - begun)
    begun = time.perf_counter()
    question = load_question(images, text, choices, settings)
    output.spent("images", time.perf_counter() - begun)
    with set_by_told(settings, "trace_dir", "templates"):
        return _answer(question, settings, output)


def _answer(question: "Question", settings: "Settings", output: "Output") -> "Outcome":
    from cot.cli.loading import said_if_slow
    from cot.planner.ask import ask
    from cot.prompt import own_notes
    from cot.trace.record import Recorder
    from cot.trace.redact import whats

    async def answer(engine: "Engine", recorder: Recorder) -> "Outcome":
        try:
            outcome = await ask(question, engine, settings, recorder=recorder, on_step=output.step)
            # Before closing, which may take its time.
            output.result(question, outcome, engine.info, settings.strategy, recorder.path)
            return outcome
        finally:
            await engine.close()

    # The trace is opened first: loading can take minutes, and a folder that cannot be written to is an error at once.
    with Recorder(settings.trace_dir, redact=whats(settings.redact)) as recorder:
        begun = time.perf_counter()
        with said_if_slow(settings.model, quiet=output.quiet):
            engine = load_engine(settings)
        output.spent("model", time.perf_counter() - begun, engine.info.load_seconds)
        if engine.info.note:
            output.say(f"note: {engine.info.note}", "yellow")
        for note in own_notes():
            output.say(f"note: {note}", "yellow")
        try:
            return asyncio.run(answer(engine, recorder))
        except KeyboardInterrupt:
            output.say(f"trace: {recorder.path}")
            raise


def _looks_like_image(argument: str) -> bool:
    if argument == "-":
        return True
    name = argument.lower()
    if not any(c.isspace() for c in name) and (name.startswith(_SCHEMES) or name.endswith(_IMAGE_ENDINGS)):
        return True
    return _is_there(argument) and Path(argument).expanduser().is_file()


def _is_there(argument: str) -> bool:
    """Whether a file or folder has this name."""
    try:
        return Path(argument).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
