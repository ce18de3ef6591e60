"""What a reasoning model thinks before it answers, where that stands in its text: no part of the answer.

In: a model's text. Out: the answer in it. The one rule for all engines.
"""

THOUGHTS, THOUGHTS_END = "<think>", "</think>"
"""Between them stands what DeepSeek-R1, Qwen 3 and others think before they answer."""


def behind_thoughts(text: str, *, opened: bool = False) -> str | None:
    """What stands behind the thoughts that a text begins with, without the blanks before it; None if it has none.

    A template may open them in the prompt, so their end alone tells; thoughts without an end are all that came.
    opened: whether the prompt is known to have opened them.
    """
    _, ended, behind = text.partition(THOUGHTS_END)
    if ended:
        return behind.lstrip()
    return "" if opened or text.lstrip().startswith(THOUGHTS) else None


def may_begin_thoughts(text: str) -> bool:
    """Whether what follows decides if a text that is not whole yet begins with thoughts."""
    return THOUGHTS.startswith(text.lstrip())


def opens_thoughts(prompt: str) -> bool:
    """Whether a prompt leaves the model in the midst of its thoughts."""
    return prompt.rstrip().endswith(THOUGHTS)
