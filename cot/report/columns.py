"""The columns of results in files that other programs read, and a result as a row of them."""

import os
from typing import Any, Final

from cot.compare import Chosen
from cot.evaluate.result import SampleResult

TOKENS: Final = ("prompt_tokens", "cached_tokens", "image_tokens", "completion_tokens", "calls")
COLUMNS: Final = (
    "run", "task", "strategy", "id", "group", "category", "question", "choices", "targets", "answer", "status", "score",
    "confidence", "stop_reason", "explanation", *TOKENS, "seconds", "trace",
)  # fmt: skip


def row(chosen: Chosen, result: SampleResult) -> dict[str, Any]:
    """A value for each of `COLUMNS`, in their order; None where there is none. `choices` and `targets` are tuples."""
    known: dict[str, Any] = {"run": _text(str(chosen.run.path)), **{name: result.usage.get(name) for name in TOKENS}}
    known["confidence"] = result.confidence or None  # 0 where the engine gives none
    return {name: known[name] if name in known else getattr(result, name) for name in COLUMNS}


def _text(path: str) -> str:
    r"""A path with what is no UTF-8 in it written as `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
