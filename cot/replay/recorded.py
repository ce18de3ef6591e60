"""What a trace says of how a run was made, as it is needed to make it again.

In: a trace. Out: its question with images and examples, its budget, language and tuning. Nothing is asked.
"""

import dataclasses
import re
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cot.errors import TraceError, UsageError, reason
from cot.image import LoadedImage, load_image
from cot.planner.asked import storable
from cot.planner.budget import Budget
from cot.planner.tuning import Tuning
from cot.question import Earlier, Example, Question
from cot.trace.event import Note, RunStarted, TracedExample, TracedImage
from cot.trace.images import KEPT, restored
from cot.trace.read import Trace
from cot.trace.redact import in_words

_LANGUAGE: Final = re.compile("[a-z]{2,3}(-[A-Za-z]{2,4})?")
_EXAMPLES: Final = TypeAdapter(tuple[TracedExample, ...])


def begun(trace: Trace) -> RunStarted:
    """How it began. Raises TraceError if it does not say."""
    if trace.started is None:
        raise TraceError(f"{trace.path} does not say what was asked; expected a trace that begins with run_started")
    return trace.started


def recorded_question(trace: Trace) -> Question:
    """The question with its images, which are read from beside the trace and must be the recorded ones.

    Raises TraceError if the trace has no beginning or was recorded without it, or an image is missing or another one.
    """
    started = begun(trace)
    if trace.left_out:
        raise TraceError(
            f"{trace.path} was recorded without {in_words(trace.left_out)}, so it cannot be asked again;"
            " expected a run that was kept whole (--redact none)"
        )
    try:
        images = tuple(_image(trace, image) for image in started.images)
        said = started.settings.get("earlier")
        earlier = Earlier.from_text(str(said)) if said else Earlier()
        return Question(started.question, images, started.choices, earlier, _examples(trace, started))
    except UsageError as error:
        raise TraceError(f"{trace.path} holds no question that can be asked: {error}") from error


def recorded_budget(trace: Trace) -> Budget:
    """The budget of the recorded run; what it does not say is the default. Raises TraceError."""
    settings = begun(trace).settings
    given: dict[str, Any] = {}
    try:
        for field in dataclasses.fields(Budget):
            value = settings.get(field.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                given[field.name] = float(value) if field.name == "max_seconds" else int(value)
        return Budget(**given)
    except (UsageError, OverflowError) as error:
        raise TraceError(f"{trace.path} holds a budget that no run has: {error}") from error


def recorded_language(trace: Trace) -> str:
    """The language of the templates of the recorded run; English if it does not say. Raises TraceError."""
    language = begun(trace).settings.get("language", "en")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise TraceError(f"{trace.path} names the language {str(language)[:60]!r}; expected one such as en or zh")
    return language


def recorded_tuning(trace: Trace) -> Tuning:
    """The numbers that the recorded run went by. Raises TraceError."""
    try:
        return Tuning.recorded(begun(trace).settings)
    except ValueError as error:
        raise TraceError(f"{trace.path} holds a tuning that no run has: {reason(error)}") from error


def first_note(trace: Trace) -> str:
    """What was said of the run before it did anything; what the planner says by itself it says again."""
    second = trace.events[1] if len(trace.events) > 1 else None
    return second.text if isinstance(second, Note) else ""


def _examples(trace: Trace, started: RunStarted) -> tuple[Example, ...]:
    said = started.settings.get("examples")
    try:
        found = _EXAMPLES.validate_json(str(said)) if said else ()
    except ValidationError as error:
        raise TraceError(f"{trace.path} holds examples that no run has; expected a list of them as JSON") from error
    return tuple(
        Example(one.question, tuple(_image(trace, image) for image in one.images), one.answer, one.choices)
        for one in found
    )


def _image(trace: Trace, traced: TracedImage) -> LoadedImage:
    path = trace.image_path(traced)
    if path is None or not path.is_file():
        raise TraceError(
            f"{trace.path}: its image {storable(traced.source)[:200]!r} is not beside it; expected"
            f" images/{traced.sha256[:64]}.png there, as it was recorded"
        )
    loaded = load_image(path, KEPT)
    if loaded.sha256 != traced.sha256:
        raise TraceError(f"{path} holds another image than the one that was asked about; expected the recorded one")
    return restored(loaded, traced)
