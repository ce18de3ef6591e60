"""The cot strategy: reason freely, then answer.

In: a chain. Out: its conclusion. Two calls: the first is free text, the second sees the image, the question
and that text, and is held to an answer.
"""

from typing import Final

from cot.answer import constraint_for, parse_answer
from cot.planner.asked import Asked
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion
from cot.planner.direct import ask_directly, ask_whole, short_of_steps
from cot.step import Reasoning, Value

MAX_REASONING_CHARACTERS: Final = 4000
"""What goes into the second prompt at most."""


async def reason(chain: Chain) -> Conclusion:
    """Answer by way of free text; the confidence is that of the answer, given that text. Raises ChainStopped."""
    if chain.allowance.steps_left == 1:
        return await short_of_steps(chain, "reasoning needs 2 steps, and the budget has 1", ask_directly)
    asked: Asked[Value] = await chain.ask(
        "cot/reason",
        {"question": chain.question.text, "choices": chain.question.choices},
        lambda text: parse_answer(text, "text"),
        step="reason",
        may_be_cut=True,
    )
    if asked.value is None:
        return await ask_directly(chain, f"there is no reasoning: {asked.problem or 'the model does not know'}")
    text = str(asked.value)[:MAX_REASONING_CHARACTERS]
    chain.add(Reasoning(text=text))
    return await ask_whole(chain, "cot/answer", step="answer", constraint=constraint_for("phrase"), reasoning=text)
