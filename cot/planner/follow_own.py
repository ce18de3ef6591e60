"""Follows a user's own strategy: asks its steps, or uses their tools, and answers.

In: a strategy that was checked, and a chain. Out: a conclusion. Steps that take nothing from each other are taken
together; each is held to what its template says of its output. What comes to nothing is said, and the question is
asked directly.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from cot.answer import show_answer, show_value
from cot.errors import ToolError
from cot.planner.asked import Asked
from cot.planner.asking import output_constraint, parse_output
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion, unknown
from cot.planner.direct import ask_directly, constraint_whole, parse_whole, short_of_steps
from cot.planner.own import OwnStep, OwnStrategy, template_of, tools_of
from cot.prompt import load_template
from cot.prompt.matter import FrontMatter
from cot.step import FinalAnswer, SubAnswer, SubQuestion, Value, Wants
from cot.tools.tool import Tool, use_tool


@dataclass(frozen=True)
class _Got:
    """What a step came to. text: as later steps take it; None if it came to nothing, and `problem` says why."""

    text: str | None
    problem: str = ""


class _Course:
    """One following of a strategy. numbers: the ids of the steps that ask; got: what the steps so far came to."""

    def __init__(self, name: str, strategy: OwnStrategy, chain: Chain, tools: Mapping[str, Tool]) -> None:
        self.name = name
        self.chain = chain
        self.tools = tools
        self.steps = _needed(strategy)
        asking = [step.name for step in self.steps if not step.tool]
        self.numbers = {step: number for number, step in enumerate(asking, 1)}
        self.got: dict[str, _Got] = {}

    def supports(self, step: OwnStep) -> tuple[int, ...]:
        """Ids of the sub-answers that a step takes."""
        return tuple(sorted(self.numbers[other] for other in set(step.takes.values()) if other in self.numbers))

    def inputs(self, step: OwnStep) -> tuple[dict[str, Any], FrontMatter]:
        """What a step's template is rendered with, and what it says of itself."""
        matter = load_template(template_of(self.name, step), language=self.chain.wording.language).matter
        question = {"question": self.chain.question.text, "choices": self.chain.question.choices}
        given = {key: value for key, value in question.items() if key in matter.inputs and key not in step.takes}
        return given | self.taken(step), matter

    def taken(self, step: OwnStep) -> dict[str, str]:
        """What a step takes from earlier ones."""
        return {key: self.got[other].text or "" for key, other in step.takes.items()}


async def follow_own(name: str, strategy: OwnStrategy, chain: Chain) -> Conclusion:
    """Take the steps that the answer rests on, and answer. Raises ChainStopped, and ToolError for a missing tool."""
    course = _Course(name, strategy, chain, tools_of(strategy))
    needed, left = len(course.numbers), chain.allowance.steps_left
    if 0 < left < needed:
        return await short_of_steps(chain, f"{name} needs {needed} steps, and the budget has {left}", ask_directly)
    while waiting := [step for step in course.steps[:-1] if step.name not in course.got]:
        ready = [step for step in waiting if all(other in course.got for other in step.takes.values())]
        # With return_exceptions no call is left running behind a chain that has ended.
        taking = ((_use if step.tool else _answer)(course, step) for step in ready)
        for step, got in zip(ready, await asyncio.gather(*taking, return_exceptions=True), strict=True):
            if isinstance(got, BaseException):
                raise got
            course.got[step.name] = got
        for step in ready:
            if course.got[step.name].text is None:
                problem = course.got[step.name].problem
                return await ask_directly(chain, f"the step {step.name} came to nothing: {problem}")
    return await _conclude(course, course.steps[-1])


def _needed(strategy: OwnStrategy) -> list[OwnStep]:
    """The steps that the answer rests on, that which answers last."""
    needed = {strategy.last}
    for step in reversed(strategy.steps):
        if step.name in needed:
            needed.update(step.takes.values())
    rest = [step for step in strategy.steps if step.name in needed and step.name != strategy.last]
    return [*rest, next(step for step in strategy.steps if step.name == strategy.last)]


async def _use(course: _Course, step: OwnStep) -> _Got:
    """Use a step's tool, for no longer than the budget has seconds. Raises ChainStopped where those are up."""
    tool, chain = course.tools[step.tool or ""], course.chain
    arguments: dict[str, Value] = {**step.arguments, **course.taken(step)}
    if "question" in tool.arguments.model_fields and "question" not in arguments:
        arguments["question"] = chain.question.text
    try:
        async with asyncio.timeout(chain.allowance.seconds_left):
            used = await use_tool(tool, arguments, images=chain.question.images)
    except TimeoutError as error:
        chain.stopped = chain.stopped or ChainStopped(
            "budget_seconds", f"{step.name}: the time was up before the tool {tool.name} had answered"
        )
        raise chain.stopped from error
    except ToolError as error:
        return _Got(None, str(error))
    chain.add(used)
    if used.result is None:
        return _Got(None, f"the tool {tool.name} found nothing")
    return _Got(show_value(used.result))


async def _answer(course: _Course, step: OwnStep) -> _Got:
    """Ask a step that later ones draw on."""
    inputs, matter = course.inputs(step)
    chain, number, template = course.chain, course.numbers[step.name], template_of(course.name, step)
    rendered = chain.render(template, inputs)
    text = "\n".join(filter(None, (rendered.before, rendered.text)))
    kinds: tuple[Wants, ...] = get_args(Wants)
    wants: Wants = next((known for known in kinds if known == matter.output), "text")
    chain.add(SubQuestion(id=number, text=text, wants=wants, depends_on=course.supports(step)))
    kind = "json" if matter.json_schema else str(matter.output)
    asked: Asked[Value] = await chain.ask(
        template, inputs, partial(_parsed, kind), step=step.name, constraint=output_constraint(matter, inputs),
        may_be_cut=kind == "text",
    )  # fmt: skip
    problem = asked.problem or (None if asked.value is not None else "the model does not know")
    chain.add(
        SubAnswer(to=number, asked=text, value=asked.value, raw=asked.raw, confidence=asked.confidence, problem=problem)
    )
    return _Got(None, problem) if problem else _Got(show_answer(asked.value, asked.raw))


async def _conclude(course: _Course, step: OwnStep) -> Conclusion:
    """Ask the step that answers: one of the question's choices, if it has any, else what its template says."""
    inputs, matter = course.inputs(step)
    chain, supports = course.chain, course.supports(step)
    kind = "json" if matter.json_schema else str(matter.output)
    free = bool(chain.question.choices) or kind == "text"
    parse = partial(parse_whole, chain) if free else partial(_parsed, kind)
    constraint = constraint_whole(chain) if free else output_constraint(matter, inputs)
    asked: Asked[Value] = await chain.ask(
        template_of(course.name, step), inputs, parse, step=step.name, constraint=constraint,
        may_be_cut=free and constraint is None, with_examples=True,
    )  # fmt: skip
    if asked.problem is not None:
        why = f"{step.name}: {asked.problem}"
        chain.note(why)
        return Conclusion(unknown(asked.raw, supports), "budget_tokens" if asked.starved else "unparsed", why)
    answer = FinalAnswer(
        text=show_answer(asked.value, asked.raw), value=asked.value, raw=asked.raw, confidence=asked.confidence,
        supports=supports,
    )  # fmt: skip
    return Conclusion(answer, "budget_tokens" if asked.starved else "answered")


def _parsed(kind: str, text: str) -> Value:
    """A text as its template's output has it; JSON stays text. Raises AnswerError."""
    value = parse_output(text, kind)
    return value if isinstance(value, Value) and kind != "json" else text.strip()
