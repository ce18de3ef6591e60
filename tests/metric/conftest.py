"""What the tests of metrics share: reference values that the official functions gave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vectors = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def vectors() -> Vectors:
    def read(name: str) -> list[dict[str, Any]]:
        path = Path(__file__).parent / "vectors" / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert len(rows) >= 30
        return rows

    return read
