"""The package finds its data from a checkout, from an editable install and from a wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

SHIPPED = {
    "prompts": ("prompts", "**/*.[jy]*"),
    "tasks": ("tasks", "*.yaml"),
    "suites": ("evals/suites", "*.yaml"),
    "weights": ("cot/weights", "*"),
    "train": ("cot/train/art", "*"),
    "pages": ("cot/trace/pages", "*"),
    "report": ("cot/report/pages", "*"),
}
"""Name -> folder in the checkout, and which of its files go along."""

REPORT = """
import json, cot, cot.shipped, cot.train
from pathlib import Path
package = Path(cot.__file__).parent
folders = {
    "prompts": cot.shipped.prompts_folder(),
    "tasks": cot.shipped.tasks_folder(),
    "suites": cot.shipped.suites_folder(),
    "weights": package / "weights",
    "train": package / "train" / "art",
    "pages": package / "trace" / "pages",
    "report": package / "report" / "pages",
}
import cot.prompts, cot.suites, cot.tasks
print(json.dumps({"package": str(package), **{name: str(folder) for name, folder in folders.items()}}))
"""


PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"


@dataclass(frozen=True)
class Installed:
    """Where `cot` was installed."""

    python: Path
    checkout: Path
    environment: dict[str, str]

    def run(self, *arguments: str, folder: Path) -> str:
        done = subprocess.run(
            [str(self.python), *arguments], cwd=folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def _files(folder: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob(pattern) if path.is_file()}


def _clone(root: Path, target: Path) -> Path:
    """What a clone has and packaging reads, so that building leaves nothing in the checkout."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("cot", "evals/suites", "prompts", "tasks"):
        shutil.copytree(root / name, target / name, ignore=unwanted)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (root / name).exists():
            shutil.copy(root / name, target / name)
    return target


def _install(root: Path, folder: Path, *options: str) -> Installed:
    """Install into an environment of its own that borrows the dependencies, and no other `cot`, from ours."""
    checkout = _clone(root, folder / "checkout")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PIP_NO_INDEX": "1"}
    # A folder named in a .pth file gives its packages, but not what its own .pth files bring,
    # such as an editable `cot`; and it comes after what is installed here.
    own = subprocess.run([str(python), "-c", PURELIB], env=environment, capture_output=True, text=True, check=True)
    (Path(own.stdout.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--ignore-installed"]
    done = subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", *options, str(checkout)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Installed(python, checkout, environment)


@pytest.fixture(scope="module")
def wheel_install(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def editable_install(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(root, tmp_path_factory.mktemp("editable"), "--editable")


@pytest.fixture
def bare_checkout(root: Path, tmp_path: Path) -> Installed:
    return Installed(Path(sys.executable), _clone(root, tmp_path / "checkout"), dict(os.environ))


def _assert_complete(installed: Installed, folder: Path, package: Path) -> None:
    found = json.loads(installed.run("-c", REPORT, folder=folder))
    assert Path(found["package"]) == package
    for name, (place, pattern) in SHIPPED.items():
        assert _files(Path(found[name]), pattern) == _files(installed.checkout / place, pattern), name
    assert installed.run("-m", "cot", "--version", folder=folder).startswith("cot ")


def test_a_wheel_has_everything(wheel_install: Installed, tmp_path: Path) -> None:
    library = wheel_install.run("-c", PURELIB, folder=tmp_path)
    _assert_complete(wheel_install, tmp_path, Path(library.strip()) / "cot")


def test_an_editable_install_has_everything(editable_install: Installed, tmp_path: Path) -> None:
    _assert_complete(editable_install, tmp_path, editable_install.checkout / "cot")


def test_a_checkout_has_everything(bare_checkout: Installed) -> None:
    report = REPORT.replace("import cot.prompts, cot.suites, cot.tasks\n", "")
    found = json.loads(bare_checkout.run("-c", report, folder=bare_checkout.checkout))
    for name, (place, _) in SHIPPED.items():
        assert Path(found[name]) == bare_checkout.checkout / place
    assert bare_checkout.run("-m", "cot", "--version", folder=bare_checkout.checkout).startswith("cot ")


def test_the_command_is_installed(wheel_install: Installed, tmp_path: Path, root: Path) -> None:
    command = wheel_install.python.with_name("cot")
    done = subprocess.run(
        [str(command), "--version"], cwd=tmp_path, env=wheel_install.environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"cot {_project(root)['project']['version']}"


def test_a_wheel_has_the_licence_and_no_tests(root: Path, tmp_path: Path) -> None:
    checkout = _clone(root, tmp_path / "checkout")
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    (checkout / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=checkout, capture_output=True, check=True)
    (wheel,) = (checkout / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "cot",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert "cot/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_every_package_is_listed(root: Path) -> None:
    folders = {path.parent.relative_to(root) for path in (root / "cot").rglob("*.py")}
    bare = [str(folder) for folder in folders if not (root / folder / "__init__.py").exists()]
    assert not bare, f"{bare} have no __init__.py"
    expected = {".".join(folder.parts) for folder in folders} | {"cot.prompts", "cot.suites", "cot.tasks"}
    assert set(_project(root)["tool"]["setuptools"]["packages"]) == expected


def test_the_lock_pins_every_dependency_and_nothing_of_one_machine(root: Path) -> None:
    lines = (root / "requirements.lock").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = _project(root)["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.sub("[-_.]+", "-", Requirement(item).name).lower() for item in wanted}
    assert names <= set(pins)
    assert not [name for name in pins if name.startswith("nvidia") or "/" in name]
    assert not [version for version in pins.values() if "+" in version or "/" in version]


def test_the_harness_to_compare_with_has_the_versions_of_this_project(root: Path) -> None:
    ours, theirs = (
        dict(line.split("==") for line in (root / name).read_text("utf-8").splitlines() if not line.startswith("#"))
        for name in ("requirements.lock", "benchmarks/harness.lock")
    )
    assert {"lm-eval", "torch", "transformers", "pillow"} <= set(theirs)
    # What makes predictions and takes the time; of the rest it has what it needs.
    shared = ("accelerate", "numpy", "pillow", "safetensors", "tokenizers", "torch", "transformers")
    assert {name: theirs.get(name) for name in shared} == {name: ours[name] for name in shared}
    assert not [version for version in theirs.values() if "+" in version or "/" in version]
