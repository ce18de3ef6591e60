"""Folders that ship with the package, in a wheel, an editable install or a checkout.

In: nothing. Out: their paths. It reads none of what is in them.
"""

from pathlib import Path

from cot.errors import ConfigError


def prompts_folder() -> Path:
    """Folder of the prompt templates, one folder a strategy."""
    return _shipped("prompts")


def tasks_folder() -> Path:
    """Folder of the evaluation tasks."""
    return _shipped("tasks")


def suites_folder() -> Path:
    """Folder of the evaluation suites."""
    return _shipped("suites", "evals/suites")


def weights_folder() -> Path:
    """Folder of the embedded model: an ordinary transformers checkpoint."""
    folder = Path(__file__).resolve().parent / "weights"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"the embedded model is not in {folder}; expected config.json there; install cot again")
    return folder


def _shipped(name: str, place: str | None = None) -> Path:
    """A folder that a wheel has inside the package, and a checkout beside it, at `place` if not under its name."""
    package = Path(__file__).resolve().parent
    if (package / name).is_dir():
        return package / name
    beside = package.parent / (place or name)
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise ConfigError(f"the folder {name} is neither in {package} nor beside it; install cot again")
