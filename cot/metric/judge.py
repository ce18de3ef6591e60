"""What a model says that judges answers: a verdict, or a score. Asking it is for `cot.evaluate`."""

import re
from typing import Final

from cot.errors import AnswerError, quoted
from cot.metric.score import Score, Target, errored

JUDGE: Final = "judge"
"""The metric's name."""

VERDICT_TEMPLATE: Final = "judge/verdict"

VERDICTS: Final = ("correct", "incorrect", "unsure")
"""What a judge may say; `unsure` is no score."""

SCORE_PATTERN: Final = r"0(\.[0-9]{1,3})?|1(\.0{1,3})?"
"""Or this, where the template wants a number: in [0, 1], as Python's `re` and Rust's `regex` read it."""

_AROUND: Final = " \t\n*_`\"'."


def judge(prediction: str, target: Target, *, template: str = VERDICT_TEMPLATE) -> Score:
    """No score: only a model can give it, which is asked with the template of this name."""
    return errored("a judge gives this score, and none was asked")


def read_verdict(text: str) -> str:
    """One of `VERDICTS`, in any case, quoted or with a full stop. Raises AnswerError for all else."""
    found = text.strip(_AROUND).casefold()
    if found not in VERDICTS:
        raise AnswerError(f"got {quoted(text.strip())}; expected one of: {', '.join(VERDICTS)}")
    return found


def read_score(text: str) -> float:
    """A number in [0, 1], written as `SCORE_PATTERN` has it. Raises AnswerError for all else."""
    found = text.strip()
    if not re.fullmatch(SCORE_PATTERN, found, re.ASCII):
        raise AnswerError(f"got {quoted(found)}; expected a number from 0.0 to 1.0")
    return float(found)
