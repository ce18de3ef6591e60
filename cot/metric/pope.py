"""POPE: whether a model says yes to objects that are not there."""

import re
from collections.abc import Sequence
from typing import Final, Literal

from cot.errors import DataError, quoted
from cot.metric.score import Figures, Item, Score, Target, scored, tally, unparsed

_WORD: Final = re.compile(r"[^\W\d_]+")


def pope(prediction: str, target: Target, *, variant: Literal["official", "strict"] = "official") -> Score:
    """1 if yes or no is as labelled, else 0; `Score.answer` is "yes" or "no".

    variant: `official` (AoiDragon/POPE, evaluate.py) looks at what stands before the first full stop, drops commas and
    splits at single spaces; a word `No`, `no` or `not` is no, and everything else is yes, "NO" and silence included.
    `strict` looks for the words yes and no in the whole text, whatever their case; both or neither is unparsed.
    Raises DataError unless the label is yes or no.
    """
    label = yes_no_label(target)
    said = _official(prediction) if variant == "official" else _strict(prediction)
    if said is None:
        return unparsed(f"{quoted(prediction)} says yes and no, or neither")
    return scored(float(said == label), said, f"{quoted(prediction)} is read as {said}")


def pope_figures(items: Sequence[Item]) -> dict[str, Figures]:
    """Accuracy, precision, recall, F1 (yes is positive) and share of yes among the predictions, for each group.

    Computed from the answers that were read; the others are counted beside them. A figure is None where its
    denominator is zero (no yes was predicted, or none is true), as the official code would divide by zero.
    Raises DataError if there is no sample.
    """
    if not items:
        raise DataError("got no sample; expected at least one")
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return {name: _figures(group) for name, group in groups.items()}


def yes_no_label(target: Target) -> Literal["yes", "no"]:
    """The label of a question that is answered by yes or no. Raises DataError for any other."""
    labels = {answer.strip().lower() for answer in target.answers}
    if labels == {"yes"}:
        return "yes"
    if labels == {"no"}:
        return "no"
    raise DataError(f"got the ground truth {quoted(', '.join(target.answers))}; expected yes or no")


def _official(text: str) -> str:
    words = text.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def _strict(text: str) -> str | None:
    said = {"yes", "no"} & {word.lower() for word in _WORD.findall(text)}
    return said.pop() if len(said) == 1 else None


def _figures(items: list[Item]) -> Figures:
    read = [(item.score.answer, yes_no_label(item.target)) for item in items if item.score.value is not None]
    hits, false_alarms = read.count(("yes", "yes")), read.count(("yes", "no"))
    misses, right_noes = read.count(("no", "yes")), read.count(("no", "no"))
    counts = tally(item.score for item in items)
    return {
        "n": counts.n,
        "unparsed": counts.unparsed,
        "errored": counts.errored,
        "accuracy": _share(hits + right_noes, len(read)),
        "precision": _share(hits, hits + false_alarms),
        "recall": _share(hits, hits + misses),
        # The harmonic mean of precision and recall, and defined wherever both are.
        "f1": _share(2 * hits, 2 * hits + false_alarms + misses) if hits + false_alarms and hits + misses else None,
        "yes_ratio": _share(hits + false_alarms, len(read)),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
