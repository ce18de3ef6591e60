"""The direct strategy: ask the question as it is. What other strategies fall back to."""

from collections.abc import Awaitable, Callable
from typing import Any

from cot.answer import comparable, constraint_for, parse_answer, parse_free, show_answer
from cot.engine.base import Constraint
from cot.planner.asked import Asked
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion, unknown
from cot.step import FinalAnswer, Reasoning, Source, Value
from cot.trace.show import percent

FALL_BACK = "The question is asked directly"
"""How the step that says why begins."""

Otherwise = Callable[[Chain, str], Awaitable[Conclusion]]
"""What to do where a plan leads to nothing, and why it does."""


async def direct(chain: Chain) -> Conclusion:
    """Ask once; the answer is the model's own, and so is its confidence. Raises ChainStopped."""
    return await ask_whole(chain, "direct/answer", step="answer", source="direct")


async def ask_directly(chain: Chain, reason: str) -> Conclusion:
    """Say why, and ask directly. Raises ChainStopped."""
    chain.add(Reasoning(text=f"{FALL_BACK}: {reason}."))
    return await direct(chain)


async def short_of_steps(chain: Chain, reason: str, otherwise: Otherwise) -> Conclusion:
    """Do the other thing for want of steps, and say that the budget was the reason. Raises ChainStopped."""
    conclusion = await otherwise(chain, reason)
    if conclusion.stop_reason != "answered":
        return conclusion
    chain.note(reason)
    return Conclusion(conclusion.answer, "budget_steps")


async def ask_first(chain: Chain) -> Conclusion:
    """Ask directly before anything else: from then on the answer is the chain's best so far. Raises ChainStopped."""
    first = await direct(chain)
    if first.answer.value is not None:
        chain.best = first.answer
    return first


def say_first(chain: Chain, first: Conclusion) -> None:
    """A step with the direct answer, where more is to follow."""
    answer = first.answer
    # 0 is the confidence of an engine without probabilities.
    sure = f" ({percent(likely(chain, answer))})" if answer.confidence else ""
    chain.add(Reasoning(text=f"Asked directly, the model says {answer.text}{sure}."))


def likely(chain: Chain, answer: FinalAnswer) -> float:
    """The probability that an answer is right, as far as the model is calibrated."""
    return chain.tuning.calibrated(answer.confidence, answer.source)


def agree(chain: Chain, one: FinalAnswer, other: FinalAnswer) -> bool:
    """Whether two answers say the same: the same choice, if the question has any."""
    if chain.question.choices:
        return one.value == other.value
    # Python takes yes for 1.
    same = one.value == other.value and isinstance(one.value, bool) == isinstance(other.value, bool)
    return same or comparable(one.value) == comparable(other.value)


def let_stand(chain: Chain, first: Conclusion, reason: str) -> Conclusion:
    """Say why the direct answer, which may be none, is the answer after all."""
    stays = "The direct answer stands" if first.answer.value is not None else "There is still no answer"
    chain.add(Reasoning(text=f"{stays}: {reason}."))
    return first


async def ask_whole(
    chain: Chain,
    template: str,
    *,
    step: str,
    supports: tuple[int, ...] = (),
    constraint: Constraint | None = None,
    source: Source = "other",
    **inputs: Any,
) -> Conclusion:
    """Ask the whole question with a template that takes `question`, `choices` and `inputs`.

    With choices the model is held to them; without, to `constraint` if there is one, and its text is typed
    leniently: a number, yes or no, or else text. What cannot be read is `unparsed`, and not asked again.
    source: what its confidence is. Raises ChainStopped.
    """
    choices = chain.question.choices
    asked: Asked[Value] = await chain.ask(
        template,
        {"question": chain.question.text, "choices": choices, **inputs},
        lambda text: parse_whole(chain, text),
        step=step,
        constraint=constraint_whole(chain) or constraint,
        may_be_cut=not choices,
        with_examples=True,
    )
    if asked.problem is not None:
        why = f"{step}: {asked.problem}"
        chain.note(why)
        return Conclusion(unknown(asked.raw, supports), "budget_tokens" if asked.starved else "unparsed", why)
    answer = FinalAnswer(
        text=show_answer(asked.value, asked.raw),
        value=asked.value,
        raw=asked.raw,
        confidence=asked.confidence,
        supports=supports,
        source=source,
    )
    return Conclusion(answer, "budget_tokens" if asked.starved else "answered")


def constraint_whole(chain: Chain) -> Constraint | None:
    """What the answer to the whole question is held to: its choices, if it has any."""
    return constraint_for("choice", chain.question.choices, may_abstain=False) if chain.question.choices else None


def parse_whole(chain: Chain, text: str) -> Value:
    """Read an answer to the whole question: one of its choices, or whatever it is. Raises AnswerError."""
    choices = chain.question.choices
    return parse_answer(text, "choice", choices) if choices else parse_free(text)
