"""The README's table of families, against the figures that were kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cot.errors import DataError
from evals.report import LEGEND, main, measured_with, readme_table


def test_the_readme_shows_the_kept_figures(root: Path) -> None:
    figures = json.loads((root / "evals" / "baselines" / "families.json").read_text())
    assert readme_table(figures) in (root / "README.md").read_text()


def test_what_was_measured_is_told_where_it_is_kept(root: Path, tmp_path: Path) -> None:
    figures = json.loads((root / "evals" / "baselines" / "families.json").read_text())
    for row in figures.values():
        row.pop("revision", None)
    assert measured_with(figures) == ""
    for part, revision in {"scenes": "sha256:1", "shapes": "sha256:2", "charts": "sha256:1"}.items():
        figures[part]["revision"] = revision
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(figures))
    done = subprocess.run([sys.executable, "-m", "evals.report", str(file)], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{LEGEND}\n\n| part |")
    assert done.stdout.endswith(" |\n\nMeasured with sha256:1: scenes, charts\nMeasured with sha256:2: shapes\n")


def test_a_file_of_something_else_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    for text in ("[]", "null", '{"scenes": {}}', '{"scenes": 1}', '{"scenes": {"direct": {"by_family": {"all": {}}}}}'):
        file.write_text(text)
        monkeypatch.setattr(sys, "argv", ["report", str(file)])
        with pytest.raises(DataError, match=f"^{file} is not what evals.embedded wrote: .*; name its file$"):
            main()
    file.write_text("[" * 100_000)
    with pytest.raises(DataError, match="^cannot read "):
        main()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read "),
        ("{", "cannot read "),
        ('{"scenes": {}}', "got no figures of easy-vqa, plain-scenes, plain-shapes,"),
    ],
)
def test_a_file_without_the_figures_is_one_line(root: Path, tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "figures.json"
    if text is not None:
        file.write_text(text)
    command = [sys.executable, "-m", "evals.report", str(file), "--readme"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {said}")
