"""Reads the imports of every file, and holds the direction in which they may go."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import cot

LAYERS = [
    "errors",
    "streams",
    "source",
    "png",
    "rgb",
    "image",
    "region",
    "question",
    "shipped",
    "model",
    "settings",
    "config",
    "step",
    "trace",
    "prompt",
    "choice",
    "engine",
    "answer",
    "expression",
    "tools",
    "planner",
    "replay",
    "metric",
    "stats",
    "dataset",
    "task",
    "evaluate",
    "compare",
    "report",
    "chat",
    "train",
    "cli",
    "__main__",
]
"""From the ground up: a file imports only from entries before its own, and freely within it."""

HEAVY = {"torch", "transformers", "accelerate", "bitsandbytes"}
HEAVY_FOLDERS = ("cot.engine.local", "cot.train")

ROOT = Path(__file__).resolve().parent.parent


def _modules() -> dict[str, Path]:
    """`cot.engine.base` -> its file; a package goes by its own name."""
    found = {}
    for path in sorted((ROOT / "cot").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(module: str) -> Iterator[str]:
    """Every module that a file names in an import, wherever the import stands."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


def _layer(module: str) -> int:
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 else -1


def test_every_file_has_a_layer() -> None:
    unplaced = [module for module in MODULES if module != "cot" and module.split(".")[1] not in LAYERS]
    assert not unplaced, f"give {unplaced} a place in LAYERS and in docs/architecture.md"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    ours = [name for name in _imports(module) if name.split(".")[0] == "cot"]
    missing = [name for name in ours if name not in MODULES and name not in ("cot.prompts", "cot.suites", "cot.tasks")]
    assert not missing, f"{module} imports {missing}, which no file defines"
    upward = [name for name in ours if _layer(name) > _layer(module)]
    assert not upward, f"{module} imports {upward} from above itself"


def test_there_is_no_cycle() -> None:
    graph = {module: {name for name in _imports(module) if name in MODULES} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [module for module in MODULES if not f"{module}.".startswith(HEAVY_FOLDERS)])
def test_heavy_libraries_stay_in_their_folders(module: str) -> None:
    assert not {name.split(".")[0] for name in _imports(module)} & HEAVY


@pytest.mark.parametrize("command", ["import cot", "import cot.cli; assert cot.cli.main(['--help']) == 0"])
def test_starts_fast_and_light(command: str) -> None:
    code = (
        f"{command}\nimport sys, time\nsys.stdout.flush()\n"
        f"loaded = set(sys.modules) & {HEAVY!r}\nprint(time.process_time(), *loaded, file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        took, *loaded = done.stderr.split()
        assert loaded == []
        seconds.append(float(took))
    assert min(seconds) < 0.5


def test_public_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cot.__all__ == ["__version__"]
    assert cot.__version__ == project["version"]
