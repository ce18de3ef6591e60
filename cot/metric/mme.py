"""MME: two questions an image, one answered by yes and one by no."""

from collections.abc import Sequence
from typing import Final

from cot.errors import DataError, quoted
from cot.metric.group import GroupTally
from cot.metric.pope import yes_no_label
from cot.metric.score import Figures, Item, Score, Target, scored, tally, unparsed

PERCEPTION: Final = (
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
)  # fmt: skip
COGNITION: Final = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
"""The categories of the benchmark (Fu et al. 2023, arXiv:2306.13394)."""

QUESTIONS_AN_IMAGE: Final = 2
_PREFIX: Final = 4


def mme(prediction: str, target: Target) -> Score:
    """1 if yes or no is as labelled, else 0; `Score.answer` is "yes" or "no".

    Read as the official calculation.py of MME does (BradyFU/Awesome-Multimodal-Large-Language-Models, Evaluation):
    the first four characters, lowercased, contain yes, or else no. White space before them is skipped. What contains
    neither, officially "other", is unparsed. Raises DataError unless the label is yes or no.
    """
    label = yes_no_label(target)
    start = prediction.lstrip()[:_PREFIX].lower()
    said = next((word for word in ("yes", "no") if word in start), None)
    if said is None:
        return unparsed(f"{quoted(prediction)} starts with neither yes nor no")
    return scored(float(said == label), said, f"{quoted(prediction)} is read as {said}")


def mme_figures(items: Sequence[Item]) -> dict[str, Figures]:
    """Accuracy by question, accuracy+ by image (both questions right) and their sum in percent, for each category.

    Item.group is the category. As officially, an unparsed answer is not right; questions that failed to be asked are
    left out, and with them their images from accuracy+. A figure is None where nothing is left. Where all their
    categories are present, `perception` and `cognition` have the sums of scores, at most 2000 and 800.
    Raises DataError if there is no sample, or unless each image of a category has two.
    """
    if not items:
        raise DataError("got no sample; expected at least one")
    categories: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        categories.setdefault(item.group, {}).setdefault(item.image, []).append(item)
    figures = {name: _category(name, images) for name, images in categories.items()}
    for total, names in (("perception", PERCEPTION), ("cognition", COGNITION)):
        scores = [figures[name]["score"] for name in names if name in figures]
        known = [score for score in scores if score is not None]
        if len(known) == len(names):
            figures[total] = {"score": sum(known)}
    return figures


def _category(name: str, images: dict[str, list[Item]]) -> Figures:
    for image, pair in images.items():
        if len(pair) != QUESTIONS_AN_IMAGE:
            raise DataError(
                f"image {quoted(image)} of MME's {name} has {len(pair)} questions; expected {QUESTIONS_AN_IMAGE}"
            )
    counts = tally(item.score for pair in images.values() for item in pair)
    groups = GroupTally()
    for image, pair in images.items():
        for item in pair:
            groups.add(image, item.score.status, image)
    whole = [right for right in groups.right if right is not None]
    asked = counts.n - counts.errored
    accuracy = counts.correct / asked if asked else None
    plus = sum(whole) / len(whole) if whole else None
    score = None if accuracy is None or plus is None else 100 * (accuracy + plus)
    return {
        "n": counts.n, "unparsed": counts.unparsed, "errored": counts.errored,
        "accuracy": accuracy, "accuracy_plus": plus, "score": score,
    }  # fmt: skip
