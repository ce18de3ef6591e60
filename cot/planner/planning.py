"""Has the model plan.

In: a chain. Out: a plan that is worth following, or why there is none. It asks none of the plan's sub-questions.
"""

from dataclasses import replace

from cot.engine.base import Regex, Sampling
from cot.planner.asked import Asked
from cot.planner.chain import Chain
from cot.planner.plan import NOT_VALID, PLAN_PATTERN, Plan, parse_plan


async def ask_plan(chain: Chain) -> Asked[Plan]:
    """Have the model plan; where its plan is not valid, the likeliest valid one of a few samples is taken.

    Raises ChainStopped.
    """
    template, inputs, constraint = "decompose/plan", {"question": chain.question.text}, Regex(PLAN_PATTERN)
    asked = _sure(await chain.ask(template, inputs, _plan, step="plan", constraint=constraint))
    # Samples must leave a step, and most of the tokens, for the answer; a server that holds nothing would draw double.
    if asked.value is not None or asked.unfit or chain.allowance.steps_left < 3:
        return asked
    tokens = chain.render(template, inputs).max_tokens
    n = min(chain.tuning.samples, chain.allowance.tokens_left // (2 * tokens))
    if n < 1:
        return asked
    sampling = Sampling(temperature=chain.tuning.temperature, seed=chain.seed)
    drawn = await chain.sample(
        template, inputs, _plan, step="plan again", n=n, sampling=sampling, constraint=constraint
    )
    valid = [one for one in drawn if one.value is not None]
    if not valid:
        return asked
    others = f", the likeliest of {len(valid)} that are," if len(valid) > 1 else ""
    chain.note(f"the first plan was not valid ({asked.told}; see the trace for it), so another one{others} is followed")
    return _sure(max(valid, key=lambda one: one.confidence))


def no_plan(asked: Asked[Plan]) -> str:
    """Why there are no steps, where the model gave no plan."""
    return f"{NOT_VALID} ({asked.told}; see the trace for it)"


def _sure(asked: Asked[Plan]) -> Asked[Plan]:
    """A plan that knows how sure the model was of it."""
    return replace(asked, value=asked.value and replace(asked.value, confidence=asked.confidence))


def _plan(text: str) -> Plan:
    plan = parse_plan(text.strip())
    plan.check_distinct()
    plan.check_computable()
    return plan
