"""A question about images, and what was said or shown before it."""

import json
from dataclasses import dataclass
from typing import Self

from cot.errors import UsageError
from cot.image import LoadedImage


@dataclass(frozen=True)
class Exchange:
    """A question that was asked before, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Earlier:
    """What was said before a question. summary: of all that was said before `exchanges`; empty if that is nothing."""

    exchanges: tuple[Exchange, ...] = ()
    summary: str = ""

    def __bool__(self) -> bool:
        return bool(self.exchanges or self.summary)

    def as_text(self) -> str:
        """As a trace keeps it."""
        return json.dumps({"summary": self.summary, "said": [[one.question, one.answer] for one in self.exchanges]})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `as_text` gave. Raises UsageError for anything else."""
        try:
            found = json.loads(text)
            said = tuple(Exchange(str(question), str(answer)) for question, answer in found["said"])
            return cls(said, str(found["summary"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            got = f"got {text[:60]!r} as what was said before"
            raise UsageError(f"{got}; expected JSON with summary and said") from error


@dataclass(frozen=True)
class Example:
    """A question with its answer, which is shown before another question. images, choices: as `Question` has them."""

    question: str
    images: tuple[LoadedImage, ...]
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What the user asks.

    text: the question, not empty.
    images: at least one, in the order the user named them.
    choices: if not empty, the answer is one of these.
    earlier: what was said before, if it is a follow-up.
    examples: solved questions that the model is shown first, wherever it is asked for the answer.
    Raises UsageError if the text is empty, there is no image, or a choice is empty or given twice.
    """

    text: str
    images: tuple[LoadedImage, ...]
    choices: tuple[str, ...] = ()
    earlier: Earlier = Earlier()
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UsageError('the question is empty; expected some text, for example "How many dogs are there?"')
        if not self.images:
            raise UsageError("no image was given; name at least one image file before the question")
        if len(set(self.choices)) != len(self.choices) or not all(choice.strip() for choice in self.choices):
            raise UsageError(f"choices must be distinct and not empty, got {', '.join(map(repr, self.choices))}")
