"""The direct strategy: ask the question as it is."""

from typing import Any

from cot.answer import constraint_for, parse_answer, parse_free, show_answer
from cot.planner.chain import Asked, Chain, Conclusion, unknown
from cot.step import FinalAnswer, Value


async def direct(chain: Chain) -> Conclusion:
    """Ask once; the answer is the model's own, and so is its confidence. Raises ChainStopped."""
    return await ask_whole(chain, "direct/answer", step="answer")


async def ask_whole(
    chain: Chain, template: str, *, step: str, supports: tuple[int, ...] = (), **inputs: Any
) -> Conclusion:
    """Ask the whole question with a template that takes `question`, `choices` and `inputs`.

    With choices the model is held to them; without, its text is typed leniently: a number, yes or no,
    or else text. What cannot be read is `unparsed`, and not asked again. Raises ChainStopped.
    """
    choices = chain.question.choices

    def parse(text: str) -> Value:
        return parse_answer(text, "choice", choices) if choices else parse_free(text)

    asked: Asked[Value] = await chain.ask(
        template,
        parse,
        step=step,
        constraint=constraint_for("choice", choices, may_abstain=False) if choices else None,
        may_be_cut=not choices,
        question=chain.question.text,
        choices=choices,
        **inputs,
    )
    if asked.problem is not None:
        chain.note(f"{step}: {asked.problem}")
        return Conclusion(unknown(asked.raw, supports), "budget_tokens" if asked.starved else "unparsed")
    answer = FinalAnswer(
        text=show_answer(asked.value, asked.raw),
        value=asked.value,
        raw=asked.raw,
        confidence=asked.confidence,
        supports=supports,
    )
    return Conclusion(answer, "budget_tokens" if asked.starved else "answered")
