"""Puts a follow-up question into words that stand alone, so that what comes after needs nothing that was said before.

In: a chain whose question has something before it. Out: the chain's question as it was understood, and a step that says
so. What was said goes into this prompt only: all others stay as they are without it, images first. Where what was said
is too long for the model's context, its beginning is summarised first, by a step of its own.
"""

import dataclasses
from typing import Final

from cot.errors import AnswerError
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.question import Earlier, Exchange
from cot.step import Reasoning, Summary

MAX_QUESTION_CHARACTERS: Final = 600
MAX_SUMMARY_CHARACTERS: Final = 600
MAX_SAID_CHARACTERS: Final = 300
"""Of one question or answer, where it is told again."""

KEPT: Final = 2
"""Newest exchanges that stay word for word while those before them are summarised, if there is room."""

MAX_ROOM_CHARACTERS: Final = 40_000
"""Of what was said, however large the context is: a template becomes no longer text than a little more."""

_AROUND_CHARACTERS: Final = 24
"""What a template puts around an exchange."""

_ASSUMED_CONTEXT_TOKENS: Final = 4096
_CHARACTERS_PER_TOKEN: Final = 3
_SHARE: Final = 4
"""What was said may take one part in so many of the context."""


async def understand(chain: Chain) -> None:
    """Change the chain's question, if anything was said before it. Raises ChainStopped when a budget is used up.

    If the model fails at it the question stays as it was typed, and a note says so.
    """
    if not chain.question.earlier:
        return
    try:
        await _shorten(chain)
        text = await _standalone(chain)
    except ChainStopped as stopped:
        if stopped.stop_reason != "error":
            raise
        chain.stopped = None
        chain.note(f"the question is asked as it was typed: {stopped}")
        return
    if text != chain.question.text:
        chain.add(Reasoning(text=f"Understood as: {text}"))
        chain.question = dataclasses.replace(chain.question, text=text)


def room_characters(context_tokens: int) -> int:
    """Characters that what was said may have, for a context of so many tokens; 0: not known."""
    room = (context_tokens or _ASSUMED_CONTEXT_TOKENS) * _CHARACTERS_PER_TOKEN // _SHARE
    return min(room, MAX_ROOM_CHARACTERS)


async def _shorten(chain: Chain) -> None:
    """Summarise what does not fit, and say so."""
    earlier, room = _bounded(chain.question.earlier), room_characters(chain.context_tokens)
    if _length(earlier) > room:
        kept = earlier.exchanges[-KEPT:]
        while kept and _length(Earlier(kept)) > room - MAX_SUMMARY_CHARACTERS:
            kept = kept[1:]
        old = earlier.exchanges[: len(earlier.exchanges) - len(kept)]
        told = old
        while len(told) > 1 and _length(Earlier(told)) > MAX_ROOM_CHARACTERS:
            told = told[1:]
        asked = await chain.ask(
            "chat/summary", {"said": _plain(told), "summary": earlier.summary}, _not_empty,
            step="summary of what was said", may_be_cut=True,
        )  # fmt: skip
        if asked.value is None:
            chain.note(f"what was said first is forgotten, since it could not be summarised: {asked.problem}")
        summary = _cut(asked.value or "", MAX_SUMMARY_CHARACTERS)
        plural = "" if len(old) == 1 else "s"
        words = f"what was said is long for the model's context; {len(old)} earlier answer{plural} in short: {summary}"
        chain.add(Summary(text=words))
        earlier = Earlier(kept, summary)
    chain.question = dataclasses.replace(chain.question, earlier=earlier)


async def _standalone(chain: Chain) -> str:
    earlier = chain.question.earlier
    said = {"said": _plain(earlier.exchanges), "summary": earlier.summary}
    asked = await chain.ask("chat/follow_up", {"question": chain.question.text, **said}, _question, step="follow-up")
    if asked.value is None:
        chain.note(f"the question is asked as it was typed: {asked.problem}")
    return asked.value or chain.question.text


def _question(text: str) -> str:
    found = _not_empty(text)
    if len(found) > MAX_QUESTION_CHARACTERS:
        raise AnswerError(f"got {len(found)} characters; expected one question of {MAX_QUESTION_CHARACTERS} at most")
    return found


def _not_empty(text: str) -> str:
    found = " ".join(text.split())
    if not found:
        raise AnswerError("got no words; expected some")
    return found


def _bounded(earlier: Earlier) -> Earlier:
    exchanges = (
        Exchange(_cut(one.question, MAX_SAID_CHARACTERS), _cut(one.answer, MAX_SAID_CHARACTERS))
        for one in earlier.exchanges
    )
    return Earlier(tuple(exchanges), _cut(earlier.summary, MAX_SUMMARY_CHARACTERS))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _length(earlier: Earlier) -> int:
    exchanges = (len(one.question) + len(one.answer) + _AROUND_CHARACTERS for one in earlier.exchanges)
    return len(earlier.summary) + sum(exchanges)


def _plain(exchanges: tuple[Exchange, ...]) -> list[dict[str, str]]:
    return [{"question": one.question, "answer": one.answer} for one in exchanges]
