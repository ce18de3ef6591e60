"""VQAv2: the normalisation of answers, and accuracy among ten annotators.

Follows GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py, oddities included; also the metric of
TextVQA, OK-VQA and VizWiz.
"""

import re
from typing import Final, Literal

from cot.errors import DataError, quoted
from cot.metric.contractions import CONTRACTIONS
from cot.metric.score import Score, Target, scored

FEWEST_ANNOTATORS: Final = 4
"""With fewer, nobody else is left to make three that agree, and the best answer would not reach 1."""

_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_DIGITS_WITH_COMMA: Final = re.compile(r"\d,\d")
_FULL_STOP: Final = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS: Final = 32  # The official call passes re.UNICODE, which is 32, where the count belongs.
_NUMBERS: Final = {
    word: str(value)
    for value, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}  # fmt: skip
_ARTICLES: Final = frozenset(("a", "an", "the"))


def strip_breaks(text: str) -> str:
    r"""Replace `\n` and `\t` by spaces, and strip: what the official code does to every answer."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalised(text: str, *, articles: bool = False) -> str:
    """An answer without case, articles and most punctuation, numbers up to ten in digits, contractions whole.

    articles: leave them where they are. The result may be empty: "a" and "the" are. Time is linear in the text.
    """
    text = strip_breaks(text)
    together = bool(_DIGITS_WITH_COMMA.search(text))
    bare = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if together or beside_space else " ")
    words = (_NUMBERS.get(word, word) for word in _FULL_STOP.sub("", bare, count=_MOST_FULL_STOPS).lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if articles or word not in _ARTICLES)


def soft_accuracy(
    prediction: str, target: Target, *, normalise: Literal["official", "always", "aokvqa"] = "official"
) -> Score:
    """VQAv2 accuracy: the mean over annotators of min(1, others who agree with the prediction / 3), in [0, 1].

    With ten annotators, 0, 1, 2, 3 and more who agree give 0, .3, .6, .9 and 1.
    target.answers: one answer an annotator, usually ten; equal answers must not be merged.
    normalise: `official` compares as written where all annotators say exactly the same; `always` normalises there too;
    `aokvqa` compares as written, and is min(1, annotators who agree / 3) (allenai/aokvqa, eval_predictions.py).
    Raises DataError for fewer than four annotators.
    """
    n = len(target.answers)
    if n < FEWEST_ANNOTATORS:
        raise DataError(
            f"soft accuracy got {n} annotators; expected ten, at least {FEWEST_ANNOTATORS}; for one answer use 'exact'"
        )
    answer, truths = strip_breaks(prediction), [strip_breaks(truth) for truth in target.answers]
    if normalise == "always" or (normalise == "official" and len(set(truths)) > 1):
        answer, truths = normalised(answer), [normalised(truth) for truth in truths]
    agree = [truth == answer for truth in truths]
    total = sum(agree)
    if normalise == "aokvqa":
        return scored(min(1.0, total / 3), answer, f"{total} of {n} annotators say {quoted(answer)}")
    value = sum(min(1.0, (total - one) / 3) for one in agree) / n
    return scored(min(1.0, value), answer, f"{total} of {n} annotators say {quoted(answer)}")
