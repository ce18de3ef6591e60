"""Asks one sub-question.

In: a chain, a sub-question, and the answers that its text refers to. Out: a `SubAnswer`, which may be unknown.
It does not say which sub-questions there are, nor adds the answer to the chain's steps.
"""

from collections.abc import Sequence
from typing import Final

from cot.answer import constraint_for, parse_answer, show_answer
from cot.image import LoadedImage
from cot.planner.asked import Asked
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.plan import fill_in
from cot.step import SubAnswer, SubQuestion, Value

Found = dict[int, SubAnswer]
"""Sub-answers by the id of their question."""

MAX_FILLED_IN_CHARACTERS: Final = 80


async def ask_one(
    chain: Chain, question: SubQuestion, found: Found, *, step: str, images: Sequence[LoadedImage] = ()
) -> SubAnswer:
    """Ask a sub-question whose references are all known. images: in place of the question's."""
    shown = {number: shown_answer(found[number])[:MAX_FILLED_IN_CHARACTERS] for number in question.depends_on}
    text = fill_in(question.text, shown)
    try:
        asked: Asked[Value] = await chain.ask(
            "decompose/sub_answer",
            lambda raw: parse_answer(raw, question.wants),
            step=step,
            constraint=constraint_for(question.wants),
            images=images,
            question=text,
            wants=question.wants,
        )
    except ChainStopped as stopped:
        return SubAnswer(to=question.id, asked=text, value=None, raw="", confidence=0.0, problem=str(stopped))
    problem = asked.problem
    if asked.value is None and problem is None:
        problem = "the model does not know"
    return SubAnswer(
        to=question.id, asked=text, value=asked.value, raw=asked.raw, confidence=asked.confidence, problem=problem
    )


def shown_answer(answer: SubAnswer) -> str:
    """An answer on one line."""
    return " ".join(show_answer(answer.value, answer.raw).split())
