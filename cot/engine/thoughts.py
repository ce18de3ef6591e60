"""What a reasoning model thinks before it answers, where that stands in its text: no part of the answer.

In: a model's text. Out: the answer in it. The one rule for all engines.
"""

THOUGHTS, THOUGHTS_END = "<think>", "</think>"
"""Between them stands what DeepSeek-R1, Qwen 3 and others think before they answer."""


def behind_thoughts(text: str, *, opened: bool | None = None) -> str | None:
    """What stands behind the thoughts that a text begins with, without the blanks before it; None if it has none.

    Thoughts without an end are all that came.
    opened: whether the prompt has opened them; None if that is not known, so that their end alone tells.
    """
    if opened is None:
        opened = THOUGHTS_END in text
    if not opened and not text.lstrip().startswith(THOUGHTS):
        return None
    return text.partition(THOUGHTS_END)[2].lstrip()


def may_begin_thoughts(text: str) -> bool:
    """Whether what follows decides if a text that is not whole yet begins with thoughts."""
    return THOUGHTS.startswith(text.lstrip())


def opens_thoughts(prompt: str) -> bool:
    """Whether a prompt leaves the model in the midst of its thoughts."""
    return prompt.rstrip().endswith(THOUGHTS)
