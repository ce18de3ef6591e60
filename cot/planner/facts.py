"""Finds facts: the sub-questions of a plan, asked, and what follows from their answers.

In: a chain and a plan. Out: sub-answers by id, a summary of them, and the value that they compute to.
Sub-questions that do not depend on each other are asked together. It chooses no strategy.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cot.answer import constraint_for, match_choice, parse_answer, show_answer, show_value
from cot.engine.base import Regex
from cot.errors import AnswerError, PlanError
from cot.expression import Ref, Sum
from cot.image import LoadedImage
from cot.planner.asked import Asked
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import product
from cot.planner.plan import (
    Plan,
    fill_in,
    grounds,
    levels,
    parse_reworded,
    reworded_pattern,
    same_words,
)
from cot.step import FinalAnswer, Source, SubAnswer, SubQuestion, Summary, Value
from cot.tools.calculate import calculate

EXCHANGED: Final = "shuffle-steps"
"""Name of the ablation that draws the answer from exchanged sub-answers (`as_shown`)."""

Found = dict[int, SubAnswer]
MAX_FILLED_IN_CHARACTERS: Final = 80
MAX_SHOWN_CHARACTERS: Final = 1000
"""Of one sub-answer in a summary."""


async def find(chain: Chain, plan: Plan, found: Found | None = None) -> Found:
    """Ask all sub-questions that have no answer in `found` yet, be it that the model does not know."""
    found = dict(found or {})
    for level in levels(plan):
        wanted = [q for q in level if q.id not in found]
        # With return_exceptions no call is left running behind a chain that has ended.
        answers = await asyncio.gather(*(_answer(chain, q, found) for q in wanted), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found[answer.to] = answer
    return found


async def find_more(chain: Chain, plan: Plan, found: Found) -> tuple[Plan, Found]:
    """Ask once more, in other words, for what the model did not know; they are its own, and then stand in the plan.

    Gives both back as they are where nothing is unknown, where the budget has no steps for it, and where the model
    words nothing anew.
    """
    unknown = [q for q in plan.sub_questions if found[q.id].value is None]
    missing = [q for q in unknown if all(found[number].value is not None for number in q.depends_on)]
    # One step words them, and one is left for the decision or the direct answer.
    if chain.stopped or not missing or chain.allowance.steps_left < len(unknown) + 2:
        return plan, found
    inputs = {
        "question": chain.question.text,
        "summary": summarise(chain, found),
        "missing": [f"{q.id}. [{q.wants}] {q.text}" for q in missing],
    }
    try:
        asked = await chain.ask(
            "decompose/more",
            inputs,
            lambda text: _reworded(text, plan, missing, chain),
            step="more",
            constraint=Regex(reworded_pattern(missing)),
        )
    except ChainStopped:
        return plan, found
    if asked.value is None:
        chain.note(
            "what is unknown is not asked again: the other words for it were not valid"
            f" ({asked.told}; see the trace for them)"
        )
        return plan, found
    for question in asked.value:
        chain.add(question)
    plan = _with(plan, asked.value)
    anew = {question.id for question in asked.value}
    for question in plan.sub_questions:  # they refer back only
        if found[question.id].value is None and anew.intersection(question.depends_on):
            anew.add(question.id)
    return plan, await find(chain, plan, {number: found[number] for number in found if number not in anew})


async def ask_one(
    chain: Chain, question: SubQuestion, found: Found, *, step: str, images: Sequence[LoadedImage] = ()
) -> SubAnswer:
    """Ask a sub-question whose references are all known. images: in place of the question's."""
    shown = {number: shown_answer(found[number])[:MAX_FILLED_IN_CHARACTERS] for number in question.depends_on}
    text = fill_in(question.text, shown)
    try:
        asked: Asked[Value] = await chain.ask(
            "decompose/sub_answer",
            {"question": text, "wants": question.wants},
            lambda raw: parse_answer(raw, question.wants),
            step=step,
            constraint=constraint_for(question.wants),
            images=images,
        )
    except ChainStopped as stopped:
        return SubAnswer(to=question.id, asked=text, value=None, raw="", confidence=0.0, problem=str(stopped))
    if asked.unfit and not asked.cut and question.wants not in ("phrase", "text"):
        asked = _read_all_the_same(asked, question)
    problem = asked.problem
    if asked.value is None and problem is None:
        problem = "the model does not know"
    return SubAnswer(
        to=question.id, asked=text, value=asked.value, raw=asked.raw, confidence=asked.confidence, problem=problem
    )


def _read_all_the_same(asked: Asked[Value], question: SubQuestion) -> Asked[Value]:
    """What a reply says that a server did not hold to the letter: "Two", "1,250". As it was where it says nothing."""
    try:
        return Asked(parse_answer(asked.raw, question.wants), asked.raw, asked.confidence)
    except AnswerError:
        return asked


def as_shown(chain: Chain, plan: Plan, found: Found) -> Found:
    """The sub-answers as they are drawn on: where the chain exchanges them, each known one is that of the next
    sub-question of its kind, which tells whether the answer depends on them at all."""
    if not chain.exchange_answers:
        return found
    shown = dict(found)
    for kind in {question.wants for question in plan.sub_questions}:
        alike = [q.id for q in plan.sub_questions if q.wants == kind and found[q.id].value is not None]
        for number, other in zip(alike, alike[1:] + alike[:1], strict=True):
            taken = {name: getattr(found[other], name) for name in ("value", "raw", "confidence")}
            shown[number] = found[number].model_copy(update=taken)
    if shown != found:
        chain.note("sub-answers of one kind were exchanged")
    return shown


def compute(chain: Chain, plan: Plan, found: Found) -> tuple[FinalAnswer | None, str | None]:
    """The computed answer, or why there is none; neither where the model is to decide.

    With choices it is the choice that says the same. Its confidence is the product of those of all that it rests on,
    and where it is by several facts, as much of the plan's as the tuning says.
    """
    if plan.expression is None:
        return None, None
    values: dict[int, Value] = {number: answer.value for number, answer in found.items()}
    try:
        use = calculate(plan.expression, values)
    except PlanError as error:
        return None, str(error)
    match plan.expression:
        case Sum(terms=((_, Ref(id=number)),)):
            text, raw = shown_answer(found[number]), found[number].raw
        case _:
            text, raw = show_value(use.result), str(plan.expression)
            chain.add(use)
    confidence = product(found[number].confidence for number in grounds(plan.supports, plan.sub_questions))
    # The answer to a question that was only asked in other words is as sure as a direct one.
    source: Source = "steps" if plan.needs_several_facts else "direct"
    if source == "steps" and plan.confidence:
        confidence *= plan.confidence**chain.tuning.plan_share
    answer = FinalAnswer(
        text=text, value=use.result, raw=raw, confidence=confidence, supports=plan.supports, source=source
    )
    return answer, None


def as_choice(chain: Chain, computed: FinalAnswer) -> FinalAnswer | None:
    """The computed answer as one of the question's choices, if it has any; None if no choice says it."""
    if not chain.question.choices:
        return computed
    choice = match_choice(computed.value, chain.question.choices)
    return None if choice is None else computed.model_copy(update={"text": choice, "value": choice})


def summarise(chain: Chain, found: Found) -> str:
    """Add a summary of what is known, a fact a line, and what is not; give its text."""
    answers = [found[number] for number in sorted(found)]
    known = [
        {"asked": answer.asked, "value": shown_answer(answer)[:MAX_SHOWN_CHARACTERS]}
        for answer in answers
        if answer.value is not None
    ]
    missing = [answer.asked for answer in answers if answer.value is None]
    text = chain.render("decompose/summary", {"known": known, "missing": missing}).text
    chain.add(Summary(text=text))
    return text


def shown_answer(answer: SubAnswer) -> str:
    """An answer on one line."""
    return " ".join(show_answer(answer.value, answer.raw).split())


async def _answer(chain: Chain, question: SubQuestion, found: Found) -> SubAnswer:
    blocked = [number for number in question.depends_on if found[number].value is None]
    if blocked:
        problem = f"it depends on #{blocked[0]}, which is unknown"
        answer = SubAnswer(to=question.id, asked=question.text, value=None, raw="", confidence=0.0, problem=problem)
    else:
        answer = await ask_one(chain, question, found, step=f"sub_question {question.id}")
    chain.add(answer)
    return answer


def _reworded(text: str, plan: Plan, missing: Sequence[SubQuestion], chain: Chain) -> tuple[SubQuestion, ...]:
    """Other words for what is missing, without those that were asked before, which would find out nothing. Raises
    PlanError, also if these are all, or if the plan would ask the same twice with them."""
    before = {same_words(step.text) for step in chain.steps if isinstance(step, SubQuestion)}
    found = tuple(q for q in parse_reworded(text.strip(), missing) if same_words(q.text) not in before)
    if not found:
        raise PlanError("they were asked before")
    _with(plan, found).check_distinct()
    return found


def _with(plan: Plan, reworded: Sequence[SubQuestion]) -> Plan:
    """The plan with other words for some of its sub-questions."""
    new = {question.id: question for question in reworded}
    return replace(plan, sub_questions=tuple(new.get(question.id, question) for question in plan.sub_questions))
