"""`cot eval --check`: whether the data of tasks is there and whole, and what the first sample is. Nothing is asked.

A line a task goes to stdout, what is wrong to stderr.
"""

import sys
from typing import IO, Final

from cot.cli.eval_tasks import Wanted, choose, load
from cot.cli.words import counted
from cot.errors import CotError, DataError, ImageError
from cot.evaluate import Selection
from cot.evaluate.images import image_opener
from cot.image import ImageLimits
from cot.settings import Settings
from cot.task import ImageSource, LoadedTask, Sample, Suite
from cot.trace.plain import plain

MOST_TOLD: Final = 5
"""Bad rows, or images, of a task that are told one by one."""


def check_tasks(suite: Suite, settings: Settings, wanted: Wanted) -> int:
    """Look at every row of every task, also behind one that is not whole, and open all images; the exit code."""
    codes = []
    for name, most in suite.tasks.items():
        try:
            task = load(name, wanted)
            if bad := _bad_rows(task):
                _print(f"{task.task.name}: {counted(bad, 'row')} {'is' if bad == 1 else 'are'} wrong{task.needed}")
                codes.append(1)
                continue
            alone = suite.model_copy(update={"tasks": {name: most}})
            (selection,) = choose(alone, settings, wanted)
            codes.append(0 if _is_whole(selection, settings.image_limits) else 1)
        except CotError as error:
            # What a task file says wrong begins with its name already.
            place = "" if str(error).startswith(name) else f"{name}: "
            _print(f"error: {place}{error}", sys.stderr)
            codes.append(error.exit_code)
    return max(codes)


def _bad_rows(task: LoadedTask) -> int:
    """Rows that make no sample; the first ones are told."""
    bad = 0

    def tell(error: DataError) -> None:
        nonlocal bad
        bad += 1
        if bad <= MOST_TOLD:
            _print(str(error), sys.stderr)

    for _ in task.samples(tell):
        pass
    return bad


def _is_whole(selection: Selection, limits: ImageLimits) -> bool:
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
                    _print(f"{sample.where}: {error}", sys.stderr)
    n, published = selection.identity.n, selection.task.task.published_n
    whole = selection.limit is not None or published in (n, None)
    missing = "" if whole else f", and not the {published} that are published"
    wrong = f", {counted(bad, 'image')} cannot be opened" if bad else ""
    shown = f", each behind {counted(selection.identity.shots, 'example')}" if selection.identity.shots else ""
    needed = selection.task.needed if bad or not whole else ""
    _print(f"{selection.identity.name}: {counted(n, 'sample')}{missing}{shown}{wrong}; {_shown(first)}{needed}")
    return whole and not bad


def _shown(sample: Sample | None) -> str:
    if sample is None:
        return "no sample"
    choices = f" {list(sample.target.choices)}" if sample.target.choices else ""
    return f"the first: {sample.question!r:.200}{choices:.200} -> {list(sample.target.answers)!r:.200}"


def _print(text: str, file: IO[str] | None = None) -> None:
    print(plain(text, one_line=True), file=file)
