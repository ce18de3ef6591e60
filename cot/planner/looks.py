"""Looks again where a count is unsure: at the image without a strip at two of its edges, from several corners.

In: sub-questions with the answers of a first look. Out: for each that was unsure, what all looks together say.
A vision tower cuts every look into other patches, and so errs about other things: the mean over corner crops is right
more often than one look (Krizhevsky et al. 2012, section 4.1). It needs probabilities, and one image.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from cot.planner.chain import Chain
from cot.planner.sub_answer import Found, ask_one, shown_answer
from cot.region import Box
from cot.step import Reasoning, SubAnswer, SubQuestion, Wants
from cot.tools.zoom import zoom
from cot.trace.show import percent

LOOKED_AT_AGAIN: Final[frozenset[Wants]] = frozenset({"count"})
"""Kinds of facts that a strip less at an edge hardly changes, and that small errors of sight do."""

LOOKS: Final = (Box(0, 0, 0.95, 0.95), Box(0.05, 0.05, 1, 1), Box(0, 0.05, 0.95, 1))
"""What is seen by each look but the first. A twentieth is half a patch of the embedded model."""


async def look_again(chain: Chain, asked: Sequence[SubQuestion], found: Found, *, spare_steps: int) -> Found:
    """Ask those that are unsure once for each of `LOOKS`, all together; what they come to then.

    asked: sub-questions that were answered just now. spare_steps: steps of the budget to be left for what follows.
    Nothing is looked at again where the budget is short of it, or once the chain was stopped.
    """
    unsure = [one for one in asked if is_unsure(one, found[one.id], chain.tuning.look_again)]
    left = chain.allowance.steps_left - spare_steps - len(LOOKS) * len(unsure)
    if not unsure or left < 0 or chain.stopped or len(chain.question.images) != 1:
        return {}
    image = chain.question.images[0]
    seen = [zoom(image, box) for box in LOOKS]
    looks = await asyncio.gather(
        *(
            ask_one(chain, question, found, step=f"sub_question {question.id} look {number}", images=(closer,))
            for question in unsure
            for number, closer in enumerate(seen, 2)
        ),
        return_exceptions=True,
    )
    answers: list[SubAnswer] = []
    for look in looks:
        if isinstance(look, BaseException):
            raise look
        answers.append(look)
    later = {}
    for question in unsure:
        every = [found[question.id], *(answer for answer in answers if answer.to == question.id)]
        later[question.id] = together = most_likely(every)
        said = ", ".join(f"{shown_answer(one)} {percent(one.confidence)}" for one in every[1:])
        chain.add(Reasoning(text=f"#{question.id} is unsure, so it is looked at again: {said}."))
        chain.add(together)
    return later


def most_likely(looks: Sequence[SubAnswer]) -> SubAnswer:
    """The answer with the highest mean probability over the looks, the first among equals; that is its confidence.

    What a look did not say counts as impossible there, and so does a look without an answer.
    """
    total: dict[object, float] = {}
    for look in looks:
        if look.value is not None:
            total[look.value] = total.get(look.value, 0.0) + look.confidence
    best = max(total, key=lambda value: total[value])
    first = next(look for look in looks if look.value == best)
    return first.model_copy(update={"confidence": min(1.0, total[best] / len(looks))})


def is_unsure(question: SubQuestion, answer: SubAnswer, below: float) -> bool:
    """Whether the answer is one to look at again, and of less confidence than `below`.

    0 is the confidence of an engine without probabilities, which says nothing.
    """
    return answer.value is not None and question.wants in LOOKED_AT_AGAIN and 0 < answer.confidence < below
