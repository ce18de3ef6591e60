"""The route strategy: ask directly, and plan only where that may help.

In: a chain. Out: its conclusion. A direct answer that the model is sure of is kept, at the cost of one
call. Else the model plans; where its plan does more than to ask one question again, it is followed. Of the
two answers the one that is likelier right is taken. Whatever comes to nothing leaves the direct answer.
"""

from dataclasses import replace

from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion
from cot.planner.decompose import follow
from cot.planner.direct import agree, ask_first, let_stand, likely, say_first
from cot.planner.plan import ONE_FACT
from cot.planner.planning import ask_plan, no_plan
from cot.trace.show import percent


async def route(chain: Chain) -> Conclusion:
    """Answer directly, or by steps where that is more likely right.

    The confidence is that of the way taken. Raises ChainStopped.
    """
    first = await ask_first(chain)
    if first.stop_reason not in ("answered", "unparsed"):
        return first
    if first.answer.value is not None and first.answer.confidence >= chain.tuning.keep:
        return first
    say_first(chain, first)
    try:
        asked = await ask_plan(chain)
    except ChainStopped as stopped:
        if stopped.stop_reason != "error":
            raise
        # The answer is none the worse for a call that failed.
        chain.note(str(stopped))
        return let_stand(chain, first, "there is no plan")
    plan = asked.value
    if plan is None:
        return let_stand(chain, first, no_plan(asked))
    if not plan.needs_several_facts:
        return let_stand(chain, first, ONE_FACT)

    async def otherwise(chain: Chain, reason: str) -> Conclusion:
        return let_stand(chain, first, reason)

    return _better(chain, first, await follow(chain, plan, otherwise))


def _better(chain: Chain, first: Conclusion, by_steps: Conclusion) -> Conclusion:
    answer = by_steps.answer
    if by_steps is first or answer is first.answer:
        return by_steps
    if answer.value is None:
        reason = "the steps came to no answer"
    # A confidence of 0 is that of an engine without probabilities, and says nothing.
    elif first.answer.value is None or not answer.confidence or likely(chain, answer) > likely(chain, first.answer):
        return by_steps
    elif agree(chain, answer, first.answer):
        reason = "the steps say the same"
    else:
        reason = f"the steps came to {answer.text}, but only {percent(likely(chain, answer))} sure"
    let_stand(chain, first, reason)
    return first if by_steps.stop_reason in ("answered", "unparsed") else replace(by_steps, answer=first.answer)
