"""How a benchmark reports: figures as lines, and as JSON for whoever asks for it."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from cot.shipped import weights_folder


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that benchmarks of a checkpoint have in common."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--model", type=Path, default=weights_folder(), help="a LLaVA checkpoint folder")
    found.add_argument("--json", type=Path, help="file for the figures")
    return found


def report(figures: Mapping[str, float], file: Path | None, *, skipped: Mapping[str, str] | None = None) -> None:
    """Print figures, and write them to the file if there is one. skipped: what could not be measured, and why."""
    for name, value in figures.items():
        sys.stdout.write(f"{name:32} {value:10.3f}\n")
    found: dict[str, object] = {name: round(value, 4) for name, value in figures.items()}
    if skipped:
        sys.stdout.writelines(f"{name} is skipped: {why}\n" for name, why in skipped.items())
        found["skipped"] = dict(skipped)
    if file:
        file.write_text(json.dumps(found, indent=2) + "\n")
