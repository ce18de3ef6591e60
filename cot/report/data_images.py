"""Finds the images of samples again in the data of their tasks, for runs that kept no traces.

In: samples of a task, and runs that say where its data was. Out: what each sample shows, to be opened, and why some
cannot be had. A sample of the data is one of the run if its id, image group, question and ground truth are the same.
Nothing is downloaded.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cot.compare import StoredRun
from cot.dataset import Loader
from cot.errors import CotError, DataError, reason
from cot.evaluate.result import SampleResult
from cot.image import DEFAULT_LIMITS, ImageLimits
from cot.task import LoadedTask, Sample, load_task


@dataclass
class DataImages:
    """Where images come from. loaders: of tasks' data, by name. limits: what an image may cost to open.

    say: is told what takes its time. problems: why images could not be had, a line each.
    """

    loaders: Mapping[str, Loader]
    limits: ImageLimits = DEFAULT_LIMITS
    say: Callable[[str], None] = lambda _: None
    problems: list[str] = field(default_factory=list)

    def find(
        self, task: str, wanted: Mapping[int, SampleResult], runs: Sequence[StoredRun]
    ) -> Iterator[tuple[int, Path | bytes]]:
        """Numbers of samples of a task that are wanted, each with its first image, opened by nobody yet.

        runs: of this task; where the data of one is gone, the next one's is looked at.
        """
        missing = dict(wanted)
        problem = ""
        for run in {run.path: run for run in runs}.values():
            try:
                loaded = self._load(task, run)
                self.say(f"looking for {len(missing)} images of {task} in its data; --no-images leaves them out")
                bad: list[DataError] = []
                numbers = {_asked_of(result): number for number, result in missing.items()}
                for sample in loaded.samples(bad.append):
                    number = numbers.get(_asked(sample))
                    if number in missing:
                        try:
                            image = _local(sample)
                        except DataError as error:
                            bad.append(error)
                            continue
                        del missing[number]
                        yield number, image
                    if not missing:
                        return
                why = reason(bad[0]) if bad else f"{loaded.folder} no longer has them as they were asked"
                problem = problem or why
            except (CotError, OSError, ImportError) as error:
                problem = problem or reason(error)
        self.problems.append(f"no images of {len(missing)} samples of {task}: {problem}")

    def _load(self, task: str, run: StoredRun) -> LoadedTask:
        """The task, with the data that a run was made with. Raises DataError and TaskError."""
        place = run.definition.made_with.data.get(task)
        if place is None:
            raise DataError(f"{run.path} does not say where its data was; expected it in run.json; run it again")
        loaded = load_task(place.task, loaders=self.loaders)
        if loaded.sha256 not in [known.sha256 for known in run.definition.tasks if known.name == task]:
            raise DataError(f"{loaded.path} has changed since {run.path} was made; expected the same task")
        return dataclasses.replace(loaded, folder=Path(place.folder))


def _asked(sample: Sample) -> tuple[object, ...]:
    return sample.id, sample.group, sample.question, sample.target.choices, sample.target.answers


def _asked_of(result: SampleResult) -> tuple[object, ...]:
    return result.id, result.group, result.question, result.choices, result.targets


def _local(sample: Sample) -> Path | bytes:
    image = sample.images[0]
    if isinstance(image, str):
        raise DataError(f"{image[:100]!r} is on the web, and a report downloads nothing; expected a run with --trace")
    return image
