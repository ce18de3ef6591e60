"""What a trace can hold: one event a line, in the order in which things happened.

In: plain values from whatever ran. Out: frozen pydantic models. What was said and done is in the
fields; what was measured (times, token counts) is in `measured` alone, so that two runs compare by
everything else. Nothing here reads or writes files.
"""

from typing import Annotated, Final, Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, Field

from cot.step import Confidence, FinalAnswer, Step, StopReason, Value

SCHEMA: Final = 3
"""Version of the format, on every line; a reader takes older ones too, and refuses any other."""


def is_readable(version: object) -> TypeGuard[int]:
    """Whether this is the version of lines that can be read: this one, or an older one."""
    return type(version) is int and 1 <= version <= SCHEMA


JUDGE_STEP: Final = "judge"
"""The step of a call that judges the answer, and is no part of how it came about."""


UNFIT: Final = "unfit"
"""The finish reason of a call whose reply was not what the model was held to; nothing was read from it."""


Count = Annotated[int, Field(ge=0, le=10**15)]
"""How many of something; more than any run has is a damaged or hostile file, with which nothing can be computed."""

Seconds = Annotated[float, Field(ge=-1e12, le=1e12)]
"""A duration, or a time on a clock of its own."""

Pixels = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A side of an image."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measured(_Frozen):
    """What differs from run to run."""

    at_seconds: Seconds = 0.0
    """Since the trace was opened."""
    started_at: str | None = None
    """Date and time, UTC, ISO 8601."""
    usage: dict[str, Count] = {}
    """Tokens, calls and batches by name."""
    seconds: dict[str, Seconds] = {}
    """Durations by name: `queue`, `prefill`, `decode`, `total`, `load: …`."""


class OriginalImage(_Frozen):
    """An image before it became upright 8-bit RGB."""

    mode: str
    """As Pillow names it: `RGB`, `RGBA`, `P`, `L`, `I;16`, `CMYK`."""
    width: Pixels
    """Pixels per row."""
    height: Pixels
    """Rows of pixels."""


class TracedImage(_Frozen):
    """An image of the question; its pixels are in `images/<sha256>.png` beside the trace."""

    source: str
    """Where it came from: a path, a URL or `-`."""
    sha256: str
    """Hash over its pixels, as `cot.image.pixel_hash` has it."""
    width: Pixels
    """Pixels per row."""
    height: Pixels
    """Rows of pixels."""
    notes: tuple[str, ...] = ()
    """What was done to it on opening."""
    original: OriginalImage | None = None
    """What it was in its file; None if that is not known."""


class TracedExample(_Frozen):
    """A solved question that was shown before the one that was asked. The setting `examples` is a list of them as JSON;
    the pixels of their images lie where those of the question do."""

    question: str
    choices: tuple[str, ...] = ()
    images: tuple[TracedImage, ...]
    answer: str


class _Event(_Frozen):
    seq: int = 0
    """Number of the line, from 0."""
    # A default that is made, since one that is given would be copied in depth for every event.
    measured: Measured = Field(default_factory=Measured)
    """Times and token counts."""


class RunStarted(_Event):
    """What was asked, of what, and how."""

    event: Literal["run_started"] = "run_started"
    question: str
    choices: tuple[str, ...] = ()
    images: tuple[TracedImage, ...]
    strategy: str
    seed: Count
    templates: dict[str, str] = {}
    """Name and hash of each template that the strategy may ask with, and of the file of a user's own strategy."""
    settings: dict[str, Value] = {}
    """All settings by name, and the budget; `earlier`: what was said before a follow-up, and `examples`: what was
    shown before the question, as JSON."""
    engine: dict[str, Value] = {}
    """Model, revision, number format, quantisation, device and context length."""
    versions: dict[str, str] = {}
    """Versions of cot, Python and what the engine is built on."""


class Call(_Event):
    """One question to the model, and what came back."""

    event: Literal["call"] = "call"
    step: str
    """What it was for: `plan`, `sub_question 2`, `decide` or `answer`."""
    template: str
    template_sha256: str
    prompt: str
    """The text as it was sent, behind the images."""
    prompt_sha256: str
    constraint: dict[str, str | tuple[str, ...]] | None = None
    """What the model was held to."""
    max_tokens: Count
    raw: str | None = None
    """The model's own text; None if there is none."""
    value: Value = None
    """What it was parsed to; a plan as its text."""
    problem: str | None = None
    """Why there is no value, or no text."""
    finish_reason: str | None = None
    """`stop`, `length`, `cancelled` or `unfit`; None if there is no text."""
    cut: bool = False
    """Whether the text reached its limit before it was what the model was held to."""
    confidence: Confidence | None = None
    """Exponential of the sum of the log-probabilities."""
    tokens: tuple[tuple[str, float], ...] = ()
    """Generated tokens and their natural log-probabilities, the end token included."""
    alternatives: tuple[tuple[tuple[str, float], ...], ...] = ()
    """Of a short answer: in the place of each token the likeliest others, with their natural log-probabilities."""

    @property
    def scored_tokens(self) -> tuple[tuple[str, float, tuple[tuple[str, float], ...]], ...]:
        """Each token with its log-probability and its alternatives."""
        others = dict(enumerate(self.alternatives))
        return tuple((token, logprob, others.get(place, ())) for place, (token, logprob) in enumerate(self.tokens))


class StepTaken(_Event):
    """A finished step."""

    event: Literal["step"] = "step"
    step: Step


class Note(_Event):
    """What a person should know and no step says."""

    event: Literal["note"] = "note"
    text: str


class RunFinished(_Event):
    """How it ended. A trace without it was cut short."""

    event: Literal["run_finished"] = "run_finished"
    answer: FinalAnswer | None
    stop_reason: StopReason


Event = Annotated[RunStarted | Call | StepTaken | Note | RunFinished, Field(discriminator="event")]
"""Any event."""
