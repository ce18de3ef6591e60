"""An engine that answers each prompt with what was recorded for it.

In: the calls of a trace. Out: completions as they were then. No model is loaded.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Final

from cot.choice import find_choice
from cot.engine.base import (
    Candidate,
    Choices,
    Completion,
    Constraint,
    Delta,
    EngineInfo,
    FinishReason,
    Request,
    Timings,
    TokenLogprob,
    Usage,
)
from cot.errors import EngineError, UnfitReplyError
from cot.planner.asking import transcript
from cot.trace.event import UNFIT, Call, RunStarted

NOT_RECORDED: Final = "no reply was recorded for this prompt"
"""How the problem of a call begins for which the recording has nothing."""

_NUMBER: Final = re.compile("[0-9]{1,9}")
_FINISH_REASONS: Final[tuple[FinishReason, ...]] = ("stop", "length", "cancelled")


class RecordedEngine:
    """Answers each prompt with what was recorded for it; calls with the same prompt in the order of their steps.

    clock_ran_out: whether the recorded run ended by its time budget; then a prompt that was not recorded stands
    for the moment at which it did. Raises EngineError for any other prompt that was not recorded, and where the
    recorded call failed.
    """

    def __init__(self, calls: Iterable[Call], info: EngineInfo, *, clock_ran_out: bool = False) -> None:
        self._info = info
        self._clock_ran_out = clock_ran_out
        self._waiting: dict[str, list[Call]] = {}
        for call in sorted(calls, key=lambda call: [int(n) for n in _NUMBER.findall(call.step)[:1]]):
            self._waiting.setdefault(call.prompt_sha256, []).append(call)

    @property
    def info(self) -> EngineInfo:
        """What answered when it was recorded."""
        return self._info

    async def complete(self, request: Request) -> Completion:
        """The recorded reply to the prompt of the request. Raises EngineError or TimeoutError."""
        # As with a model, what is asked together is all asked before the first of it is answered.
        await asyncio.sleep(0)
        digest = hashlib.sha256(transcript(request.messages).encode("utf-8", "backslashreplace")).hexdigest()
        calls = self._waiting.get(digest)
        if not calls:
            if self._clock_ran_out:
                raise TimeoutError
            raise EngineError(f"{NOT_RECORDED} (sha256 {digest[:16]}…)")
        call = calls.pop(0)
        if call.raw is None:
            if self._clock_ran_out:
                raise TimeoutError
            raise EngineError(call.problem or "the recorded call has no reply")
        if call.finish_reason == UNFIT:
            problem = call.problem or "the recorded reply did not fit"
            raise UnfitReplyError(problem, text=call.raw, usage=vars(_usage(call)), cut=call.cut)
        taken = [call]
        # The samples of a request are calls that follow each other, and the first tells what they cost together.
        while len(taken) < request.n and calls and _is_sample(calls[0]):
            taken.append(calls.pop(0))
        return _completion(taken, request.constraint)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The recorded reply in one piece."""
        completion = await self.complete(request)
        yield Delta(completion.text, completion)

    async def close(self) -> None:
        """Nothing is held."""


def recorded_info(started: RunStarted) -> EngineInfo:
    """What answered when it was recorded."""

    def text(name: str) -> str:
        return str(started.engine.get(name) or "")

    context = started.engine.get("context_tokens")
    return EngineInfo(
        model=text("model"), revision=text("revision") or None, dtype=text("dtype"), quantization=text("quantization"),
        device=text("device"), context_tokens=context if isinstance(context, int) else 0, batching=text("batching"),
        versions={name: version for name, version in started.versions.items() if name not in ("cot", "python")},
        note=text("note"),
    )  # fmt: skip


def _is_sample(call: Call) -> bool:
    """Whether a call is one more sample of the one before it."""
    return call.raw is not None and call.finish_reason != UNFIT and not call.measured.usage


def _usage(call: Call) -> Usage:
    return Usage(**{name: call.measured.usage.get(name, 0) for name in Usage.__dataclass_fields__})


def _completion(calls: Sequence[Call], constraint: Constraint | None) -> Completion:
    """What the calls for one request gave; the first has the cost of all."""
    call = calls[0]
    seconds = {f"{name}_seconds": value for name, value in call.measured.seconds.items()}
    timings = Timings(**{name: seconds.get(name, 0.0) for name in Timings.__dataclass_fields__})
    return Completion(tuple(_meant(_candidate(call), constraint) for call in calls), _usage(call), timings)


def _meant(candidate: Candidate, constraint: Constraint | None) -> Candidate:
    """The candidate with the choice that its words meant, where a choice was wanted."""
    if not isinstance(constraint, Choices):
        return candidate
    choice = find_choice(candidate.text, constraint.values, lettered=constraint.lettered)
    return candidate if choice is None else replace(candidate, text=choice, said=candidate.text)


def _candidate(call: Call) -> Candidate:
    reason: FinishReason = next((known for known in _FINISH_REASONS if known == call.finish_reason), "stop")
    tokens = tuple(TokenLogprob(token, min(0.0, logprob), others) for token, logprob, others in call.scored_tokens)
    if not math.isfinite(sum(token.logprob for token in tokens)):
        tokens = ()
    return Candidate(call.raw or "", reason, tokens, satisfied=not call.cut)
