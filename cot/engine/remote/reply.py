"""Replies -> candidates and usage. A server is not trusted: what does not have the agreed shape is an error.

In: the JSON of a chat completion, or the chunks of a streamed one. Out: a `Draft` of every sample, and `Usage`.
It holds no reply to a constraint.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cot.engine.base import ALTERNATIVES_FOR_TOKENS, Candidate, FinishReason, TokenLogprob, Usage
from cot.engine.remote.status import message_of
from cot.engine.thoughts import THOUGHTS
from cot.errors import EngineError, RequestError
from cot.trace.plain import plain

_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length",
}  # fmt: skip

R = TypeVar("R", bound="_Reply")
Clean = Callable[[str], str]
"""Makes a server's words fit for an error message: plain, short, without the key."""
Count = Annotated[int, Field(ge=0, le=10**12)]


NEVER_CHOSEN: Final = -1e9
"""Log-probabilities below it count as this, so that the sum of many is a number."""


class ReplyError(EngineError):
    """A reply that cannot be used. The message does not name the server."""


class WithheldError(ReplyError, RequestError):
    """The answer was withheld for what was asked: the model, or a filter, refused it."""


class _Part(BaseModel):
    """Servers add fields of their own, which do not matter. Lists end at their first fault: one for each entry would
    take a hundred times the reply's own memory."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Token(_Part):
    token: str
    logprob: float = Field(le=0.01, allow_inf_nan=False)
    """Rounding can lift it above 0."""
    top_logprobs: Any = None
    """The likeliest tokens, mostly with this one among them. A reply is no worse for odd ones, so they are looked at
    one by one."""

    def scored(self, alternatives: int) -> TokenLogprob:
        """With so many others at most."""
        listed = self.top_logprobs if alternatives and isinstance(self.top_logprobs, list) else ()
        others = [(one.get("token"), one.get("logprob")) for one in listed if isinstance(one, dict)]
        found = tuple(
            (text, min(0.0, logprob))
            for text, logprob in others
            if isinstance(text, str) and text != self.token and isinstance(logprob, float) and math.isfinite(logprob)
        )
        return TokenLogprob(self.token, max(NEVER_CHOSEN, min(0.0, self.logprob)), found[:alternatives])


class _Logprobs(_Part):
    content: Annotated[tuple[_Token, ...], Field(fail_fast=True)] | None = None


class _Text(_Part):
    content: str | None = None
    """In one piece. Mistral's models that reason give parts, thoughts and texts, of which the texts are the answer."""
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    """Thoughts that are no part of the text. Only whether there are any matters."""

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, values: Any) -> Any:
        content = values.get("content") if isinstance(values, dict) else None
        if not isinstance(content, list) or not all(isinstance(part, dict) and "type" in part for part in content):
            return values
        texts = [part.get("text") for part in content if part["type"] == "text"]
        if not all(isinstance(text, str) for text in texts):
            return values
        thinks = values.get("reasoning") or any(part["type"] == "thinking" for part in content)
        return values | {"content": "".join(texts), "reasoning": thinks}

    @property
    def thinks(self) -> bool:
        return bool(self.reasoning or self.reasoning_content)


class _Details(_Part):
    cached_tokens: Count | None = None
    image_tokens: Count | None = None


class _Usage(_Part):
    prompt_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _Details | None = None

    def counted(self) -> Usage:
        details = self.prompt_tokens_details or _Details()
        return Usage(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=details.cached_tokens or 0,
            image_tokens=details.image_tokens or 0,
            completion_tokens=self.completion_tokens,
            calls=1,
            batches=1,
        )


class _Choice(_Part):
    index: Count = 0
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _WholeChoice(_Choice):
    message: _Text


class _ChunkChoice(_Choice):
    delta: _Text = _Text()


class _Reply(_Part):
    usage: _Usage | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    """Of an error that has no field of its own: older servers send `{"object": "error", "message": …}`."""


class _Whole(_Reply):
    choices: Annotated[tuple[_WholeChoice, ...], Field(fail_fast=True)] | None = ()


class _Chunk(_Reply):
    choices: Annotated[tuple[_ChunkChoice, ...], Field(fail_fast=True)] | None = ()


@dataclass
class Draft:
    """One sample while it arrives. alternatives: wanted of each of its first tokens. finish: in the server's words.
    thought: whether thoughts came that are no part of the text."""

    alternatives: int = 0
    pieces: list[str] = field(default_factory=list)
    tokens: list[TokenLogprob] = field(default_factory=list)
    finish: str | None = None
    refusal: str = ""
    thought: bool = False

    def take(self, choice: _Choice, text: _Text) -> str:
        """Add what a choice holds, and give its text."""
        if text.content:
            self.pieces.append(text.content)
        self.refusal += text.refusal or ""
        self.thought = self.thought or text.thinks
        tokens = (choice.logprobs and choice.logprobs.content) or ()
        for token in tokens:
            wanted = self.alternatives if len(self.tokens) < ALTERNATIVES_FOR_TOKENS else 0
            self.tokens.append(token.scored(wanted))
        self.finish = choice.finish_reason or self.finish
        return text.content or ""

    def candidate(self, clean: Clean) -> Candidate:
        """The sample, once it is whole; thoughts with nothing behind them as thoughts that do not end.

        Raises ReplyError if it was refused, or ended for a reason of its own.
        """
        text = "".join(self.pieces)
        if self.refusal and not text:
            raise WithheldError(
                f"the model refused to answer: {clean(self.refusal)}; expected an answer; ask differently"
            )
        finish = _FINISH.get(self.finish or "")
        if finish is None:
            raise (WithheldError if self.finish == "content_filter" else ReplyError)(
                f"a reply ended with the reason {clean(self.finish or '')[:60]!r}; expected 'stop' or 'length'; "
                "the server withheld or broke off the answer, so ask again or differently"
            )
        return Candidate(text or (THOUGHTS if self.thought else ""), finish, tuple(self.tokens))


class Gathered:
    """The samples of one reply, whole or streamed.

    n: how many were asked for; a server may give fewer. alternatives: as `Draft` has it.
    """

    def __init__(self, n: int, alternatives: int, clean: Clean):
        self._drafts: dict[int, Draft] = {}
        self._n = n
        self._alternatives = alternatives
        self._clean = clean
        self._usage: Usage | None = None
        self._pieces = 0
        self._answered = True
        self.first_text_at: float | None = None
        """When the first text came, thoughts too, by `time.perf_counter`; None if the reply came at once."""

    def add_whole(self, data: bytes) -> Self:
        """Read a reply that came at once."""
        whole = self._parsed(_Whole, data)
        for choice in whole.choices or ():
            if choice.index in self._drafts:
                raise ReplyError(f"a reply has two samples with the index {choice.index}; expected one of each")
            draft = self._draft(choice.index)
            draft.take(choice, choice.message)
            if choice.message.content is None and not draft.refusal and draft.finish != "length":
                if not choice.message.thinks:
                    raise ReplyError("a reply has no text; expected choices.0.message.content; is it a chat model?")
                self._answered = False
        if whole.usage is None:
            raise ReplyError("a reply does not say its usage; expected usage.prompt_tokens; is this the API's URL?")
        self._usage = whole.usage.counted()
        return self

    def check_answered(self) -> None:
        """Raises ReplyError if a reply that came at once has thoughts in place of a text."""
        if not self._answered:
            raise ReplyError(
                "a reply has thoughts and no answer; expected choices.0.message.content; switch thinking off, "
                "or the server's parser of thoughts, which may take the answer for one"
            )

    def add_chunk(self, data: str) -> str:
        """Read a chunk of a streamed reply, and give the first sample's text in it."""
        chunk = self._parsed(_Chunk, data)
        text = ""
        for choice in chunk.choices or ():
            added = self._draft(choice.index).take(choice, choice.delta)
            begun = bool(added) or choice.delta.thinks
            self._pieces += begun
            text += added if choice.index == 0 else ""
            if begun and choice.index == 0 and self.first_text_at is None:
                self.first_text_at = time.perf_counter()
        if chunk.usage:
            self._usage = chunk.usage.counted()
        return text

    @property
    def ended(self) -> bool:
        """Whether every sample that began has said why it ended."""
        return bool(self._drafts) and all(draft.finish for draft in self._drafts.values())

    @property
    def usage(self) -> Usage:
        """As the server counted; where it did not, the tokens that were seen to arrive."""
        if self._usage is not None:
            return self._usage
        seen = sum(len(draft.tokens) for draft in self._drafts.values()) or self._pieces
        return Usage(completion_tokens=seen, calls=1, batches=1)

    def candidates(self) -> tuple[Candidate, ...]:
        """The samples, in the server's order. Raises ReplyError if there are none."""
        if not self._drafts:
            raise ReplyError(f"a reply has 0 samples; expected {self._n}; ask again, or look at the server")
        return tuple(self._drafts[index].candidate(self._clean) for index in sorted(self._drafts))

    def _draft(self, index: int) -> Draft:
        if index >= self._n:
            raise ReplyError(f"a reply has a sample with the index {index}; expected {self._n} samples, from 0")
        return self._drafts.setdefault(index, Draft(self._alternatives))

    def _parsed(self, shape: type[R], data: bytes | str) -> R:
        try:
            reply = shape.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            what = plain(f"{place}: {first['msg']}" if place else first["msg"], one_line=True)[:200]
            raise ReplyError(
                f"a reply has the wrong shape ({what}); expected an OpenAI chat completion; is this the API's URL?"
            ) from error
        if reply.error or reply.object == "error":
            said = message_of({"error": reply.error, "message": reply.message})
            raise ReplyError(f"the server failed: {self._clean(said)}; expected an answer; ask again")
        return reply
