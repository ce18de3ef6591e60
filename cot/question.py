"""A question about images."""

from dataclasses import dataclass

from cot.errors import UsageError
from cot.image import LoadedImage


@dataclass(frozen=True)
class Question:
    """What the user asks.

    text: the question, not empty.
    images: at least one, in the order the user named them.
    choices: if not empty, the answer is one of these.
    Raises UsageError if the text is empty, there is no image, or a choice is empty or given twice.
    """

    text: str
    images: tuple[LoadedImage, ...]
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UsageError('the question is empty; expected some text, for example "How many dogs are there?"')
        if not self.images:
            raise UsageError("no image was given; name at least one image file before the question")
        if len(set(self.choices)) != len(self.choices) or not all(choice.strip() for choice in self.choices):
            raise UsageError(f"choices must be distinct and not empty, got {list(self.choices)!r}")
