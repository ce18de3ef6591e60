"""Benchmarks run, at a size that takes seconds, and say what they could not measure."""

import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cot.shipped import weights_folder

ROOT = Path(__file__).resolve().parent.parent


HARNESS = """\
#!{python}
import json, pathlib, sys
options = dict(zip(sys.argv, sys.argv[1:]))
limit = int(options["--limit"])
data = pathlib.Path(options["--include_path"], "data.jsonl").read_text().splitlines()[:limit]
samples = [{{"doc_id": index, "resps": [["no such answer"]]}} for index, _ in enumerate(data)]
out = pathlib.Path(options["--output_path"], "model")
out.mkdir(parents=True)
(out / "samples_x.jsonl").write_text("\\n".join(map(json.dumps, samples)))
"""
"""Takes lm-evaluation-harness's options, and writes its kind of results."""


@pytest.mark.skipif(not find_spec("easy_vqa"), reason="the questions are those of the package easy-vqa")
def test_the_harness_is_asked_the_same_questions_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    harness = importlib.import_module("benchmarks.harness")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(HARNESS.format(python=sys.executable))
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / harness.LOCK.name).write_text(harness.LOCK.read_text())
    figures = harness.measure(weights_folder(), 3, tmp_path)
    assert figures["same_predictions_as_lm_eval"] == 0
    assert set(figures) > {"eval_speedup_vs_lm_eval", "lm_eval_questions_per_second"}


@pytest.mark.skipif(not find_spec("easy_vqa"), reason="the questions are those of the package easy-vqa")
def test_what_is_no_environment_is_not_replaced_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    harness = importlib.import_module("benchmarks.harness")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="holds something else"):
        harness.environment(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    (tmp_path / harness.LOCK.name).write_text(harness.LOCK.read_text())
    with pytest.raises(SystemExit, match="got --questions 0; expected at least 1"):
        harness.measure(weights_folder(), 0, tmp_path)


def test_figures_of_a_gpu_at_a_tiny_size_on_a_cpu(tmp_path: Path) -> None:
    # Without a compiler: what one costs is no matter of this test.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--size", "tiny", "--device", "cpu", "--batches", "1", "3",
         "--json", tmp_path / "figures.json"],
        cwd=ROOT, env={**os.environ, "CXX": "no-such-compiler"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    skipped = figures.pop("skipped")
    measured = {"bf16", "nf4", "int8"} if find_spec("bitsandbytes") else {"bf16"}
    for precision in measured:
        assert figures[f"{precision}_batch_3_tokens_per_second"] > 0
        assert figures[f"{precision}_seconds_to_first_token"] > 0
        assert f"{precision}_compiled" in skipped
    assert "no-such-compiler" in skipped["bf16_compiled"]
    assert {name for name in skipped if "compiled" not in name} == {"bf16", "nf4", "int8"} - measured
    assert figures["copy_gigabytes_per_second"] > 0
