"""The README's table of families, against the figures that were kept."""

import json
from pathlib import Path

from evals.report import readme_table


def test_the_readme_shows_the_kept_figures(root: Path) -> None:
    figures = json.loads((root / "evals" / "baselines" / "families.json").read_text())
    assert readme_table(figures) in (root / "README.md").read_text()
