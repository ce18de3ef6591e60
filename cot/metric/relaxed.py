"""ChartQA's relaxed accuracy: numbers may be 5% off, all else must be equal."""

from typing import Final

from cot.errors import quoted
from cot.metric.score import Score, Target, scored, unparsed

TOLERANCE: Final = 0.05


def relaxed_accuracy(prediction: str, target: Target) -> Score:
    """1 if any ground truth is met, else 0: numbers within 5% of it, other texts equal but for case.

    A number is what Python's `float` reads, and a final % divides it by 100; so "1,000" is a text. A ground truth of
    zero is compared as text, since nothing is within 5% of it. Google-research/pix2struct, pix2struct/metrics.py
    (relaxed_correctness), after Methani et al. 2020 and Masry et al. 2022. Unparsed where prediction and ground truth
    are both empty.
    """
    truths = [truth for truth in target.answers if truth or prediction]
    if not truths:
        return unparsed("neither the ground truth nor the prediction has any text")
    met = next((truth for truth in truths if _meets(prediction, truth)), None)
    if met is None:
        return scored(0, prediction, f"{quoted(prediction)} is none of {len(truths)} ground truths, nor 5% off")
    return scored(1, prediction, f"{quoted(prediction)} is {quoted(met)}, or at most 5% off")


def _meets(prediction: str, truth: str) -> bool:
    got, wanted = _number(prediction), _number(truth)
    if got is None or not wanted:
        return prediction.lower() == truth.lower()
    # Of two infinities the quotient is not a number, which is not within anything: as in the official code.
    return abs(got - wanted) / abs(wanted) <= TOLERANCE


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
