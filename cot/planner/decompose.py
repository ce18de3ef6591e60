"""The decompose strategy: plan, answer the parts, compute or decide.

In: a chain. Out: its conclusion. Sub-questions that do not depend on each other are asked together;
arithmetic, comparison and logic over their answers are computed. Whatever stands in the way of that
(no valid plan, an unknown part, a wrong type) is said, and the question is asked directly.
"""

import asyncio

from cot.answer import constraint_for, match_choice, parse_answer, show_answer, show_value
from cot.engine.base import Regex
from cot.errors import PlanError
from cot.planner.budget import ChainStopped
from cot.planner.chain import Asked, Chain, Conclusion, product, unknown
from cot.planner.direct import ask_whole, direct
from cot.planner.expression import Ref, Sum, evaluate
from cot.planner.plan import DECIDE, PLAN_PATTERN, Plan, fill_in, levels, parse_plan
from cot.step import FinalAnswer, Reasoning, SubAnswer, SubQuestion, Summary, ToolUse, Value

Found = dict[int, SubAnswer]
MAX_FILLED_IN_CHARACTERS = 80
FALL_BACK = "The question is asked directly"
"""How the step that says why begins."""


async def decompose(chain: Chain) -> Conclusion:
    """Answer by way of sub-questions. Raises ChainStopped if the chain ends before there is an answer."""
    asked = await chain.ask(
        "decompose/plan", lambda text: parse_plan(text.strip()), step="plan", constraint=Regex(PLAN_PATTERN),
        question=chain.question.text,
    )  # fmt: skip
    plan = asked.value
    if plan is None:
        return await _ask_directly(chain, f"the plan is not valid: {asked.problem}")
    for question in plan.sub_questions:
        chain.add(question)
    how = f"computed as {plan.expression}" if plan.expression else "decided by the model from these"
    chain.add(Reasoning(text=f"The answer is {how}."))
    needed = len(plan.sub_questions) + (plan.expression is None)
    left = chain.allowance.steps_left
    if 0 < left < needed:
        reason = f"the plan needs {needed} more steps, and the budget has {left}"
        conclusion = await _ask_directly(chain, reason)
        if conclusion.stop_reason != "answered":
            return conclusion
        chain.note(reason)
        return Conclusion(conclusion.answer, "budget_steps")
    found = await _answer_all(chain, plan)
    return await _combine(chain, plan, found)


async def _answer_all(chain: Chain, plan: Plan) -> Found:
    found: Found = {}
    for level in levels(plan):
        # With return_exceptions no call is left running behind a chain that has ended.
        answers = await asyncio.gather(*(_answer(chain, q, found) for q in level), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found[answer.to] = answer
    return found


async def _answer(chain: Chain, question: SubQuestion, found: Found) -> SubAnswer:
    blocked = [number for number in question.depends_on if found[number].value is None]
    if blocked:
        problem = f"it depends on #{blocked[0]}, which is unknown"
        answer = SubAnswer(to=question.id, asked=question.text, value=None, raw="", confidence=0.0, problem=problem)
    else:
        answer = await _ask_one(chain, question, found)
    chain.add(answer)
    return answer


async def _ask_one(chain: Chain, question: SubQuestion, found: Found) -> SubAnswer:
    shown = {number: _shown(found[number])[:MAX_FILLED_IN_CHARACTERS] for number in question.depends_on}
    text = fill_in(question.text, shown)
    try:
        asked: Asked[Value] = await chain.ask(
            "decompose/sub_answer",
            lambda raw: parse_answer(raw, question.wants),
            step=f"sub_question {question.id}",
            constraint=constraint_for(question.wants),
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


async def _combine(chain: Chain, plan: Plan, found: Found) -> Conclusion:
    computed, obstacle = _compute(chain, plan, found)
    summary = _summarise(chain, found)
    known = tuple(number for number in plan.supports if found[number].value is not None)
    if computed and chain.question.choices:
        choice = match_choice(computed.value, chain.question.choices)
        if choice is not None:
            computed = computed.model_copy(update={"text": choice, "value": choice})
        else:
            chain.add(Reasoning(text=f"No choice says {computed.text}, so the model decides."))
            computed = None
    if chain.stopped:
        chain.note(str(chain.stopped))
        return Conclusion(computed or unknown(supports=known), chain.stopped.stop_reason)
    if computed:
        return Conclusion(computed)
    if obstacle or not known:
        return await _ask_directly(chain, obstacle or "no sub-question was answered")
    return await ask_whole(chain, "decompose/decide", step=DECIDE, supports=known, summary=summary)


def _compute(chain: Chain, plan: Plan, found: Found) -> tuple[FinalAnswer | None, str | None]:
    """The computed answer, or why there is none; neither where the model is to decide."""
    if plan.expression is None:
        return None, None
    values: dict[int, Value] = {number: answer.value for number, answer in found.items()}
    try:
        result = evaluate(plan.expression, values)
    except PlanError as error:
        return None, str(error)
    match plan.expression:
        case Sum(terms=((_, Ref(id=number)),)):
            text, raw = _shown(found[number]), found[number].raw
        case _:
            text, raw = show_value(result), str(plan.expression)
            used = {f"#{number}": values[number] for number in plan.supports}
            chain.add(ToolUse(name="calculate", arguments={"expression": raw, **used}, result=result))
    confidence = product(found[number].confidence for number in plan.supports)
    return FinalAnswer(text=text, value=result, raw=raw, confidence=confidence, supports=plan.supports), None


def _summarise(chain: Chain, found: Found) -> str:
    answers = [found[number] for number in sorted(found)]
    known = [{"asked": answer.asked, "value": _shown(answer)} for answer in answers if answer.value is not None]
    missing = [answer.asked for answer in answers if answer.value is None]
    text = chain.render("decompose/summary", known=known, missing=missing).text
    chain.add(Summary(text=text))
    return text


async def _ask_directly(chain: Chain, reason: str) -> Conclusion:
    chain.add(Reasoning(text=f"{FALL_BACK}: {reason}."))
    return await direct(chain)


def _shown(answer: SubAnswer) -> str:
    return " ".join(show_answer(answer.value, answer.raw).split())
