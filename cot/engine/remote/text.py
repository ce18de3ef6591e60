"""What is done to a sample's text once it is here: thoughts, stop strings, and choices that came wrapped in JSON.

In: text or a candidate. Out: the part of it that is the answer, with the tokens that make it up. Servers
take thoughts and stop strings out themselves; those that do not are corrected here.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from cot.engine.base import Candidate, TokenLogprob
from cot.engine.remote.address import ApiKey
from cot.engine.remote.dialect import unwrap
from cot.engine.thoughts import THOUGHTS, THOUGHTS_END, behind_thoughts, may_begin_thoughts

_ENDING: Final = re.compile(r"(?:\s|<[^<>]{1,40}>)*")
"""What may stand behind an answer: blanks, and tokens by which models end."""

SHORTEST_SECRET: Final = 16
"""Characters of a key."""


def cut_at_stop(candidate: Candidate, stop: tuple[str, ...]) -> Candidate:
    """The candidate up to the first stop string in it."""
    end = _first(candidate.text, stop)
    if end is None:
        return candidate
    return replace(candidate, text=candidate.text[:end], finish_reason="stop", logprobs=_covering(candidate, 0, end))


def without_thoughts(candidate: Candidate) -> Candidate:
    """The candidate without the thoughts that a reasoning model begins with, where the server leaves them in its text.

    Which tokens spell the rest is left to `spelling`.
    """
    behind = behind_thoughts(candidate.text)
    if behind is None:
        return candidate
    answer = behind.rstrip()
    return replace(candidate, text=answer, logprobs=candidate.logprobs if answer else ())


def ended_in_thoughts(candidate: Candidate) -> bool:
    """Whether a model stopped in the midst of its thoughts, though it had tokens left."""
    text = candidate.text
    return candidate.finish_reason == "stop" and behind_thoughts(text) == "" and THOUGHTS_END not in text


def spelling(candidate: Candidate) -> Candidate:
    """The candidate with those tokens alone that spell its text, where others stand before them: a model's thoughts are
    no text, and their tokens may be told all the same."""
    told, text = "".join(token.token for token in candidate.logprobs), candidate.text
    start = told.rfind(text)
    spelt = told.startswith(text) and _ENDING.fullmatch(told, len(text))
    if not text.strip() or spelt or start <= 0 or not _ENDING.fullmatch(told, start + len(text)):
        return candidate
    return replace(candidate, logprobs=_touching(candidate.logprobs, start, start + len(text)))


def without_key(candidate: Candidate, key: ApiKey) -> Candidate:
    """The candidate without the key, should the server repeat it: answers are recorded. Its tokens go then.

    What people write in place of a key where none is needed is short, and no secret.
    """
    if not key.value or len(key.value) < SHORTEST_SECRET:
        return candidate
    others = [text for token in candidate.logprobs for text, _ in token.others]
    told = (candidate.text, "".join(token.token for token in candidate.logprobs), *others)
    if not any(key.value in text for text in told):
        return candidate
    return replace(candidate, text=key.redact(candidate.text), logprobs=())


def unwrapped(candidate: Candidate) -> Candidate:
    """The candidate with the choice that its JSON object holds as text, or as it is.

    Of the tokens those remain that the choice touches; none if they do not spell the text.
    """
    text = unwrap(candidate.text)
    if text == candidate.text:
        return candidate
    for written in (json.dumps(text, ensure_ascii=False), json.dumps(text)):
        if (start := candidate.text.rfind(written) + 1) > 0:
            return replace(candidate, text=text, logprobs=_covering(candidate, start, start + len(written) - 2))
    # JSON may escape what it need not: then the choice's place is not known.
    return replace(candidate, text=text, logprobs=())


class StopGate:
    """Passes text on as it arrives, up to the first stop string; keeps back what may be the start of one."""

    def __init__(self, stop: tuple[str, ...], on_text: Callable[[str], None]):
        self._stop = stop
        self._on_text = on_text
        self._held = ""
        self._closed = False

    def add(self, text: str) -> None:
        """Take a piece."""
        if self._closed:
            return
        text = self._held + text
        end = _first(text, self._stop)
        self._closed = end is not None
        keep = _begun(text, self._stop) if end is None else 0
        passed = text[: len(text) - keep] if end is None else text[:end]
        self._held = text[len(passed) :]
        if passed:
            self._on_text(passed)

    def end(self) -> None:
        """Nothing more comes."""
        if self._held and not self._closed:
            self._on_text(self._held)
        self._closed = True


class ThoughtGate:
    """Passes text on as it arrives, without the thoughts that it begins with and the blanks around what follows them:
    what `without_thoughts` gives of the whole. Thoughts that a template opened in the prompt only their end tells, so
    they are passed on."""

    def __init__(self, gate: StopGate):
        self._gate = gate
        self._held = ""
        self._part: Literal["beginning", "thoughts", "blanks", "answer", "all"] = "beginning"

    def add(self, text: str) -> None:
        """Take a piece."""
        held, self._held = self._held + text, ""
        if self._part == "beginning":
            if may_begin_thoughts(held):
                self._held = held
                return
            self._part = "thoughts" if held.lstrip().startswith(THOUGHTS) else "all"
        if self._part == "thoughts":
            _, ended, behind = held.partition(THOUGHTS_END)
            if not ended:
                self._held = held[1 - len(THOUGHTS_END) :]
                return
            self._part, held = "blanks", behind
        if self._part == "blanks":
            held = held.lstrip()
            self._part = "answer" if held else "blanks"
        passed = held if self._part == "all" else held.rstrip()
        self._held = held[len(passed) :]
        self._gate.add(passed)

    def end(self) -> None:
        """Nothing more comes."""
        if self._held and self._part == "beginning" and not self._held.lstrip().startswith(THOUGHTS):
            self._gate.add(self._held)
        self._gate.end()


def _first(text: str, stop: tuple[str, ...]) -> int | None:
    places = [place for place in (text.find(string) for string in stop if string) if place >= 0]
    return min(places, default=None)


def _begun(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that a stop string begins with."""
    longest = min(len(text), max(map(len, stop), default=1) - 1)
    ends = (size for size in range(longest, 0, -1) if any(string.startswith(text[-size:]) for string in stop))
    return next(ends, 0)


def _covering(candidate: Candidate, start: int, end: int) -> tuple[TokenLogprob, ...]:
    """The tokens that make up text[start:end]; none if the tokens do not spell the text."""
    if not "".join(token.token for token in candidate.logprobs).startswith(candidate.text):
        return ()
    return _touching(candidate.logprobs, start, end)


def _touching(tokens: tuple[TokenLogprob, ...], start: int, end: int) -> tuple[TokenLogprob, ...]:
    """The tokens that have a part in what they spell from start to end."""
    found = []
    place = 0
    for token in tokens:
        before, place = place, place + len(token.token)
        if before < end and place > start:
            found.append(token)
    return tuple(found)
