"""ANLS, the average normalised Levenshtein similarity of DocVQA, InfographicVQA and ST-VQA."""

from typing import Final, Literal

from rapidfuzz.distance import Levenshtein

from cot.errors import quoted
from cot.metric.score import Score, Target, scored, unparsed

THRESHOLD: Final = 0.5


def anls(
    prediction: str, target: Target, *, variant: Literal["strict", "pix2struct", "competition"] = "strict"
) -> Score:
    """Best of 1 - distance / longer length over the ground truths, in [0, 1]; zero where that is too little.

    Biten et al. 2019, equation 1 (arXiv:1907.00490). The distance is that of Levenshtein, over characters.
    variant: `strict` lowercases, strips and collapses white space, and keeps what is above 0.5; `competition` does the
    same and keeps exactly 0.5 too (the evaluation scripts of rrc.cvc.uab.es); `pix2struct` lowercases only, and keeps
    what is above 0.5 (google-research/pix2struct, pix2struct/metrics.py).
    Where prediction and a ground truth are both empty there is nothing to compare: that ground truth does not count,
    and the sample is unparsed if no other is left.
    """
    tidy = str.lower if variant == "pix2struct" else _tidy
    answer = tidy(prediction)
    pairs = [(truth, tidy(truth)) for truth in target.answers]
    best = max(((_similarity(answer, tidied), truth) for truth, tidied in pairs if answer or tidied), default=None)
    if best is None:
        return unparsed("neither the ground truth nor the prediction has any text")
    similarity, nearest = best
    kept = similarity > THRESHOLD or (variant == "competition" and similarity == THRESHOLD)
    return scored(similarity if kept else 0, answer, f"similarity to {quoted(nearest)} is {similarity:.3f}")


def _tidy(text: str) -> str:
    return " ".join(text.lower().split())


def _similarity(answer: str, truth: str) -> float:
    longer = max(len(answer), len(truth))
    # The distance is at least the difference of the lengths; not measuring it keeps endless predictions cheap.
    if longer > 2 * min(len(answer), len(truth)):
        return 0.0
    return 1 - Levenshtein.distance(answer, truth) / longer
