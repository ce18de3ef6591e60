"""The decompose strategy: plan, answer the parts, compute or decide.

In: a chain. Out: its conclusion. Arithmetic, comparison and logic over the sub-answers are computed.
What is still unknown behind the summary is asked for once more, in other words. Whatever stands in the
way (no valid plan, an unknown part, a wrong type) is said, and the question is asked directly.
"""

from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion, unknown
from cot.planner.direct import Otherwise, ask_directly, ask_whole, short_of_steps
from cot.planner.facts import Found, as_choice, as_shown, compute, find, find_more, summarise
from cot.planner.plan import DECIDE, OPEN, Plan
from cot.planner.planning import ask_plan, no_plan
from cot.step import Reasoning


async def decompose(chain: Chain) -> Conclusion:
    """Answer by way of sub-questions. Raises ChainStopped if the chain ends before there is an answer."""
    if chain.allowance.steps_left == 1:
        return await short_of_steps(chain, "a plan needs 2 steps, and the budget has 1", ask_directly)
    asked = await ask_plan(chain)
    if asked.value is None:
        return await ask_directly(chain, no_plan(asked))
    return await follow(chain, asked.value, ask_directly)


async def follow(chain: Chain, plan: Plan, otherwise: Otherwise) -> Conclusion:
    """Answer by way of a plan; `otherwise` is for where it leads to nothing. Raises ChainStopped."""
    if plan.is_open:
        return await otherwise(chain, OPEN)
    announce(chain, plan)
    needed = len(plan.sub_questions) + (plan.expression is None)
    left = chain.allowance.steps_left
    if 0 < left < needed:
        return await short_of_steps(chain, f"the plan needs {needed} more steps, and the budget has {left}", otherwise)
    found = await find(chain, plan)
    for _ in range(chain.tuning.rounds - 1):
        if all(found[number].value is not None for number in plan.supports):
            break
        before = plan
        plan, found = await find_more(chain, plan, found)
        if plan is before:  # nothing was worded anew, nor would be: the model would be asked the same
            break
    return await _combine(chain, plan, as_shown(chain, plan, found), otherwise)


def announce(chain: Chain, plan: Plan) -> None:
    """Add a plan's steps."""
    for question in plan.sub_questions:
        chain.add(question)
    how = f"computed as {plan.expression}" if plan.expression else "decided by the model from these"
    chain.add(Reasoning(text=f"The answer is {how}."))


async def _combine(chain: Chain, plan: Plan, found: Found, otherwise: Otherwise) -> Conclusion:
    computed, obstacle = compute(chain, plan, found)
    summary = summarise(chain, found)
    known = tuple(number for number in plan.supports if found[number].value is not None)
    if computed:
        chosen = as_choice(chain, computed)
        if chosen is None:
            chain.add(Reasoning(text=f"No choice says {computed.text}, so the model decides."))
        computed = chosen
    if chain.stopped:
        chain.note(str(chain.stopped))
        answer = computed or chain.best or unknown(supports=known)
        return Conclusion(answer, chain.stopped.stop_reason)
    if computed:
        return Conclusion(computed)
    if obstacle or not known:
        return await otherwise(chain, obstacle or "no sub-question was answered")
    return await ask_whole(chain, "decompose/decide", step=DECIDE, supports=known, summary=summary)
