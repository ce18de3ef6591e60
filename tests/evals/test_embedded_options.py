"""The command line of `python -m evals.embedded`: what is wrong is said before anything is measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cot.engine.local.source import find_source
from cot.errors import DataError, EngineError
from evals.embedded import Model, main, measure, read_report, write_report


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "0"), "argument --limit: got '0'; expected a whole number of at least 1"),
        (("--limit", "-3"), "argument --limit: "),
        (("--limit", "many"), "argument --limit: got 'many'; expected"),
        (("--processes", "0"), "argument --processes: got '0'; expected a whole number of at least 1"),
        (("--parts", "nope"), "argument --parts: invalid choice: 'nope'"),
        (("--quantize", "nope"), "argument --quantize: invalid choice: 'nope'"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--parts", "shapes", *arguments])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_wrong_model_is_found_before_any_process_is_started(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no model folder at"):
        main(["--model", str(tmp_path / "none"), "--out", str(tmp_path / "out.json")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_a_broken_file_of_figures_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"--out {path}.*; expected .*: name another"):
        main(["--out", str(path)])
    assert path.read_text() == text


def test_a_place_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "out.json", tmp_path):
        with pytest.raises(DataError, match=f"--out {path}"):
            main(["--out", str(path)])


def test_a_write_that_fails_leaves_the_other_parts(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_report(path, {"scenes": {"n": 1}})
    with pytest.raises(TypeError):
        write_report(path, {"scenes": {"n": 1}, "shapes": object()})
    (tmp_path / "out.json.part").unlink(missing_ok=True)
    (tmp_path / "out.json.part").mkdir()
    with pytest.raises(DataError, match="cannot write --out"):
        write_report(path, {})
    assert read_report(path) == {"scenes": {"n": 1}}


def test_a_process_that_is_killed_ends_the_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    # As where memory runs out, a process is gone without a word.
    monkeypatch.setattr("evals.embedded.Job", lambda *_: 9)
    monkeypatch.setattr("evals.embedded._answer", os._exit)
    with pytest.raises(EngineError, match="^a process that measures shapes was killed; .* fewer than 2 --processes$"):
        measure(Model("embedded", "none"), "shapes", "direct", 4, 2)


@pytest.mark.slow
def test_figures_name_what_they_were_measured_with(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_report(path, {"scenes": {"direct": {"n": 1}}})
    main(["--parts", "shapes", "--limit", "1", "--processes", "1", "--out", str(path)])
    assert {part: figures.get("revision") for part, figures in read_report(path).items()} == {
        "scenes": None, "shapes": find_source("embedded").revision,
    }  # fmt: skip


def test_errors_are_one_line(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evals.embedded", "--model", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: no model folder at ")
