"""The engine contract: what is asked of a model, and what comes back.

In: a `Request`, which is a conversation with images, sampling settings and a constraint.
Out: a `Completion`, or `Delta`s while it is made. Nothing here loads a model.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from cot.image import LoadedImage

FinishReason = Literal["stop", "length", "cancelled"]
"""`stop`: end token, stop string or satisfied constraint; `length`: token budget used up."""


ALTERNATIVES_FOR_TOKENS: Final = 16
"""Alternatives are given for so many tokens of a sample at most, the first ones: what is longer is no short answer."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    content: texts and images in the order the model sees them.
    """

    role: Literal["system", "user", "assistant"]
    content: tuple[str | LoadedImage, ...]


@dataclass(frozen=True)
class Choices:
    """The text must be one of `values`.

    lettered: whether a reply that nothing held to them may name one by its letter, A for the first. That says how it is
    read, and not what is wanted, so it is no part of equality.
    """

    values: tuple[str, ...]
    lettered: bool = field(default=True, compare=False, repr=False)


@dataclass(frozen=True)
class Regex:
    """The whole text must match `pattern` (Rust `regex` syntax: no look-around, no back-references)."""

    pattern: str


@dataclass(frozen=True)
class JsonSchema:
    """The text must be JSON that fits `schema`, itself JSON text."""

    schema: str


Constraint = Choices | Regex | JsonSchema


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy; then only the repetition penalty has an effect.

    temperature: >= 0. top_p: in (0, 1]. top_k: >= 0, 0 for no limit. seed: >= 0.
    min_p: in [0, 1), least probability relative to the likeliest token (Nguyen et al. 2024).
    repetition_penalty: > 0, 1 for none; divides the logits of tokens of the prompt and of the answer so far
    if positive, multiplies them if negative (Keskar et al. 2019).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One thing to ask a model.

    n: number of samples, >= 1. max_tokens: tokens to generate at most, >= 1.
    stop: the text ends before the first of these.
    alternatives: of each of the first tokens so many others are wanted, >= 0; an engine may give fewer, or none.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    alternatives: int = 0


@dataclass(frozen=True)
class Usage:
    """Tokens and calls. Adds up with `+`.

    prompt_tokens includes image_tokens and cached_tokens. calls: engine calls;
    batches: generation batches started (several calls can share one).
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    batches: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Timings:
    """Seconds, wall clock."""

    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class TokenLogprob:
    """A generated token and the natural logarithm of its probability (<= 0) among the tokens
    that the constraint allowed, before temperature.

    others: what could have stood in its place, the likeliest first, with the same kind of numbers.
    """

    token: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One sample. text excludes stop strings and special tokens; logprobs covers its tokens and the end token.

    satisfied: False if the tokens were used up before the text satisfied the request's constraint.
    said: the model's own words, which logprobs are of, where text is the choice that they mean; else empty.
    """

    text: str
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    satisfied: bool = True
    said: str = ""


@dataclass(frozen=True)
class Completion:
    """What a request gave: `n` candidates, fewer where some did not fit the constraint, and what they cost."""

    candidates: tuple[Candidate, ...]
    usage: Usage = Usage()
    timings: Timings = Timings()

    @property
    def text(self) -> str:
        """Text of the first candidate."""
        return self.candidates[0].text

    @property
    def finish_reason(self) -> FinishReason:
        """Finish reason of the first candidate."""
        return self.candidates[0].finish_reason

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """Log-probabilities of the first candidate."""
        return self.candidates[0].logprobs


@dataclass(frozen=True)
class Delta:
    """A piece of text as it is generated; the last one carries the completion."""

    text: str
    completion: Completion | None = None


@dataclass(frozen=True)
class EngineInfo:
    """What answers.

    model: folder, hub id or server model name. revision: commit or content hash of the weights, if known.
    context_tokens: the longest prompt plus answer, 0 if unknown.
    batching: how requests share the machine, for people; empty if unknown.
    load_seconds: named parts of the loading time, for `--timings`.
    note: what the user should know about how it was loaded; empty if nothing.
    """

    model: str
    revision: str | None
    dtype: str
    quantization: str
    device: str
    context_tokens: int
    batching: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""


class Engine(Protocol):
    """Anything that completes requests. Safe to call with many requests in flight.

    Cancelling the task that awaits `complete` frees its place. Raises EngineError.
    """

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Answer one request."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one request piece by piece."""
        ...

    async def close(self) -> None:
        """Free the model or the connections."""
        ...
