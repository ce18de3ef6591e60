"""The shipped weights do as well as they did when their baseline was committed."""

import json
import subprocess
import sys
from pathlib import Path

BASELINE = Path(__file__).resolve().parents[2] / "evals" / "baselines" / "smoke.json"


def test_the_embedded_model_holds_its_baseline(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cot", "eval", "smoke", "--gate", str(BASELINE), "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "run" / "summary.json").read_text())["parts"]
    assert {part["task"] for part in parts} == {"easy-vqa", "scenes", "shapes", "charts"}
    assert all(part["score"] > 0.6 for part in parts), parts
