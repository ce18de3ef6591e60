"""Prints all figures of `evals.embedded --out FILE` as Markdown tables, and what they were measured with; or with
`--readme` the figures that the README shows.

`python -m evals.report evals/baselines/families.json`
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from cot.cli.eval_table import interval_text
from cot.errors import CotError, DataError, reason

WORDINGS: Final = ("phrased", "trained", "held_out", "far_fetched")
_SCENES: Final = ("existence", "logic", "count", "comparison", "sum", "difference", "relation", "all")
SHOWN: Final = {
    "easy-vqa": ("all",),
    "plain-scenes": _SCENES,
    "plain-shapes": ("all",),
    "plain-charts": ("lookup", "all"),
    "scenes": _SCENES,
    "shapes": ("existence", "attribute", "count", "comparison", "relation", "all"),
    "charts": ("lookup", "all"),
    "unseen-style": ("all",),
}
"""What the README shows: families by part."""
_LABELS: Final = {
    "easy-vqa": "easy-VQA, official test",
    "unseen-style": "an unseen art style",
    "lookup": "look-up",
    "all": "all families",
}

LEGEND: Final = """\
n: questions asked directly; fewer may be asked with decompose. direct, decompose: percent right, 95% interval. plans
right, steps right, faithful: percent of plans that ask for the right facts, of sub-answers that are right, of answers
that follow from them. lost to: answers by steps that are not right through the plan / a sub-answer / how they are put
together. Wordings: percent right, directly / by steps."""


def _share(row: dict[str, Any] | None, digits: int = 1) -> str:
    if row is None or row["accuracy"] is None:
        return ""
    accuracy, low, high = (f"{100 * share:.{digits}f}" for share in (row["accuracy"], *row["interval"]))
    return f"{accuracy} [{low}, {high}]"


def _percent(row: dict[str, Any] | None, name: str, digits: int = 1) -> str:
    return f"{100 * row[name]:.{digits}f}" if row and name in row else ""


def _worded(row: dict[str, Any], wording: str, family: str, digits: int = 1) -> str:
    """Percent right in wordings of this kind, directly and by steps."""
    found = []
    for strategy in ("direct", "decompose"):
        figures = row.get(strategy, {}).get("by_wording", {}).get(wording, {})
        of_family = figures if family == "all" else figures.get("by_family", {}).get(family, {})
        accuracy = of_family["accuracy"] if of_family else None
        found.append("" if accuracy is None else f"{100 * accuracy:.{digits}f}")
    return " / ".join(filter(None, found))


def _head(columns: str) -> list[str]:
    """The first two lines of a table."""
    return [columns, "|---" * (columns.count("|") - 1) + "|"]


def table(figures: dict[str, Any]) -> str:
    """Accuracy by part and family, what is known of the steps, and accuracy by wording, as `LEGEND` explains."""
    columns = "part | questions | n | direct | decompose | plans right | steps right | faithful | lost to"
    lines = _head(f"| {columns} | plain questions | known wordings | new ones | far-fetched new ones |")
    for part, row in figures.items():
        direct, steps = row["direct"], row.get("decompose")
        groups = {"all": (direct, steps)}
        for family in direct["by_family"]:
            groups[family] = (direct["by_family"][family], steps["by_family"].get(family) if steps else None)
        if len(groups) == 2:
            groups.pop("all")
        for family, (one, other) in groups.items():
            cells = [part, family, str(one["n"]), _share(one), _share(other)]
            cells += [_percent(other, name) for name in ("plan_accuracy", "step_accuracy", "faithfulness")]
            cells.append(" / ".join(str(lost) for lost in (other or {}).get("lost_to", {}).values()))
            cells += [_worded(row, wording, family) for wording in WORDINGS]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def readme_table(figures: dict[str, Any]) -> str:
    """The families that the README shows, in whole percents. Raises DataError where a part was not measured."""
    if missing := [part for part in SHOWN if part not in figures]:
        raise DataError(
            f"got no figures of {', '.join(missing)}; expected those of all parts: python -m evals.embedded"
        )
    lines = _head("| part | n | direct | decompose | plans right | plain | known wordings | new ones | far-fetched |")
    for part, families in SHOWN.items():
        row = figures[part]
        for family in families:
            direct, steps = ({"all": way, **way["by_family"]}[family] for way in (row["direct"], row["decompose"]))
            name = part.removeprefix("plain-") + ", plainly asked" * part.startswith("plain-")
            label = _LABELS.get(part) or f"{name}: {_LABELS.get(family, family)}"
            cells = [label, f"{direct['n']:,}", _share(direct, 0), _share(steps, 0)]
            cells.append(_percent(steps, "plan_accuracy", 0))
            cells += [_worded(row, wording, family, 0) for wording in WORDINGS]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(figures: dict[str, Any]) -> str:
    """Points gained by `decompose` over `direct`, paired, with the interval clustered by image."""
    lines = _head("| part | questions | n | gain of steps, points |")
    for part, row in figures.items():
        for family, gain in row.get("gain_of_steps", {}).items():
            interval = interval_text(gain["interval"], signed=True)
            points = "" if gain["difference"] is None else f"{100 * gain['difference']:+.1f} {interval}"
            lines.append(f"| {part} | {family} | {gain['n']} | {points} |")
    return "\n".join(lines)


def measured_with(figures: dict[str, Any]) -> str:
    """A line for each revision of the weights and settings that parts were measured with; empty where none is kept."""
    parts: dict[str, list[str]] = {}
    for part, row in figures.items():
        if revision := row.get("revision"):
            parts.setdefault(revision, []).append(part)
    return "\n".join(f"Measured with {revision}: {', '.join(named)}" for revision, named in parts.items())


def main() -> None:
    """Print both tables and what was measured, or the README's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="JSON file that evals.embedded wrote")
    parser.add_argument("--readme", action="store_true", help="the README's table instead")
    options = parser.parse_args()
    try:
        figures = json.loads(options.figures.read_text("utf-8"))
        shown = (
            [readme_table(figures)]
            if options.readme
            else [LEGEND, table(figures), gains(figures), measured_with(figures)]
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"cannot read {options.figures}: {reason(error)}; expected what evals.embedded wrote"
        ) from error
    except (LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{options.figures} is not what evals.embedded wrote: {reason(error)}; name its file"
        ) from error
    print("\n\n".join(filter(None, shown)))


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
