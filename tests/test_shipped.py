"""Folders that ship are found from a checkout; `test_packaging` finds them from a wheel."""

from pathlib import Path

import pytest

from cot.errors import ConfigError
from cot.shipped import prompts_folder, suites_folder, tasks_folder, weights_folder


def test_shipped_folders() -> None:
    assert (prompts_folder() / "__init__.py").is_file()
    assert (tasks_folder() / "__init__.py").is_file()
    assert (suites_folder() / "__init__.py").is_file()


def test_weights_that_are_missing_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cot.shipped.__file__", str(tmp_path / "shipped.py"))
    for find in (weights_folder, prompts_folder):
        with pytest.raises(ConfigError, match="install cot again"):
            find()
