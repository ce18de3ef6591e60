"""Solved questions that are shown before the one that is asked: as turns of a prompt, and as a trace has them.

In: examples, and a rendered prompt that asks for the answer to the whole question. Out: the prompt with the examples
in front, or text for a trace. Which examples these are is not chosen here.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cot.planner.asked import storable
from cot.prompt import Rendered, Shot, Template
from cot.question import Example
from cot.trace.event import TracedExample
from cot.trace.images import described

PLAIN: Final = "direct/answer"
"""The template in whose words examples stand where that of the prompt needs more than a question and its choices."""


def behind_examples(
    rendered: Rendered, template: Template, examples: Sequence[Example], load: Callable[[str], Template]
) -> Rendered:
    """The prompt, behind a turn for each example. load: gives a template by name. Raises PromptError."""
    if not examples:
        return rendered
    words = template if _takes_a_question_alone(template) else load(PLAIN)
    return rendered.behind([_shot(words, example) for example in examples])


def as_text(examples: Iterable[Example]) -> str:
    """Examples as the setting of a trace: a list of `TracedExample` as JSON."""
    kept = (
        TracedExample(
            question=storable(example.question),
            choices=tuple(storable(choice) for choice in example.choices),
            images=tuple(described(image) for image in example.images),
            answer=storable(example.answer),
        )
        for example in examples
    )
    return json.dumps([one.model_dump(mode="json", exclude_defaults=True) for one in kept])


def _takes_a_question_alone(template: Template) -> bool:
    inputs = template.matter.inputs
    return "question" in inputs and not any(
        spec.required for name, spec in inputs.items() if name not in ("question", "choices")
    )


def _shot(template: Template, example: Example) -> Shot:
    given = {"question": example.question, "choices": example.choices}
    inputs = {name: value for name, value in given.items() if name in template.matter.inputs}
    return template.shot(inputs, example.images, example.answer)
