"""What a rendered prompt and a kind of output mean to an engine.

In: a prompt, images, a kind. Out: messages, a constraint, or a checked value. It asks nothing itself.
"""

import json
from collections.abc import Sequence
from typing import get_args

from cot.answer import constraint_for, parse_answer
from cot.engine.base import Constraint, JsonSchema, Message, Regex
from cot.engine.grammar import grammar
from cot.errors import AnswerError, EngineError, PromptError
from cot.image import LoadedImage
from cot.planner.plan import PLAN_PATTERN, parse_plan
from cot.prompt import FrontMatter, Rendered
from cot.step import Wants


def messages(rendered: Rendered, images: Sequence[LoadedImage], system: str = "") -> tuple[Message, ...]:
    """A system message if there is one, the examples as turns of their own, then the question's turn.

    In that come the text before the images, the images, and the text.
    """
    turns = [Message("system", (system,))] if system else []
    for shot in rendered.examples:
        parts: tuple[str | LoadedImage, ...] = (shot.before, *shot.images, shot.text)
        turns.append(Message("user", tuple(part for part in parts if part)))
        turns.append(Message("assistant", (shot.output,)))
    before = (rendered.before,) if rendered.before else ()
    text = (rendered.text,) if rendered.text or not (before or images) else ()
    return (*turns, Message("user", (*before, *images, *text)))


def transcript(turns: Sequence[Message]) -> str:
    """What `messages` gave as text: `Rendered.transcript` again, since a recording knows a prompt by its hash. Without
    images nothing tells that a text was to stand before them; no recorded prompt is without."""
    *before, last = (turn for turn in turns if turn.role != "system")
    texts = [part for part in last.content if isinstance(part, str)]
    if not isinstance(last.content[-1], str):
        texts.append("")
    if len(texts) == 1 and not before:
        return texts[0]
    shown = [f"{turn.role}: " + "\n".join(map(_shown, turn.content)) for turn in before]
    return "\n".join([*shown, "user: " + "\n".join(filter(None, (*texts[:-1], "[images]", texts[-1])))])


def output_constraint(matter: FrontMatter, inputs: dict[str, object]) -> Constraint | None:
    """What a template's output is held to; None for free text. Raises AnswerError for a kind that cannot be held."""
    if matter.json_schema is not None:
        return JsonSchema(matter.json_schema)
    kind = inputs.get("wants") if matter.output == "wants" else matter.output
    if kind == "plan":
        return Regex(PLAN_PATTERN)
    return constraint_for(_wants(kind), _choices(inputs))


def check_output(matter: FrontMatter) -> None:
    """Raises PromptError for a JSON schema that engines cannot be held to."""
    if matter.json_schema is None:
        return
    from llguidance import LLMatcher

    try:
        problem = LLMatcher.validate_grammar(grammar(JsonSchema(matter.json_schema)))
    except EngineError as error:
        problem = str(error)
    if problem:
        shown = " ".join(problem.split())[:200]
        raise PromptError(f"{matter.name}: no engine can be held to its JSON schema: {shown}; make it simpler")


def parse_output(text: str, kind: str, choices: Sequence[str] = ()) -> object:
    """Read text as a kind of output: those of `Wants`, `plan`, or `json`. Raises AnswerError or PlanError."""
    if kind == "plan":
        return parse_plan(text.strip())
    if kind == "json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AnswerError(f"got {text[:80]!r}; expected JSON: {error}") from error
    return parse_answer(text, _wants(kind), choices)


def _shown(part: str | LoadedImage) -> str:
    return part if isinstance(part, str) else f"[image {part.sha256[:8]}]"


def _wants(kind: object) -> Wants:
    for known in get_args(Wants):
        if kind == known:
            wants: Wants = known
            return wants
    raise AnswerError(f"got the kind {kind!r}; expected one of {', '.join(get_args(Wants))}, plan, json")


def _choices(inputs: dict[str, object]) -> tuple[str, ...]:
    choices = inputs.get("choices", ())
    return tuple(str(choice) for choice in choices) if isinstance(choices, list | tuple) else ()
