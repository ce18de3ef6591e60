"""Measures the embedded model, or any other checkpoint, on held-out data: `python -m evals.embedded`.

Prints a table and, with --out, writes all figures as JSON, each part's with the revision of what it was measured with:
a hash of weights and settings. Nothing is drawn at random at run time:
the same checkpoint gives the same figures.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cot import stats
from cot.engine.local.quantize import METHODS
from cot.engine.local.source import find_source
from cot.errors import CotError, DataError, EngineError, reason
from evals.heldout import MULTI_FACT, PARTS, Case
from evals.score import Result, gain, score, table

SIZES: Final = {
    "easy-vqa": 9673, "scenes": 2400, "shapes": 900, "charts": 900, "unseen-style": 600, "plain-scenes": 2400,
    "plain-shapes": 900, "plain-charts": 600,
}  # fmt: skip
STEPS_SIZES: Final = SIZES | {"easy-vqa": 500, "unseen-style": 300}
"""How many cases of each part are asked with `decompose` too: the first ones."""
CONTROLS: Final = ("blank", "wrong-image")
"""Scenes with images that do not tell the answer."""
CONTROL: Final = 300
IN_FLIGHT: Final = 32
"""Questions that a process asks together."""


def controls(kind: str) -> Iterator[Case]:
    """Scenes with a blank image, or with the image of another scene, in place of their own."""
    cases = [case for case in PARTS["scenes"](CONTROL) if case.qa.family in ("existence", "count", "relation")]
    for index, case in enumerate(cases):
        # Cases of one image lie together; half the list away is another image.
        other = cases[(index + len(cases) // 2) % len(cases)].image
        yield replace(case, image=Image.new("RGB", case.image.size, (128, 128, 128)) if kind == "blank" else other)


def cases_of(part: str, n: int) -> list[Case]:
    """The cases of a part or a control."""
    return list(controls(part) if part in CONTROLS else PARTS[part](n))


@dataclass(frozen=True)
class Model:
    """What is measured: embedded or a checkpoint folder, and how it is quantised."""

    name: str
    quantize: str


@dataclass(frozen=True)
class Job:
    """One share of a part's first n cases, for one process."""

    model: Model
    part: str
    strategy: str
    n: int
    share: int
    shares: int


def _answer(job: Job) -> list[Result]:
    """Answer the cases of a job in this process."""
    import torch

    from cot.engine.local import LocalEngine
    from cot.image import from_pixels
    from cot.planner.run import run
    from cot.question import Question

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // job.shares))
    cases = cases_of(job.part, job.n)[job.share :: job.shares]

    async def answer_all() -> list[Result]:
        engine = LocalEngine.load(job.model.name, quantize=job.model.quantize)
        places = asyncio.Semaphore(IN_FLIGHT)

        async def answer(case: Case) -> Result:
            async with places:
                question = Question(case.qa.question, (from_pixels(case.image, source=case.image_id),))
                return score(case, await run(job.strategy, question, engine), job.strategy)

        results = await asyncio.gather(*map(answer, cases))
        await engine.close()
        return results

    return asyncio.run(answer_all())


def measure(model: Model, part: str, strategy: str, n: int, processes: int) -> list[Result]:
    """Answer a part's first n cases with a strategy, in order. Raises EngineError if a process is killed."""
    jobs = [Job(model, part, strategy, n, share, processes) for share in range(processes)]
    try:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            shares = list(pool.map(_answer, jobs))
    except BrokenProcessPool as error:
        raise EngineError(
            f"a process that measures {part} was killed; if memory ran out, try fewer than {processes} --processes"
        ) from error
    ordered: list[Result] = [Result("", "", "trained", "", 0.0)] * sum(map(len, shares))
    for share, results in enumerate(shares):
        ordered[share::processes] = results
    return ordered


def calibration_error(results: list[Result]) -> float | None:
    """Expected calibration error of the confidence, to four decimals, over the answers that there are; None if none."""
    answered = [result for result in results if result.status in ("correct", "wrong")]
    if not answered:
        return None
    right = [result.status == "correct" for result in answered]
    return round(stats.calibration_error([result.confidence for result in answered], right), 4)


def _figures(results: list[Result]) -> dict[str, Any]:
    wordings = dict.fromkeys(result.wording for result in results)
    return {
        **_by_family(results),
        "calibration_error": calibration_error(results),
        "by_wording": {wording: _by_family([r for r in results if r.wording == wording]) for wording in wordings},
    }


def _by_family(results: list[Result]) -> dict[str, Any]:
    overall = table(results, by=lambda r: "all")["all"]
    return {**overall, "by_family": table(results, by=lambda r: r.family)}


def _gain_of(result: Result) -> Iterator[str]:
    """What a question's gain of steps counts for: its family, and of sums also how many things are added up."""
    if result.family in MULTI_FACT:
        yield result.family
    if result.family == "sum":
        yield f"sum of {result.facts}"


def evaluate_part(model: Model, part: str, *, limit: int | None, processes: int) -> dict[str, Any]:
    """All figures of one part, by strategy, and the gain of `decompose` where both were asked."""
    begun = time.monotonic()
    if part in CONTROLS:
        results = measure(model, part, "direct", CONTROL, processes)
        return {"direct": _figures(results), "seconds": round(time.monotonic() - begun, 1)}
    n = min(SIZES[part], SIZES[part] if limit is None else limit)
    direct = measure(model, part, "direct", n, processes)
    steps = measure(model, part, "decompose", min(STEPS_SIZES[part], n), processes)
    pairs: dict[str, list[tuple[Result, Result]]] = defaultdict(list)
    for pair in zip(direct, steps, strict=False):
        for name in _gain_of(pair[0]):
            pairs[name].append(pair)
    return {
        "direct": _figures(direct),
        "decompose": _figures(steps),
        "gain_of_steps": {
            name: gain([a for a, _ in pairs[name]], [b for _, b in pairs[name]]) for name in sorted(pairs)
        },
        "seconds": round(time.monotonic() - begun, 1),
    }


def show(part: str, figures: dict[str, Any]) -> None:
    """Print one part."""
    for strategy in ("direct", "decompose"):
        if strategy in figures:
            for family, row in {"all": figures[strategy], **figures[strategy]["by_family"]}.items():
                more = {k: row[k] for k in ("plan_accuracy", "step_accuracy", "faithfulness") if k in row}
                shown = "".join(f"  {name} {value:.3f}" for name, value in more.items())
                if errored := row["counts"]["errored"]:
                    shown += f"  errored {errored}"
                print(
                    f"{part:13} {strategy:10} {family:16} n {row['n']:5}  {_scored(row, 'accuracy')}{shown}",
                    flush=True,
                )
    for family, row in figures.get("gain_of_steps", {}).items():
        print(f"{part:13} gain of steps {family:16} {_scored(row, 'difference', '+.3f')}", flush=True)


def _scored(row: dict[str, Any], name: str, form: str = ".3f") -> str:
    """A row's score with its interval, which too few images give none of. What errored is in neither."""
    if row[name] is None:
        return "no score: all errored"
    interval = f" [{', '.join(format(bound, form) for bound in row['interval'])}]" if row["interval"] else ""
    return f"{row[name]:{form}}{interval}"


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


def read_report(path: Path) -> dict[str, Any]:
    """The figures of all parts in a file, none if there is no file. Raises DataError if it holds something else."""
    try:
        report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read --out {path}: {reason(error)}; expected figures as JSON: name another") from error
    if not isinstance(report, dict):
        raise DataError(f"--out {path} holds no figures; expected a JSON object of parts: name another file")
    return report


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write all figures, or leave the file as it was. Raises DataError if it cannot be written."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"cannot write --out {path}: {error.strerror}; name a file in a folder that is there"
        ) from error


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """What the command line says; the process's own if None. Exits with 2 if that makes no sense."""
    known = [*PARTS, *CONTROLS]
    parser = argparse.ArgumentParser(prog="python -m evals.embedded", description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or a checkpoint folder")
    parser.add_argument("--quantize", default="none", choices=("none", *METHODS), help="shrink the model")
    parser.add_argument("--parts", nargs="+", default=known, choices=known, help="which parts")
    parser.add_argument("--limit", type=positive, help="cases of each part at most")
    parser.add_argument("--processes", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="JSON file for all figures; parts that are not measured stay in it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure and report. Raises EngineError for a wrong model, DataError for a wrong file, both before measuring, and
    EngineError where a process is killed."""
    options = read_options(arguments)
    # What is wrong is said here, and not by each process, nor after hours.
    revision = find_source(options.model).revision
    report: dict[str, Any] = {}
    if options.out:
        report = read_report(options.out)
        write_report(options.out, report)
    for part in options.parts:
        model = Model(options.model, options.quantize)
        figures = evaluate_part(model, part, limit=options.limit, processes=options.processes)
        # A file may hold parts that were measured with other weights.
        report[part] = {"revision": revision, **figures}
        if options.out:
            write_report(options.out, report)
        show(part, report[part])


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
