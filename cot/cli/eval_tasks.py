"""Tasks by their names on the command line -> the samples that are asked, and what data is read by."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cot.config import Settings
    from cot.dataset import DataSpec, Loader, Row
    from cot.evaluate import Selection, Shard
    from cot.task import Suite


def split_strategies(text: str | None) -> tuple[str, ...]:
    """The strategies of `direct,decompose`; none where nothing was said."""
    return () if text is None else tuple(part.strip() for part in text.split(","))


def choose(
    suite: "Suite",
    settings: "Settings",
    *,
    data: Path | None,
    limit: int | None,
    shuffle: bool,
    shots: int = 0,
    shard: "Shard | None" = None,
) -> "list[Selection]":
    """The samples of a suite's tasks, at most `limit` of each, and their examples.

    Raises TaskError, DataError and UsageError.
    """
    from cot.evaluate import select
    from cot.evaluate.images import image_opener
    from cot.evaluate.shots import draw_shots
    from cot.task import load_task

    # All task files are read before the first sample is.
    loaded = {name: load_task(name, data=data, loaders=loaders()) for name in suite.tasks}
    limits = {name: [most for most in (limit, own) if most is not None] for name, own in suite.tasks.items()}
    images = image_opener(settings.image_limits)
    examples = {name: draw_shots(task, shots, seed=settings.seed, images=images) for name, task in loaded.items()}
    return [
        select(
            task, limit=min(limits[name], default=None), shuffle=shuffle, seed=settings.seed, shard=shard,
            shots=examples[name],
        )
        for name, task in loaded.items()
    ]  # fmt: skip


def loaders() -> "dict[str, Loader]":
    """The loaders by name, with the one of generated data."""
    from cot.dataset import LOADERS

    return {**LOADERS, "generated": _drawn, "easy-vqa": _drawn}


def _drawn(spec: "DataSpec", folder: Path) -> "Iterator[Row]":
    # They need what only the extra `train` installs, so they are imported when a task asks for them.
    from cot.train.held_out import LOADERS

    return LOADERS[spec.loader](spec, folder)
