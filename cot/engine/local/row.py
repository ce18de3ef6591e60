"""One sample as it grows: choose a token, note its probability, know when to stop.

In: the logits of one position after another, for many rows together. Out: tokens, text and, at the end,
a `Candidate`. It knows nothing of models, so any decoding loop can drive it.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from cot.engine.base import ALTERNATIVES_FOR_TOKENS, Candidate, FinishReason, Request, Sampling, TokenLogprob
from cot.engine.local.constraint import ConstraintState
from cot.engine.thoughts import THOUGHTS, THOUGHTS_END, behind_thoughts, may_begin_thoughts
from cot.errors import EngineError, reason

REPLACEMENT = "\ufffd"
"""What an unfinished or invalid UTF-8 sequence decodes to."""

LEAST_TEMPERATURE = 1e-30
"""What is lower is 0 in float32."""


class Row:
    """The state of sample `index` of a request.

    max_tokens: tokens to generate at most; lower it to what the context leaves.
    thinking: whether the prompt ends in the midst of the model's thoughts, which are no part of its text.
    on_text: called with each piece of text that is certain to stay.
    """

    def __init__(
        self,
        request: Request,
        index: int,
        *,
        prompt_ids: Sequence[int],
        tokenizer: Any,
        eos_ids: tuple[int, ...],
        constraint: ConstraintState | None = None,
        thinking: bool = False,
        on_text: Callable[[str], None] | None = None,
    ):
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._constraint = constraint
        self._thinking = thinking
        self._marks = _special_marks(tokenizer)
        self._on_text = on_text
        self._stop = tuple(stop for stop in request.stop if stop)
        self._penalty = request.sampling.repetition_penalty
        self._seen = set(prompt_ids) if self._penalty != 1 else set()
        self.draw = _drawer(request.sampling, index)
        self._logprobs: list[float] = []
        self._alternatives = request.alternatives
        self._others: dict[int, list[tuple[int, float]]] = {}
        self._emitted = ""
        self.max_tokens = request.max_tokens
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None

    @property
    def done(self) -> bool:
        """No further token is wanted."""
        return self.finish_reason is not None

    @property
    def alternatives(self) -> int:
        """How many others are wanted in place of the next token."""
        return self._alternatives if len(self.tokens) < ALTERNATIVES_FOR_TOKENS else 0

    def adjust(self, logits: Tensor) -> None:
        """Penalise what was said, and rule out what the constraint forbids, in place. logits: float, shape (vocab,).

        Raises EngineError if the constraint leaves no token.
        """
        if self._seen:
            ids = torch.tensor([token for token in self._seen if token < len(logits)], device=logits.device)
            said = logits[ids]
            logits[ids] = torch.where(said > 0, said / self._penalty, said * self._penalty)
        if self._constraint is not None:
            allowed = torch.from_numpy(self._constraint.allowed(len(logits)))
            logits.masked_fill_(~allowed.to(logits.device), -torch.inf)

    def take(self, token: int, logprob: float, likeliest: Sequence[tuple[int, float]] = ()) -> None:
        """Take the next token. likeliest: tokens with their log-probabilities, from which its alternatives are taken.

        Raises EngineError if the constraint refuses it.
        """
        others = [(other, chance) for other, chance in likeliest if other != token and chance > -torch.inf]
        if others:
            self._others[len(self.tokens)] = others[: self.alternatives]
        self.tokens.append(token)
        self._logprobs.append(logprob)
        if self._penalty != 1:
            self._seen.add(token)
        self._judge(token)

    def take_forced(self, vocab_size: int) -> list[int]:
        """Take the tokens to which the constraint leaves no alternative; returns them."""
        taken: list[int] = []
        while self._constraint is not None and not self.done:
            allowed = self._constraint.allowed(vocab_size)
            if int(allowed.sum()) != 1:
                break
            taken.append(int(allowed.argmax()))
            self.take(taken[-1], 0.0)
        return taken

    def candidate(self) -> Candidate:
        """The finished sample."""
        decode = self._tokenizer.decode
        logprobs = []
        for place, (token, logprob) in enumerate(zip(self.tokens, self._logprobs, strict=True)):
            others = tuple((decode([other]), chance) for other, chance in self._others.get(place, ()))
            logprobs.append(TokenLogprob(decode([token]), logprob, others))
        return Candidate(
            self._text()[0],
            self.finish_reason or "length",
            tuple(logprobs[self._thought_tokens() :]),
            satisfied=self.finish_reason == "stop" or self._constraint is None or self._constraint.satisfied,
        )

    def _judge(self, token: int) -> None:
        """Decide whether `token` ended the sample, and hand out the text that is certain."""
        if token in self._eos_ids:
            self.finish_reason = "stop"
        elif self._constraint is not None:
            self._constraint.advance(token)
            if self._constraint.complete:
                self.finish_reason = "stop"
        if (self._stop or self._on_text) and not self.done:
            text, stopped = self._text()
            if stopped:
                self.finish_reason = "stop"
            elif self._on_text:
                self._emit(text[: len(text) - self._uncertain(text)])
        if not self.done and len(self.tokens) >= self.max_tokens:
            self.finish_reason = "length"
        if self.done and self._on_text:
            self._emit(self._text()[0])

    def _text(self) -> tuple[str, bool]:
        """The text so far without thoughts, cut before the first stop string, and whether there was one."""
        text = self._decoded(len(self.tokens))
        answer = self._behind_thoughts(text)
        text, shown = (text, text) if answer is None else (answer, answer.rstrip())
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            return shown[: min(found)], True
        return (shown.rstrip(REPLACEMENT) if self.finish_reason == "length" else shown), False

    def _decoded(self, tokens: int) -> str:
        """What the first so many tokens spell, thoughts too."""
        ids = [token for token in self.tokens[:tokens] if token not in self._eos_ids]
        text = ""
        # Special tokens are no text, but those around thoughts tell where the text begins.
        for mark, run in groupby(ids, self._marks.get):
            part = list(run)
            text += mark * len(part) if mark else self._spelt(part)
        return text

    def _spelt(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _behind_thoughts(self, text: str) -> str | None:
        """What stands behind the thoughts, None without any. Held to a constraint, a model cannot think."""
        return behind_thoughts(text, opened=self._thinking) if self._constraint is None else None

    def _thought_tokens(self) -> int:
        """How many tokens come before the answer: thoughts, and the blanks behind them."""
        count = len(self.tokens)
        if self._behind_thoughts(self._decoded(count)) is None:
            return 0
        return bisect_left(range(1, count + 1), True, key=lambda n: bool(self._behind_thoughts(self._decoded(n))))

    def _uncertain(self, text: str) -> int:
        """Characters at the end of `text` that a later token may change or a stop string may take back."""
        if self._constraint is None and may_begin_thoughts(text):
            return len(text)
        known = text.rstrip(REPLACEMENT)
        lengths = (length for stop in self._stop for length in range(1, len(stop)) if known.endswith(stop[:length]))
        return len(text) - len(known) + max(lengths, default=0)

    def _emit(self, text: str) -> None:
        if self._on_text and len(text) > len(self._emitted) and text.startswith(self._emitted):
            self._on_text(text[len(self._emitted) :])
            self._emitted = text


def _special_marks(tokenizer: Any) -> dict[int, str]:
    """Those of the marks around thoughts that are special tokens of a tokenizer, by their ids."""
    named = ((tokenizer.convert_tokens_to_ids(mark), mark) for mark in (THOUGHTS, THOUGHTS_END))
    found = {token: mark for token, mark in named if token is not None and tokenizer.decode([token]) == mark}
    return {token: mark for token, mark in found.items() if not tokenizer.decode([token], skip_special_tokens=True)}


def take_next(rows: Sequence[Row], logits: Tensor, *, ahead: bool = True) -> list[list[int] | EngineError]:
    """Let every row take its next token: the likeliest, or one drawn.

    logits: float, shape (rows, vocab); they are changed. ahead: take what the constraint leaves no choice about, too.
    Returns for each row the tokens that it took, or why it cannot go on.
    """
    results: list[list[int] | EngineError] = [[] for _ in rows]
    for index, row in enumerate(rows):
        try:
            row.adjust(logits[index])
        except Exception as error:
            results[index] = _no_matter_of_others(error)
    logprobs = torch.log_softmax(logits, dim=-1)
    numbers = (~logprobs.amax(dim=-1).isnan()).tolist()
    likeliest = logits.argmax(dim=-1).tolist()
    named = _likeliest(logprobs, max((row.alternatives for row in rows), default=0))
    for index, row in enumerate(rows):
        if isinstance(results[index], EngineError):
            continue
        if not numbers[index]:
            results[index] = EngineError("the model gave logits that are not numbers; load it with dtype float32")
            continue
        try:
            token = row.draw(logits[index]) if row.draw else likeliest[index]
            row.take(token, float(logprobs[index, token]), named[index])
            results[index] = [token, *(row.take_forced(logits.shape[-1]) if ahead else ())]
        except Exception as error:
            results[index] = _no_matter_of_others(error)
    return results


def _no_matter_of_others(error: Exception) -> EngineError:
    """Why a row cannot go on: its constraint, or such as an event loop that has ended and takes no more text."""
    if isinstance(error, EngineError):
        return error
    return EngineError(f"the answer cannot go on: {type(error).__name__}: {reason(error)}")


def _likeliest(logprobs: Tensor, wanted: int) -> list[list[tuple[int, float]]]:
    """The likeliest tokens of each row with their log-probabilities, one more than wanted; none if none is wanted.

    logprobs: shape (rows, vocab).
    """
    if not wanted:
        return [[]] * len(logprobs)
    chances, tokens = logprobs.topk(min(wanted + 1, logprobs.shape[-1]), dim=-1)
    return [list(zip(*row, strict=True)) for row in zip(tokens.tolist(), chances.tolist(), strict=True)]


def _drawer(sampling: Sampling, index: int) -> Callable[[Tensor], int] | None:
    """A function that draws a token from logits, shape (vocab,); None for greedy.

    Random draws come from a generator of this sample's own, on the CPU: they depend on the seed and the
    sample's index, and on nothing else that runs.
    """
    if sampling.temperature == 0:
        return None
    from transformers.generation import logits_process as warp

    temperature = max(sampling.temperature, LEAST_TEMPERATURE)
    warpers: list[warp.LogitsProcessor] = [warp.TemperatureLogitsWarper(temperature)]
    if sampling.top_k:
        warpers.append(warp.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(warp.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        warpers.append(warp.MinPLogitsWarper(sampling.min_p))
    digest = hashlib.sha256(f"{sampling.seed}:{index}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)

    def draw(logits: Tensor) -> int:
        scores = logits.float().cpu()[None]
        # The likeliest at 0: whatever it is divided by, no score comes to infinity.
        scores = scores - scores.max()
        for warper in warpers:
            scores = warper(None, scores)
        return int(torch.multinomial(scores.softmax(dim=-1)[0], 1, generator=generator))

    return draw
