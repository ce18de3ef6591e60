"""A task, ready to give its samples, every row checked.

How one is made of a task file is for `cot.task.load` to know.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import jinja2

from cot.dataset import Loader, Row, files_sha256, load_rows
from cot.dataset.spec import images_folder
from cot.errors import CotError, DataError, MissingDataError, reason
from cot.metric import JUDGE, VERDICT_TEMPLATE, Metric, Target
from cot.shipped import tasks_folder
from cot.task.file import Task
from cot.task.sample import (
    Fact,
    ImageRules,
    Sample,
    answer_type_of,
    each_once,
    facts_of,
    group_of,
    images_of,
    is_missing,
    names_of,
    precision_of,
    text_of,
    texts_of,
)

_NAMING: Final = ("only", "id")
"""Those that tell whether a row is a sample, and which; they are worked out before the others."""

_TRUTHS: Final = ("true", "false", "yes", "no", "0", "1")

# `dataclasses.astuple` copies each value in depth, a tenth of a look at all samples.
_in_target = attrgetter(*(field.name for field in dataclasses.fields(Target)))
_in_fact = attrgetter(*(field.name for field in dataclasses.fields(Fact)))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row that is a sample, of which no more than the id was made yet. values: as expressions see them."""

    id: str
    row: Row
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Survey:
    """What a look at all chosen samples found. sha256: of their ids, questions, choices and answers, in order."""

    n: int
    sha256: str


@dataclass(frozen=True)
class LoadedTask:
    """A task with all that it needs. folder: what the paths of its data are relative to. sha256: of its file.

    shots: the same task over the rows that examples come from; None if it names none.
    """

    task: Task
    path: Path
    sha256: str
    folder: Path
    metric: Metric
    expressions: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    groups: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    loaders: Mapping[str, Loader]
    shots: "LoadedTask | None" = None
    scored: bool = True
    """False for examples, which are shown with their answers."""

    @property
    def judge_template(self) -> str | None:
        """Name of the template that a judge is asked with; None for other metrics."""
        metric = self.task.metric
        return metric.options.get("template", VERDICT_TEMPLATE) if metric.name == JUDGE else None

    @property
    def is_relative(self) -> bool:
        """Whether a path of its data, or of that of its examples, starts from `folder`, so that it matters which."""
        return self.task.data.is_relative or (self.shots is not None and self.shots.is_relative)

    @property
    def needed(self) -> str:
        """What a task that ships says of the files that it needs, to stand behind what is wrong with them."""
        return f"; what it needs: {self.task.description}" if self.path.parent == tasks_folder() else ""

    def files_sha256(self, *, max_bytes: int | None = None) -> str | None:
        """Of the bytes that the rows are read from; None where these are more than files, or more than `max_bytes`."""
        return files_sha256(self.task.data, self.folder, self.loaders[self.task.data.loader], max_bytes=max_bytes)

    def rows(self, bad: Callable[[DataError], None] | None = None) -> Iterator[NamedRow]:
        """The rows that are samples, in the order of the data, read as they are asked for.

        bad: told of each row without an id, with its file and line; without it the first one is raised.
        Raises DataError for a file that cannot be read further, and if there is no row.
        """
        for number, row in enumerate(self._read(), 1):
            try:
                named = _told(row, partial(self._named, row, number))
            except DataError as error:
                if bad is None:
                    raise
                bad(error)
                continue
            if named is not None:
                yield named

    def _read(self) -> Iterator[Row]:
        try:
            yield from load_rows(self.task.data, self.folder, self.loaders)
        except MissingDataError as error:
            raise MissingDataError(f"{error}{self.needed}") from error

    def sample(self, named: NamedRow) -> Sample:
        """The sample of a row. Raises DataError, which says where the row is."""
        rules = self._rules
        return _told(named.row, partial(self._sample, named, rules))

    def samples(self, bad: Callable[[DataError], None] | None = None) -> Iterator[Sample]:
        """The samples of all `rows`. bad: told of each row that makes none; without it the first one is raised.

        Raises DataError as `rows` does.
        """
        for named in self.rows(bad):
            try:
                sample = self.sample(named)
            except DataError as error:
                if bad is None:
                    raise
                bad(error)
                continue
            yield sample

    def survey(self, chosen: Callable[[Iterator[Sample]], Iterator[Sample]] = lambda samples: samples) -> Survey:
        """Look at all chosen samples once, before anything is asked. Raises DataError as `samples` does, for an id
        that two samples have, and if none was chosen."""
        digest = hashlib.sha256()
        # Of each id only eight bytes are kept, so that a large data set does not fill the memory.
        seen: set[bytes] = set()
        for sample in chosen(self.samples()):
            key = hashlib.sha256(sample.id.encode()).digest()[:8]
            if key in seen:
                raise DataError(
                    f"{sample.where}: the id {sample.id!r} is there twice; expected another for each sample"
                )
            seen.add(key)
            shown = names_of(sample.images, self._rules.folder)
            said = [sample.id, sample.group, shown, sample.question, sample.category, *_in_target(sample.target)]
            facts = [_in_fact(fact) for fact in sample.facts]
            digest.update(json.dumps([*said, *facts, *sample.in_groups]).encode())
        if not seen:
            raise DataError(
                f"{self.path}: no sample was chosen; expected at least one; raise --limit, or see what `only` leaves"
                " out"
            )
        return Survey(len(seen), digest.hexdigest())

    @cached_property
    def _rules(self) -> ImageRules:
        folder = images_folder(self.task.data, self.folder)
        return ImageRules(folder, self.task.image_format, self.task.allow_urls)

    def _named(self, row: Row, number: int) -> NamedRow | None:
        """None for a row that is left out."""
        # A field whose name is no identifier is reached as row["its name"], where none is called `row`.
        values = {"row": row.values, **row.values}
        if "only" in self.expressions and not _truth(self.expressions["only"](values)):
            return None
        expression = self.expressions.get("id")
        return NamedRow(text_of(expression(values), "id") if expression else str(number), row, values)

    def _sample(self, named: NamedRow, rules: ImageRules) -> Sample:
        values = named.values
        found = {name: compiled(values) for name, compiled in self.expressions.items() if name not in _NAMING}
        images = images_of(found["images"], rules)
        choices = texts_of(found["choices"], "choices", drop_empty_end=True) if "choices" in found else ()
        choices, answers = each_once(choices, texts_of(found["answers"], "answers"))
        kind = answer_type_of(found["answer_type"]) if "answer_type" in found else "text"
        target = Target(answers, choices, kind, precision_of(found.get("precision")))
        self._check(target)
        return Sample(
            id=named.id,
            group=text_of(found["group"], "group") if "group" in found else group_of(images, rules.folder),
            question=text_of(found["question"], "question"),
            images=images,
            target=target,
            where=named.row.where,
            category=text_of(found["category"], "category") if "category" in found else "",
            facts=facts_of(found["facts"]) if "facts" in found else (),
            in_groups=tuple(self._in_groups(values)),
        )

    def _in_groups(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name, compiled in self.groups.items():
            if not is_missing(group := compiled(values)):
                yield name, text_of(group, f"group_scores {name}")

    def _check(self, target: Target) -> None:
        """Find now, and not after hours, that no answer can be right. Raises DataError."""
        self.metric("", target)
        judged = self.judge_template is not None
        if (
            self.scored
            and not judged
            and target.choices
            and not any(self.metric(c, target).value for c in target.choices)
        ):
            raise DataError(
                f"none of the choices {list(target.choices)!r:.150} is right by the metric {self.task.metric.name}, the"
                f" ground truth is {list(target.answers)!r:.80}; expected one of them, or another metric"
            )


def _truth(value: Any) -> Any:
    """Whether a row is a sample, by `only`. Raises DataError for text that says it: any text is true."""
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        raise DataError(
            f"only is the text {value[:20]!r}, and any text counts as true; expected a comparison, as in:"
            ' keep == "True"'
        )
    return value


def _told(row: Row, make: Callable[[], T]) -> T:
    """What is made of a row. Raises DataError, which says where the row is."""
    try:
        return make()
    except CotError as error:
        raise DataError(f"{row.where}: {error}") from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        fields = ", ".join(map(str, row.values))[:200]
        clash = isinstance(error, jinja2.UndefinedError) and "row" in row.values
        hidden = """; `row` is the field of that name, so row["..."] is a part of it: give it another name""" * clash
        raise DataError(f"{row.where}: {reason(error)}; the row has: {fields}{hidden}") from error
