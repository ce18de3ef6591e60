"""`cot eval --check`: whether the data of tasks is there and whole, and what the first sample is. Nothing is asked.

A line a task goes to stdout, what is wrong with an image to stderr.
"""

import sys
from collections.abc import Sequence
from typing import Final

from cot.config import Settings
from cot.errors import ImageError
from cot.evaluate import Selection
from cot.evaluate.images import image_opener
from cot.image import ImageLimits
from cot.task import ImageSource, Sample
from cot.trace.plain import plain

MOST_TOLD: Final = 5
"""Bad images of a task that are told one by one."""


def check_data(selections: Sequence[Selection], settings: Settings) -> bool:
    """Open every image of every chosen sample; whether all could be. Rows were looked at as they were chosen."""
    # Every task is looked at, also behind one that is not whole.
    found = [_checked(selection, settings.image_limits) for selection in selections]
    return all(found)


def _checked(selection: Selection, limits: ImageLimits) -> bool:
    first: Sample | None = None
    images, bad = image_opener(limits), 0
    opened: set[ImageSource] = set()
    for sample in selection.samples():
        first = first or sample
        for source in sample.images:
            # Of images that are no files only the last few are remembered, so that the memory stays small.
            if not isinstance(source, bytes) and source in opened:
                continue
            if not isinstance(source, bytes):
                opened.add(source)
            try:
                images(source)
            except ImageError as error:
                bad += 1
                if bad <= MOST_TOLD:
                    print(plain(f"{sample.where}: {error}", one_line=True), file=sys.stderr)
    wrong = f", {bad} images cannot be opened" if bad else ""
    shown = f", each behind {selection.identity.shots} examples" if selection.identity.shots else ""
    said = f"{selection.identity.name}: {selection.identity.n} samples{shown}{wrong}; {_shown(first)}"
    print(plain(said, one_line=True))
    return not bad


def _shown(sample: Sample | None) -> str:
    if sample is None:
        return "no sample"
    choices = f" {list(sample.target.choices)}" if sample.target.choices else ""
    return f"the first: {sample.question!r:.200}{choices:.200} -> {list(sample.target.answers)!r:.200}"
