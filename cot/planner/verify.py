"""The verify strategy: ask directly, and check the answer against facts that are asked on their own.

In: a chain. Out: its conclusion. Where the facts say otherwise, the least certain of them that has a known
region is asked once more, with that region enlarged beside the image. Only if it says the same again, the facts
prevail: that is two looks against one. Else the direct answer stands.
"""

from cot.answer import comparable
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion
from cot.planner.decompose import announce
from cot.planner.direct import agree, ask_first, let_stand, say_first
from cot.planner.facts import Found, as_choice, as_shown, ask_one, compute, find
from cot.planner.plan import LEFT_TO_MODEL, NO_FACTS, Plan
from cot.planner.planning import ask_plan, no_plan
from cot.region import Box, parse_box
from cot.step import FinalAnswer, Reasoning, SubQuestion
from cot.tools.zoom import zoom_step


async def verify(chain: Chain) -> Conclusion:
    """Answer directly, then check. The confidence is that of the answer that prevails. Raises ChainStopped."""
    first = await ask_first(chain)
    if first.stop_reason not in ("answered", "unparsed"):
        return first
    say_first(chain, first)
    plan, obstacle = await _checkable_plan(chain)
    if plan is None:
        return _unchecked(chain, first, obstacle)
    announce(chain, plan)
    needed, left = len(plan.sub_questions), chain.allowance.steps_left
    if left < needed:
        _unchecked(chain, first, f"the check needs {needed} more steps, and the budget has {left}")
        return first if first.answer.value is None else Conclusion(first.answer, "budget_steps")
    found = as_shown(chain, plan, await find(chain, plan))
    computed, problem = compute(chain, plan, found)
    if chain.stopped:
        raise chain.stopped
    checked = computed and as_choice(chain, computed)
    if checked is None:
        return _unchecked(chain, first, problem or "no choice says what the facts give")
    if first.answer.value is None:
        chain.add(Reasoning(text=f"The direct answer is unknown, and the facts say {checked.text}."))
        return Conclusion(checked)
    if agree(chain, checked, first.answer):
        return let_stand(chain, first, "the facts say the same")
    return await _contradicted(chain, first, plan, found, checked)


async def _checkable_plan(chain: Chain) -> tuple[Plan | None, str]:
    try:
        asked = await ask_plan(chain)
    except ChainStopped as stopped:
        if stopped.stop_reason != "error":
            raise
        return None, str(stopped)
    plan = asked.value
    if plan is None:
        return None, no_plan(asked)
    if plan.expression is None:
        return None, LEFT_TO_MODEL
    if not plan.needs_several_facts:
        return None, NO_FACTS
    return plan, ""


async def _contradicted(chain: Chain, first: Conclusion, plan: Plan, found: Found, checked: FinalAnswer) -> Conclusion:
    chain.add(Reasoning(text=f"The facts say {checked.text}, the direct answer is {first.answer.text}."))
    regions = {q.id: (q, box) for q in plan.sub_questions if q.id in plan.supports and (box := _region(q, found))}
    if not regions or len(chain.question.images) > 1:
        return let_stand(chain, first, "no region is known in which to look again")
    question, box = regions[min(regions, key=lambda number: found[number].confidence)]
    use, closer = zoom_step(chain.question.images[0], box)
    chain.add(use, closer)
    shown = (*chain.question.images, closer) if chain.takes_several_images else (closer,)
    again = await ask_one(chain, question, found, step=f"sub_question {question.id} again", images=shown)
    chain.add(again)
    if chain.stopped:
        if chain.stopped.stop_reason != "error":
            raise chain.stopped
        # A model that takes one image only says so here; the answer is none the worse for it.
        chain.note(str(chain.stopped))
        return let_stand(chain, first, "it could not be looked at again")
    if again.value is None or comparable(again.value) != comparable(found[question.id].value):
        return let_stand(chain, first, f"#{question.id} is not the same at a closer look")
    chain.add(Reasoning(text=f"#{question.id} is the same at a closer look, so the facts prevail."))
    return Conclusion(checked)


def _region(question: SubQuestion, found: Found) -> Box | None:
    """The box that a fact refers to: one of the answers in its text may be `[left, top, right, bottom]`."""
    texts = [found[number].value for number in question.depends_on]
    boxes = [box for text in texts if isinstance(text, str) and (box := parse_box(text))]
    return boxes[0] if len(boxes) == 1 else None


def _unchecked(chain: Chain, first: Conclusion, reason: str) -> Conclusion:
    chain.note(f"nothing could be checked: {reason}")
    return let_stand(chain, first, reason)
