"""Measures the embedded model, or any other checkpoint, on held-out data: `python -m evals.embedded`.

Prints a table and, with --out, writes all figures as JSON. Nothing is drawn at random at run time:
the same checkpoint gives the same figures.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cot import stats
from cot.errors import CotError
from evals.heldout import MULTI_FACT, PARTS, Case
from evals.score import Result, gain, score, table

SIZES: Final = {"easy-vqa": 9673, "scenes": 2400, "shapes": 900, "charts": 900, "unseen-style": 600}
STEPS_SIZES: Final = {"easy-vqa": 500, "scenes": 2400, "shapes": 900, "charts": 900, "unseen-style": 300}
"""How many cases of each part are asked with `decompose` too: the first ones."""
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
    return list(controls(part) if part in ("blank", "wrong-image") else PARTS[part](n))


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
    """Answer a part's first n cases with a strategy, in order."""
    jobs = [Job(model, part, strategy, n, share, processes) for share in range(processes)]
    with get_context("spawn").Pool(processes) as pool:
        shares = pool.map(_answer, jobs)
    ordered: list[Result] = [Result("", "", False, "", 0.0)] * sum(map(len, shares))
    for share, results in enumerate(shares):
        ordered[share::processes] = results
    return ordered


def calibration_error(results: list[Result]) -> float:
    """Expected calibration error of the confidence, to four decimals."""
    right = [result.status == "correct" for result in results]
    return round(stats.calibration_error([result.confidence for result in results], right), 4)


def _figures(results: list[Result]) -> dict[str, Any]:
    overall = table(results, by=lambda r: "all")["all"]
    by_wording = table(results, by=lambda r: "held out" if r.held_out_wording else "trained")
    return {
        **overall,
        "calibration_error": calibration_error(results),
        "by_family": table(results, by=lambda r: r.family),
        "by_wording": {name: row["accuracy"] for name, row in by_wording.items()} if len(by_wording) > 1 else {},
        "plan_by_wording": {name: row.get("plan_accuracy") for name, row in by_wording.items()},
    }


def evaluate_part(model: Model, part: str, *, limit: int | None, processes: int) -> dict[str, Any]:
    """All figures of one part, by strategy, and the gain of `decompose` where both were asked."""
    begun = time.monotonic()
    if part in ("blank", "wrong-image"):
        results = measure(model, part, "direct", CONTROL, processes)
        return {"direct": _figures(results), "seconds": round(time.monotonic() - begun, 1)}
    n = min(SIZES[part], limit or SIZES[part])
    direct = measure(model, part, "direct", n, processes)
    steps = measure(model, part, "decompose", min(STEPS_SIZES[part], n), processes)
    families = sorted({result.family for result in steps} & set(MULTI_FACT))
    pairs = {family: [(a, b) for a, b in zip(direct, steps, strict=False) if a.family == family] for family in families}
    return {
        "direct": _figures(direct),
        "decompose": _figures(steps),
        "gain_of_steps": {f: gain([a for a, _ in pair], [b for _, b in pair]) for f, pair in pairs.items()},
        "seconds": round(time.monotonic() - begun, 1),
    }


def show(part: str, figures: dict[str, Any]) -> None:
    """Print one part."""
    for strategy in ("direct", "decompose"):
        if strategy in figures:
            for family, row in {"all": figures[strategy], **figures[strategy]["by_family"]}.items():
                low, high = row["interval"]
                more = {k: row[k] for k in ("plan_accuracy", "step_accuracy", "faithfulness") if k in row}
                shown = "  ".join(f"{name} {value:.3f}" for name, value in more.items())
                line = (
                    f"{part:13} {strategy:10} {family:16} n {row['n']:5}  {row['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
                )
                print(f"{line}  {shown}", flush=True)
    for family, row in figures.get("gain_of_steps", {}).items():
        low, high = row["interval"]
        print(f"{part:13} gain of steps {family:16} {row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]", flush=True)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or a checkpoint folder")
    parser.add_argument("--quantize", default="none", help="none, nf4, fp4 or int8")
    parser.add_argument("--parts", nargs="+", default=[*PARTS, "blank", "wrong-image"], help="which parts")
    parser.add_argument("--limit", type=int, help="cases of each part at most")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="JSON file for all figures; parts that are not measured stay in it")
    options = parser.parse_args()
    report: dict[str, Any] = {}
    if options.out and options.out.exists():
        report = json.loads(options.out.read_text())
    for part in options.parts:
        report[part] = evaluate_part(
            Model(options.model, options.quantize), part, limit=options.limit, processes=options.processes
        )
        show(part, report[part])
        if options.out:
            options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
