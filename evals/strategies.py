"""Prints what strategies are worth over all tasks of a run, as the two Markdown tables of the README's section on
calibration: `python -m evals.strategies RUN`, for a run with `direct`, `decompose` and `route`.

`cot compare` pairs two strategies task by task; here questions of all tasks are pooled, and some families of them.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cot.cli.eval_table import interval_text
from cot.errors import CotError, DataError
from cot.evaluate.result import SampleResult
from cot.evaluate.samples import read_run
from cot.stats import calibration_error, paired_difference, wilson

FAMILIES: Final = ("comparison", "sum", "difference")
PAIRED: Final = ("direct", "decompose", "route")
Answers = dict[str, SampleResult]
"""Strategy -> what it came to, of one question."""


def read_answers(run: Path) -> list[Answers]:
    """The questions of a run that were asked with every strategy, and errored with none. Raises DataError."""
    found: dict[tuple[str, str], Answers] = defaultdict(dict)
    for result in read_run(run):
        found[result.task, result.id][result.strategy] = result
    strategies = {name for answers in found.values() for name in answers}
    if missing := set(PAIRED) - strategies:
        raise DataError(
            f"{run} has no answers by {', '.join(sorted(missing))}; expected a run with {', '.join(PAIRED)}"
        )
    whole = [
        answers
        for answers in found.values()
        if answers.keys() == strategies and all(result.status != "errored" for result in answers.values())
    ]
    if not whole:
        raise DataError(f"{run} has no question that was asked with every strategy, and errored with none")
    return whole


def _percent(results: Iterable[SampleResult]) -> float:
    scores = [result.score or 0.0 for result in results]
    return 100 * sum(scores) / len(scores)


def _tokens(results: Iterable[SampleResult]) -> int:
    return int(sum(result.usage["prompt_tokens"] + result.usage["completion_tokens"] for result in results))


def by_strategy(asked: list[Answers]) -> str:
    """Accuracy with its interval, over all tasks and in each, calibration error and tokens of every strategy."""
    tasks = sorted({result.task for answers in asked for result in answers.values()})
    columns = ["strategy", "right, 95%", *tasks, "calibration error", "tokens a question"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for strategy in sorted(asked[0]):
        results = [answers[strategy] for answers in asked]
        right = [result.status == "correct" for result in results]
        low, high = wilson(sum(right), len(right))
        sure = [result for result in results if result.has_confidence]
        told = [result.confidence for result in sure], [result.status == "correct" for result in sure]
        error = f"{calibration_error(*told):.3f}" if sure else ""
        each = [f"{_percent(result for result in results if result.task == task):.1f}" for task in tasks]
        overall = f"{_percent(results):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        cells = [strategy, overall, *each, error, f"{_tokens(results) / len(results):.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(asked: list[Answers]) -> str:
    """What `route` gains over `direct`, paired, with the interval clustered by image, and what it costs."""
    groups = {
        task: [a for a in asked if a["direct"].task == task] for task in sorted({a["direct"].task for a in asked})
    }
    groups |= {"all": asked} | {name: [a for a in asked if a["direct"].category == name] for name in FAMILIES}
    columns = ["questions", "n", *PAIRED, "route - direct, 95%", "tokens, times direct", "followed a plan"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name, group in groups.items():
        if not group:
            continue
        results = {strategy: [answers[strategy] for answers in group] for strategy in PAIRED}
        before, after = ([result.score or 0.0 for result in results[strategy]] for strategy in ("direct", "route"))
        gain = paired_difference(before, after, [result.group for result in results["direct"]])
        # One call answers directly, a second one plans, and more of them follow the plan.
        followed = sum(result.usage["calls"] > 2 for result in results["route"]) / len(group)
        cells = [name, str(len(group)), *(f"{_percent(results[strategy]):.1f}" for strategy in PAIRED)]
        cells.append(f"{100 * gain.mean:+.1f} {interval_text(gain.interval, signed=True)}")
        cells += [f"{_tokens(results['route']) / _tokens(results['direct']):.2f}", f"{followed:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print both tables. Raises DataError for a run that does not have the strategies."""
    parser = argparse.ArgumentParser(prog="python -m evals.strategies", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run of cot eval")
    asked = read_answers(parser.parse_args().run)
    print(f"{by_strategy(asked)}\n\n{gains(asked)}")


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
