"""The gate: whether the scores of a run hold against those of an earlier one, the `summary.json` of which was kept.

In: a baseline and a run. Out: what fell below the baseline's interval. It compares no sample with another.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cot.errors import UsageError, reason
from cot.evaluate.ablation import Ablation
from cot.evaluate.definition import JudgeIdentity, TaskIdentity
from cot.evaluate.part import Part
from cot.evaluate.summary import Summary
from cot.metric import JUDGE

MAX_BYTES: Final = 10_000_000

ROUNDING: Final = 1e-9
"""By so much a sum of scores may differ from another sum of the same ones."""

_SAME_JUDGE: Final = {
    "revision": "the same weights",
    "dtype": "a --device that gives it the same",
    "quantization": "the same --quantize",
}
"""What makes a model another judge, whose verdicts may be others, and what to do about it."""


def read_baseline(path: Path) -> Summary:
    """A kept `summary.json`. Raises UsageError for a file that is none, or has no score to hold a run to."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or reason(error)
        raise UsageError(
            f"got --gate {path}, which cannot be read: {why}; expected the summary.json of a run"
        ) from error
    try:
        baseline = Summary.model_validate_json(data)
    except ValidationError as error:
        raise UsageError(
            f"got --gate {path}, which is no summary.json of `cot eval`; expected one, kept from an earlier run"
        ) from error
    unscored = [_name(part) for part in baseline.parts if part.interval is None or part.score is None]
    if unscored or not baseline.parts or not baseline.complete:
        raise UsageError(
            f"got --gate {path}, which has no score with an interval for {', '.join(unscored) or 'anything'}; expected"
            " that of a complete run"
        )
    return baseline


def check_comparable(
    baseline: Summary, tasks: Sequence[TaskIdentity], strategies: Sequence[str], ablation: Ablation | None
) -> None:
    """Raise UsageError unless a run has all that the baseline has, over the same samples."""
    now = {task.name: task for task in tasks}
    then = {task.name: task for task in baseline.tasks}
    if baseline.ablation != ablation:
        raise UsageError(
            f"the baseline was made with the ablation {baseline.ablation}, and this run is with {ablation}; expected"
            " the same --ablate"
        )
    for part in baseline.parts:
        if part.task not in now or part.strategy not in strategies:
            raise UsageError(f"the baseline has {_name(part)}, which is not run; expected at least what it has")
        before, after = then.get(part.task), now[part.task]
        if before and (before.shots, before.shots_sha256) != (after.shots, after.shots_sha256):
            raise UsageError(
                f"the baseline of {part.task} was made with --shots {before.shots}, and this run has {after.shots}"
                f"{' other' if before.shots == after.shots else ''} examples; expected the same --shots and --seed"
            )
        if before is None or (before.version, before.data_sha256) != (after.version, after.data_sha256):
            raise UsageError(
                f"the baseline has {before.n if before else 'no'} samples of {part.task}, and not those {after.n} of"
                " this run; expected the same version, data, --limit and --shuffle; if these are to be others, make a"
                " new baseline"
            )


def check_judge(baseline: Summary, judge: JudgeIdentity | None) -> None:
    """Raise UsageError unless the answers that the baseline has scores of by a judge are judged by the same one."""
    if all(part.metric != JUDGE for part in baseline.parts):
        return
    before = baseline.judge
    if before is None:
        raise UsageError("the baseline does not say who judged its answers; expected one that does: make a new one")
    if judge is None or judge.model != before.model:
        now = "nobody" if judge is None else judge.model
        raise UsageError(
            f"the baseline was judged by {before.model}, and this run is by {now}; expected the same --judge-model, or"
            " make a new baseline"
        )
    for kind, how in _SAME_JUDGE.items():
        if (was := getattr(before, kind)) != (now := getattr(judge, kind)):
            was, now = ("that is not told" if value in (None, "unknown") else value for value in (was, now))
            raise UsageError(
                f"the baseline was judged by {before.model} of the {kind} {was}, and this run is by the {kind} {now};"
                f" expected {how}, or make a new baseline"
            )
    others = [name for name, sha256 in before.templates.items() if judge.templates.get(name) != sha256]
    if others:
        raise UsageError(
            f"the baseline was judged by {before.model} with another {others[0]} than this run; expected the same, or"
            " make a new baseline"
        )


def fallen(baseline: Summary, summary: Summary) -> list[str]:
    """One line for each score that is below the baseline's interval, is none, or stands for fewer samples: those that
    errored are in no score, and could be just those that had gone wrong."""
    now = {(part.task, part.strategy): part for part in summary.parts}
    lines = []
    for part in baseline.parts:
        found = now.get((part.task, part.strategy))
        score = found.score if found else None
        if found and score is not None and found.scored < part.scored:
            again = f"; --retry-errors does {found.failed} again" if found.failed else ""
            lines.append(
                f"{_name(part)} has a score of {found.scored} samples; the baseline has one of {part.scored}:"
                f" {found.counts['errored']} errored{again}"
            )
        if part.interval is None or part.score is None or (score is not None and score >= part.interval[0] - ROUNDING):
            continue
        low, high = (100 * bound for bound in part.interval)
        got = "has no score" if score is None else f"fell to {100 * score:.1f}%"
        lines.append(f"{_name(part)} {got}; the baseline is {100 * part.score:.1f}% [{low:.1f}, {high:.1f}]")
    return lines


def _name(part: Part) -> str:
    return f"{part.task} {part.strategy}"
