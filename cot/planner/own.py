"""Users' own strategies: a folder of templates, and a file that says which steps follow which.

In: `strategy.yaml` in a folder of templates. Out: a strategy. Steps that take nothing from each other are asked
together; each is held to what its template says of its output. What comes to nothing is said, and the question is
asked directly.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cot.answer import show_answer
from cot.errors import PromptError
from cot.planner.asked import Asked
from cot.planner.asking import output_constraint, parse_output
from cot.planner.chain import Chain, Conclusion, unknown
from cot.planner.direct import ask_directly, constraint_whole, parse_whole
from cot.prompt import load_template, search_path
from cot.prompt.matter import FrontMatter, first_problem, read_yaml
from cot.prompt.source import read_inside
from cot.step import FinalAnswer, SubAnswer, SubQuestion, Value, Wants

FILE: Final = "strategy.yaml"
MAX_STEPS: Final = 16
_NAME: Final = r"^[a-z][a-z0-9_]{0,39}$"
_GIVEN: Final = ("question", "choices")
"""Inputs that every template may take without saying from where."""


class OwnStep(BaseModel):
    """One question to the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    """What later steps call its answer."""
    template: str | None = None
    """`strategy/step`; by default the one of this name in the strategy's own folder."""
    takes: dict[str, str] = Field(default_factory=dict)
    """Input of the template -> the earlier step whose answer goes there."""


class OwnStrategy(BaseModel):
    """What a `strategy.yaml` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    """One sentence for people."""
    steps: tuple[OwnStep, ...] = Field(min_length=1, max_length=MAX_STEPS)
    """In an order in which each comes behind those that it takes from."""
    answer: str | None = None
    """The step whose answer is that of the whole question; by default the last one."""

    @property
    def last(self) -> str:
        """Name of the step that answers."""
        return self.answer or self.steps[-1].name


def own_strategies() -> dict[str, str]:
    """Names of users' own strategies, and the file of each; the first folder of the search path that has one wins."""
    found: dict[str, str] = {}
    for folder in search_path():
        for path in sorted(folder.path.glob(f"*/{FILE}")):
            found.setdefault(path.parent.name, str(path))
    return dict(sorted(found.items()))


def load_own(name: str) -> tuple[OwnStrategy, str] | None:
    """A user's own strategy and the SHA-256 of its file; None if there is none of this name.

    Raises PromptError for the first thing that is wrong with it or with one of its templates.
    """
    for folder in search_path():
        path = folder.path / name / FILE
        if not path.exists():
            continue
        text = read_inside(path, folder.path, name=str(path))
        try:
            strategy = OwnStrategy.model_validate(read_yaml(text, origin=str(path)))
        except ValidationError as error:
            raise PromptError(f"{path}: {first_problem(error)}; expected description, steps and answer") from error
        _check(name, strategy, str(path))
        return strategy, hashlib.sha256(text.encode()).hexdigest()
    return None


def _check(name: str, strategy: OwnStrategy, origin: str) -> None:
    before: list[str] = []
    for step in strategy.steps:
        where = f"{origin}: step {step.name!r}"
        if step.name in (*before, *_GIVEN):
            raise PromptError(f"{where}: the name is taken; expected another than {', '.join((*before, *_GIVEN))}")
        for other in step.takes.values():
            if other not in before:
                known = ", ".join(before) or "none"
                raise PromptError(f"{where} takes from {other!r}; expected an earlier step: {known}")
        _check_template(load_template(template_of(name, step)).matter, step, where)
        before.append(step.name)
    if strategy.last not in before:
        raise PromptError(f"{origin}: got the answer {strategy.last!r}; expected a step: {', '.join(before)}")


def _check_template(matter: FrontMatter, step: OwnStep, where: str) -> None:
    for taken in step.takes:
        if taken not in matter.inputs or matter.inputs[taken].kind != "text":
            texts = ", ".join(name for name, spec in matter.inputs.items() if spec.kind == "text") or "none"
            raise PromptError(f"{where}: {matter.name} has no text input {taken!r}; its text inputs: {texts}")
    for given, spec in matter.inputs.items():
        if spec.required and given not in step.takes and given not in _GIVEN:
            raise PromptError(f"{where}: {matter.name} needs {given!r}; say which step it takes it from")
    if matter.output in ("plan", "region", "wants", "choice"):
        raise PromptError(
            f"{where}: {matter.name} has the output {matter.output!r}; expected text, phrase, number, count, yes_no"
            " or a JSON schema"
        )


def template_of(strategy: str, step: OwnStep) -> str:
    """Name of a step's template."""
    return step.template or f"{strategy}/{step.name}"


async def follow_own(name: str, strategy: OwnStrategy, chain: Chain) -> Conclusion:
    """Ask the steps that the answer rests on, and answer. Raises ChainStopped."""
    steps = _needed(strategy)
    numbers = {step.name: number for number, step in enumerate(steps, 1)}
    found: dict[str, SubAnswer] = {}
    while waiting := [step for step in steps[:-1] if step.name not in found]:
        ready = [step for step in waiting if all(other in found for other in step.takes.values())]
        # With return_exceptions no call is left running behind a chain that has ended.
        asked = (_answer(name, step, chain, numbers, found) for step in ready)
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            found[steps[answer.to - 1].name] = answer
        for step in ready:
            if found[step.name].value is None:
                return await ask_directly(chain, f"the step {step.name} came to nothing: {found[step.name].problem}")
    return await _conclude(name, steps[-1], chain, numbers, found)


def _needed(strategy: OwnStrategy) -> list[OwnStep]:
    """The steps that the answer rests on, that which answers last."""
    needed = {strategy.last}
    for step in reversed(strategy.steps):
        if step.name in needed:
            needed.update(step.takes.values())
    rest = [step for step in strategy.steps if step.name in needed and step.name != strategy.last]
    return [*rest, next(step for step in strategy.steps if step.name == strategy.last)]


async def _answer(
    name: str, step: OwnStep, chain: Chain, numbers: Mapping[str, int], found: Mapping[str, SubAnswer]
) -> SubAnswer:
    """Ask a step that later ones draw on."""
    inputs, matter = _inputs(name, step, chain, found)
    text = chain.render(matter.name, **inputs).text
    kinds: tuple[Wants, ...] = get_args(Wants)
    wants: Wants = next((known for known in kinds if known == matter.output), "text")
    depends_on = tuple(sorted(numbers[other] for other in step.takes.values()))
    chain.add(SubQuestion(id=numbers[step.name], text=text, wants=wants, depends_on=depends_on))
    kind = "json" if matter.json_schema else str(matter.output)
    asked: Asked[Value] = await chain.ask(
        matter.name, partial(_parsed, kind), step=step.name, constraint=output_constraint(matter, inputs),
        may_be_cut=kind == "text", **inputs,
    )  # fmt: skip
    problem = asked.problem or (None if asked.value is not None else "the model does not know")
    answer = SubAnswer(
        to=numbers[step.name], asked=text, value=asked.value, raw=asked.raw, confidence=asked.confidence,
        problem=problem,
    )  # fmt: skip
    chain.add(answer)
    return answer


async def _conclude(
    name: str, step: OwnStep, chain: Chain, numbers: Mapping[str, int], found: Mapping[str, SubAnswer]
) -> Conclusion:
    """Ask the step that answers: one of the question's choices, if it has any, else what its template says."""
    inputs, matter = _inputs(name, step, chain, found)
    kind = "json" if matter.json_schema else str(matter.output)
    free = bool(chain.question.choices) or kind == "text"
    parse = partial(parse_whole, chain) if free else partial(_parsed, kind)
    constraint = constraint_whole(chain) if free else output_constraint(matter, inputs)
    asked: Asked[Value] = await chain.ask(
        matter.name, parse, step=step.name, constraint=constraint, may_be_cut=free and constraint is None,
        with_examples=True, **inputs,
    )  # fmt: skip
    supports = tuple(sorted(numbers[other] for other in step.takes.values()))
    if asked.problem is not None:
        chain.note(f"{step.name}: {asked.problem}")
        return Conclusion(unknown(asked.raw, supports), "budget_tokens" if asked.starved else "unparsed")
    answer = FinalAnswer(
        text=show_answer(asked.value, asked.raw), value=asked.value, raw=asked.raw, confidence=asked.confidence,
        supports=supports,
    )  # fmt: skip
    return Conclusion(answer, "budget_tokens" if asked.starved else "answered")


def _inputs(
    name: str, step: OwnStep, chain: Chain, found: Mapping[str, SubAnswer]
) -> tuple[dict[str, Any], FrontMatter]:
    """What a step's template is rendered with, and what it says of itself."""
    matter = load_template(template_of(name, step), language=chain.wording.language).matter
    question = {"question": chain.question.text, "choices": chain.question.choices}
    given = {key: value for key, value in question.items() if key in matter.inputs}
    taken = {key: show_answer(found[other].value, found[other].raw) for key, other in step.takes.items()}
    return given | taken, matter


def _parsed(kind: str, text: str) -> Value:
    """A text as its template's output has it; JSON stays text. Raises AnswerError."""
    value = parse_output(text, kind)
    return value if isinstance(value, Value) and kind != "json" else text.strip()
