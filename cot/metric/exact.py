"""Equality and containment of texts."""

import re
from typing import Literal

from cot.answer import comparable, parse_free
from cot.choice import bare
from cot.errors import AnswerError, DataError, quoted
from cot.metric.score import Score, Target, scored
from cot.metric.vqa import normalised, strip_breaks


def exact_match(prediction: str, target: Target, *, normalise: Literal["none", "vqa"] = "none") -> Score:
    """1 if the prediction equals any ground truth, else 0.

    normalise: `none` compares the texts as they are, but for white space around them, and numbers, yes and no by what
    they say ("Two" is 2); `vqa` compares texts after the normalisation of VQAv2. Where that leaves nothing, as of
    the answer "A.", articles stay, and of mere punctuation all does.
    Raises DataError for a ground truth without text.
    """
    tidy = str.strip if normalise == "none" else _never_empty
    answer, truths = tidy(prediction), [tidy(truth) for truth in target.answers]
    _refuse_empty(truths)
    met = answer in truths or (normalise == "none" and _value(answer) in {_value(truth) for truth in truths} - {None})
    return scored(float(met), answer, f"{quoted(answer)} is {'a' if met else 'no'} ground truth")


def gqa_accuracy(prediction: str, target: Target) -> Score:
    """GQA: 1 if the prediction equals the ground truth after the normalisation of VQAv2 on both sides, else 0.

    The official script (Hudson and Manning 2019, eval.py of GQA) compares as written, for models that choose from a
    list of answers; models that write need the normalisation. Raises DataError for a ground truth without text.
    """
    return exact_match(prediction, target, normalise="vqa")


def containment(prediction: str, target: Target, *, variant: Literal["text", "formula"] = "text") -> Score:
    """OCRBench: 1 if the prediction contains any ground truth, else 0. Yuliang-Liu/MultimodalOCR, OCRBench/example.py.

    variant: `text` ignores case; `formula` (HME100k) keeps case and ignores spaces.
    Raises DataError for a ground truth without text, which every text contains.
    """
    tidy = _formula if variant == "formula" else _line
    answer, truths = tidy(prediction), [tidy(truth) for truth in target.answers]
    _refuse_empty(truths)
    held = next((truth for truth in truths if truth in answer), None)
    if held is None:
        return scored(0, answer, f"{quoted(answer)} contains no ground truth")
    return scored(1, answer, f"{quoted(answer)} contains {quoted(held)}")


def _value(text: str) -> str | None:
    """A number, yes or no, in one way of writing; None for other text, and for codes that only look like numbers."""
    try:
        value = parse_free(text)
    except AnswerError:
        return None
    said = bare(text)
    if not isinstance(value, int | float) or re.match(r"[+\u2212-]?0[0-9]", said):
        return None
    return comparable(value) + "%" * said.endswith("%")


def _never_empty(text: str) -> str:
    return normalised(text) or normalised(text, articles=True) or strip_breaks(text).lower()


def _line(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _refuse_empty(truths: list[str]) -> None:
    if not all(truths):
        raise DataError("got a ground truth without text; expected something to compare with")
