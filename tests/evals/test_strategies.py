"""What strategies are worth over all tasks of a run."""

from pathlib import Path

import pytest

from cot.errors import DataError
from cot.evaluate.result import SampleResult
from cot.evaluate.samples import SAMPLES_FILE
from evals.strategies import by_strategy, gains, read_answers

RIGHT = {"direct": (0, 2), "decompose": (0, 1), "route": (0, 1, 2)}
"""Which of four questions each strategy answers right."""


def write_run(folder: Path, strategies: dict[str, tuple[int, ...]]) -> Path:
    """Four questions, two each about two images; `route` plans and follows for the second."""
    lines = []
    for strategy, right in strategies.items():
        for number in range(4):
            calls = 5 if strategy == "route" and number == 1 else 1
            one = SampleResult(
                task="first" if number < 2 else "second", id=str(number), group=str(number // 2), category="sum",
                strategy=strategy, question="?", answer="1", raw="1", targets=("1",), explanation="", confidence=0.5,
                score=float(number in right), status="correct" if number in right else "wrong",
                stop_reason="answered", usage={"prompt_tokens": 90 * calls, "completion_tokens": 10, "calls": calls},
            )  # fmt: skip
            lines.append(one.model_dump_json() + "\n")
    folder.mkdir()
    (folder / SAMPLES_FILE).write_text("".join(lines))
    return folder


def test_questions_of_all_tasks_are_pooled_and_paired(tmp_path: Path) -> None:
    asked = read_answers(write_run(tmp_path / "run", RIGHT))
    rows = {row.split(" | ")[0].strip("| "): row for row in by_strategy(asked).splitlines()}
    assert rows["direct"].startswith("| direct | 50.0 [")
    assert rows["direct"].endswith("] | 50.0 | 50.0 | 0.000 | 100 |")
    assert rows["route"].endswith("] | 100.0 | 50.0 | 0.250 | 190 |")
    rows = {row.split(" | ")[0].strip("| "): row for row in gains(asked).splitlines()}
    assert rows["all"] == rows["sum"].replace("sum", "all")
    assert rows["all"].startswith("| all | 4 | 50.0 | 50.0 | 75.0 | +25.0 [")
    assert rows["all"].endswith("] | 1.90 | 25% |")
    assert "comparison" not in rows


def test_what_errored_is_in_no_score_and_what_is_unparsed_has_no_confidence(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", RIGHT) / SAMPLES_FILE
    lines = path.read_text().splitlines()
    failed = SampleResult.model_validate_json(lines[3]).model_copy(
        update={"score": None, "status": "errored", "usage": {}, "answer": None, "confidence": 0.0}
    )
    silent = SampleResult.model_validate_json(lines[1]).model_copy(
        update={"score": None, "status": "unparsed", "answer": None, "confidence": 0.0}
    )
    lines[3], lines[1] = failed.model_dump_json(), silent.model_dump_json()
    path.write_text("\n".join(lines) + "\n")
    asked = read_answers(path.parent)
    assert [answers["direct"].id for answers in asked] == ["0", "1", "2"]
    rows = {row.split(" | ")[0].strip("| "): row for row in by_strategy(asked).splitlines()}
    assert rows["direct"].startswith("| direct | 66.7 [")
    assert rows["direct"].endswith("| 0.500 | 100 |")
    path.write_text("\n".join(lines[3:4] + lines[7:8] + lines[11:12]) + "\n")
    with pytest.raises(DataError, match="errored with none"):
        read_answers(path.parent)


def test_a_run_without_the_strategies_is_one_clear_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"direct": (0,), "decompose": ()})
    with pytest.raises(DataError, match="no answers by route; expected a run with direct, decompose, route"):
        read_answers(run)
