"""How a benchmark reports: figures as lines, and as JSON for whoever asks for it."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from cot.config import weights_folder


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that benchmarks of a checkpoint have in common."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--model", type=Path, default=weights_folder(), help="a LLaVA checkpoint folder")
    found.add_argument("--json", type=Path, help="file for the figures")
    return found


def report(figures: Mapping[str, float], file: Path | None) -> None:
    """Print figures, and write them to the file if there is one."""
    for name, value in figures.items():
        sys.stdout.write(f"{name:32} {value:10.3f}\n")
    if file:
        file.write_text(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2) + "\n")
