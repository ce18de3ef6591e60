"""Prints all figures of `evals.embedded --out FILE` as Markdown tables; the README shows a part of them, rounded.

`python -m evals.report evals/baselines/families.json`
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cot.cli.eval_table import interval_text


def _share(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    low, high = row["interval"]
    return f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(row: dict[str, Any] | None, name: str) -> str:
    return f"{100 * row[name]:.1f}" if row and name in row else ""


def _worded(row: dict[str, Any], wording: str, family: str) -> str:
    """Percent right in wordings of this kind, directly and by steps."""
    found = []
    for strategy in ("direct", "decompose"):
        figures = row.get(strategy, {}).get("by_wording", {}).get(wording, {})
        of_family = figures if family == "all" else figures.get("by_family", {}).get(family, {})
        found.append(f"{100 * of_family['accuracy']:.1f}" if of_family else "")
    return " / ".join(filter(None, found))


def table(figures: dict[str, Any]) -> str:
    """Accuracy by part and family, both strategies, what is known of the steps, and accuracy by wording.

    The columns of wordings give both strategies: directly / by steps.
    """
    columns = "part | questions | n | direct | decompose | plans right | steps right | faithful"
    wordings = {"trained": "known wordings", "held_out": "new ones", "far_fetched": "far-fetched new ones"}
    lines = [f"| {columns} | {' | '.join(wordings.values())} |"]
    lines.append("|---" * (columns.count("|") + 1 + len(wordings)) + "|")
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
            cells += [_worded(row, wording, family) for wording in wordings]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains(figures: dict[str, Any]) -> str:
    """Points gained by `decompose` over `direct`, paired, with the interval clustered by image."""
    lines = ["| part | questions | n | gain of steps, points |", "|---|---|---|---|"]
    for part, row in figures.items():
        for family, gain in row.get("gain_of_steps", {}).items():
            interval = interval_text(gain["interval"], signed=True)
            lines.append(f"| {part} | {family} | {gain['n']} | {100 * gain['difference']:+.1f} {interval} |")
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="JSON file that evals.embedded wrote")
    figures = json.loads(parser.parse_args().figures.read_text())
    print(f"{table(figures)}\n\n{gains(figures)}")


if __name__ == "__main__":
    main()
