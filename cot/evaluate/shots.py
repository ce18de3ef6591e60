"""Few-shot examples: which solved questions a sample is shown behind.

In: a task that says where its examples come from, how many, and a seed. Out: `Shots`: for each sample the same ones in
the same order, so that what a prompt begins with is computed once; only what shares a sample's image, group or id gives
way to the next one drawn. It asks no model.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cot.errors import CotError, DataError, TaskError, UsageError
from cot.evaluate.images import Images
from cot.image import LoadedImage
from cot.metric import option_of
from cot.planner.own import load_own, template_of
from cot.planner.run import STRATEGIES
from cot.prompt import load_template
from cot.question import Example
from cot.task import LoadedTask, Sample

MAX_SHOTS: Final = 32

RESERVES: Final = 8
"""Examples that are drawn beside those that are shown, to stand in for one that a sample must not see."""


_LETTERED: Final = ("choice", "mmmu")
"""Metrics to which a ground truth that could be a letter or the text of an option is a letter."""


@dataclass(frozen=True)
class _Solved:
    sample: Sample
    answer: str


class Shots:
    """The examples of a task. n: how many a sample is shown. named: whether ids say more than a row's number.

    solved: one an image group, in the order of the draw; the first `n` are shown, the others stand in.
    """

    def __init__(self, n: int, solved: Sequence[_Solved], images: Images, *, named: bool) -> None:
        """Open those that are shown. Raises DataError for an image that cannot be."""
        self.n: Final = n
        self.images: Final = images
        self._solved = solved
        self._named = named
        self._opened: dict[int, Example] = {}
        digest = hashlib.sha256()
        for number, one in enumerate(solved):
            shown = [image.sha256 for image in self._example(number).images] if number < n else []
            said = [one.sample.id, one.sample.group, one.sample.question, one.sample.target.choices, one.answer, shown]
            digest.update(json.dumps(said).encode())
        self.sha256: Final = digest.hexdigest()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of those that are shown."""
        return tuple(one.sample.id for one in self._solved[: self.n])

    def check(self, sample: Sample) -> None:
        """Raise DataError if fewer than `n` are not of the sample's group, as far as can be told without images."""
        left = sum(not self._akin(one.sample, sample) for one in self._solved)
        if left < self.n:
            raise DataError(
                f"{sample.where}: examples of other images: {left}; expected {self.n}; lower --shots, or add rows to"
                " the task's `shots`"
            )

    def before(self, sample: Sample, images: Sequence[LoadedImage]) -> tuple[tuple[Example, ...], str]:
        """The examples that a sample is shown, and what a person should know of them; empty if nothing.

        images: the sample's own, without ablation. Raises DataError if there are too few, and for an image of one that
        cannot be opened.
        """
        pixels = {image.sha256 for image in images}
        shown: list[Example] = []
        left_out: list[str] = []
        for number, one in enumerate(self._solved):
            if len(shown) == self.n:
                break
            # Pixels tell one image under two names.
            if self._akin(one.sample, sample) or pixels & {i.sha256 for i in self._example(number).images}:
                left_out.append(one.sample.id)
            else:
                shown.append(self._example(number))
        if len(shown) < self.n:
            raise DataError(f"examples of other images: {len(shown)}; expected {self.n}; lower --shots")
        given = ", ".join(left_out)[:200]
        return tuple(shown), f"shown other examples than {given}, which share its image, group or id" if given else ""

    def _akin(self, example: Sample, sample: Sample) -> bool:
        return example.group == sample.group or (self._named and example.id == sample.id)

    def _example(self, number: int) -> Example:
        if number not in self._opened:
            sample, answer = self._solved[number].sample, self._solved[number].answer
            try:
                images = tuple(self.images(source) for source in sample.images)
            except CotError as error:
                raise DataError(f"example {sample.id!r}, {sample.where}: {error}") from error
            self._opened[number] = Example(sample.question, images, answer, sample.target.choices)
        return self._opened[number]


def draw_shots(task: LoadedTask, n: int, *, seed: int, images: Images) -> Shots | None:
    """Draw `n` examples by the seed, each of another image group; None for 0. With more, the first ones stay the same.

    All rows that examples come from are looked at once. images: opens them, without ablation.
    Raises UsageError for an n out of range, TaskError for a task that names no examples, and DataError.
    """
    if not 0 <= n <= MAX_SHOTS:
        raise UsageError(f"got --shots {n}; expected 0 to {MAX_SHOTS}")
    if n == 0:
        return None
    if task.shots is None:
        raise TaskError(
            f"{task.path} does not say where examples for --shots come from; add for example"
            f" `shots: {{data: {{loader: {task.task.data.loader}, …}}}}` with other rows than those that are asked"
        )
    drawn = _draw(task.shots, n + RESERVES, seed)
    if len(drawn) < n:
        raise DataError(
            f"{task.path}: images in its `shots`: {len(drawn)}; expected at least {n}, one for each example; lower"
            " --shots or add rows"
        )
    lettered = task.task.metric.name in _LETTERED
    solved = [_Solved(one, _answer(one, lettered=lettered)) for one in drawn]
    return Shots(n, solved, images, named=task.task.id is not None)


def check_strategies(shots: int, strategies: Sequence[str]) -> None:
    """Raise UsageError for a strategy whose answer cannot be shown: one of a user's own that answers in JSON."""
    for name in strategies if shots else ():
        if name in STRATEGIES or (own := load_own(name)) is None:
            continue
        last = next(step for step in own[0].steps if step.name == own[0].last)
        if load_template(template_of(name, last)).matter.json_schema is not None:
            raise UsageError(
                f"got --shots {shots} for the strategy {name}, whose step {last.name!r} answers in JSON; expected one"
                " that answers in text, as examples do; leave --shots out"
            )


def _draw(task: LoadedTask, most: int, seed: int) -> list[Sample]:
    """One sample of each of `most` groups, by the order of hashes: the same whatever order the rows are in."""
    kept: dict[str, tuple[bytes, bytes, Sample]] = {}
    for sample in task.samples():
        rank, place = _hash(seed, "group", sample.group), _hash(seed, "sample", sample.id)
        if sample.group in kept:
            if place < kept[sample.group][1]:
                kept[sample.group] = (rank, place, sample)
        elif len(kept) < most or rank < max(kept.values(), key=lambda one: one[0])[0]:
            kept[sample.group] = (rank, place, sample)
            if len(kept) > most:
                del kept[max(kept, key=lambda group: kept[group][0])]
    return [sample for _, _, sample in sorted(kept.values(), key=lambda one: one[0])]


def _hash(seed: int, kind: str, name: str) -> bytes:
    return hashlib.sha256(json.dumps([seed, kind, name]).encode()).digest()


def _answer(sample: Sample, *, lettered: bool) -> str:
    """What a model should say: the option that is right, or the ground truth that most annotators gave.

    Raises DataError for a ground truth that is no option.
    """
    answers, choices = sample.target.answers, sample.target.choices
    answer = Counter(answers).most_common(1)[0][0]
    if not choices or (answer in choices and not lettered):
        return answer
    try:
        return option_of(answer, choices)
    except CotError as error:
        raise DataError(f"{sample.where}: {error}") from error
