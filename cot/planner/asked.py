"""What one call to the model gave: its text, parsed, and how sure the model was.

In: a candidate of a completion, and what its text should be. Out: an `Asked`, and what else was likely. It asks nobody.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cot.engine.base import ALTERNATIVES_FOR_TOKENS, Candidate
from cot.errors import AnswerError, PlanError

ALTERNATIVES: Final = 4
"""So many are told in the place of a token at most."""

LEAST_LIKELY: Final = 1e-3
"""Alternatives of a smaller probability are not told."""

T = TypeVar("T")


@dataclass(frozen=True)
class Asked(Generic[T]):
    """What one call, or one sample of it, gave.

    raw: the model's own words. value: the parsed text; None if the model abstained or `problem` says why there is none.
    confidence: probability that the model gave to its text, within what it was allowed to say;
    0 if the engine gives no probabilities.
    starved: whether the token budget cut the text short. unfit: whether it is not what the engine was to hold it to;
    such an engine has drawn as often as is worth it, and cannot tell whether the budget cut it short. cut: whether it
    is unfit, and was cut short.
    """

    value: T | None
    raw: str
    confidence: float
    problem: str | None = None
    starved: bool = False
    unfit: bool = False
    cut: bool = False

    @property
    def told(self) -> str:
        """The problem as people are told it, empty if there is none. Of what is unfit `problem` has the reply, and what
        it was held to, which nobody reads in passing."""
        if not self.unfit:
            return self.problem or ""
        return f"the reply does not have the form that was asked for{', and was cut short' if self.cut else ''}"


def read(
    candidate: Candidate, parse: Callable[[str], T | None], *, tokens: int, starved: bool, may_be_cut: bool
) -> Asked[T]:
    """Parse a candidate.

    parse: raises AnswerError or PlanError if the text is not what was wanted. tokens: how many it has.
    starved: whether it was granted fewer than it wanted. may_be_cut: unfinished text is parsed all the same, if there
    is any: thoughts, which are no text, can take all tokens.
    """
    text = storable(candidate.text)
    raw = storable(candidate.said) or text
    logprobs = candidate.logprobs
    confidence = min(1.0, math.exp(math.fsum(token.logprob for token in logprobs))) if logprobs else 0.0
    starved = starved and candidate.finish_reason == "length"
    if candidate.finish_reason != "stop" and not (may_be_cut and text.strip()):
        more = "" if candidate.satisfied else ", before it was what the constraint wants"
        if not text and _may_be_thoughts(candidate):
            more += ", perhaps all of them on thoughts; give the template a larger max_tokens, or switch thinking off"
        return Asked(None, raw, confidence, f"the text was cut short after {tokens} tokens{more}", starved)
    try:
        return Asked(parse(text), raw, confidence, starved=starved)
    except (AnswerError, PlanError) as error:
        return Asked(None, raw, confidence, str(error), starved)


def _may_be_thoughts(candidate: Candidate) -> bool:
    """Whether a candidate without text may be all thoughts, whose tokens some engines tell: not if it is blank, or cut
    in the midst of its first character."""
    return not candidate.logprobs or any(token.token.strip().strip("\ufffd") for token in candidate.logprobs)


def alternatives(candidate: Candidate) -> tuple[tuple[tuple[str, float], ...], ...]:
    """In the place of each token what else was likely, as a trace has it; none of long texts."""
    if len(candidate.logprobs) > ALTERNATIVES_FOR_TOKENS:
        return ()
    least = math.log(LEAST_LIKELY)
    found = tuple(
        tuple((storable(other), logprob) for other, logprob in token.others[:ALTERNATIVES] if logprob >= least)
        for token in candidate.logprobs
    )
    return found if any(found) else ()


def storable(text: str) -> str:
    """Text that UTF-8 can hold: halves of surrogate pairs, as in odd file names, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
