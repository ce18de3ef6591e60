"""Run folders as `cot eval` writes them, of made results, for tests that look at runs."""

import json
from pathlib import Path
from typing import Any

from cot.evaluate import Definition, SampleResult, Summary, Tally
from cot.evaluate.definition import MadeWith, TaskIdentity

DIGEST = "0" * 64


def result(number: int, status: str = "correct", **fields: Any) -> SampleResult:
    """A result: four questions an image, two categories, and the answer `yes` where it is correct."""
    given = {
        "task": "mine",
        "id": str(number),
        "group": f"image-{number // 4}.png",
        "category": ["count", "exist"][number % 2],
        "strategy": "direct",
        "question": f"Is it {number}?",
        "answer": {"correct": "yes", "partial": "ye", "wrong": "no"}.get(status),
        "raw": "yes",
        "targets": ("yes",),
        "score": {"correct": 1.0, "partial": 0.5, "wrong": 0.0}.get(status),
        "status": status,
        "explanation": f"it is {status}",
        "confidence": 0.9 if status == "correct" else 0.4,
        "stop_reason": "error" if status == "errored" else "answered",
        "usage": {"prompt_tokens": 100, "completion_tokens": 2, "calls": 1},
        "seconds": 0.5,
    }
    return SampleResult.model_validate({**given, **fields})


def results(pattern: str, **fields: Any) -> list[SampleResult]:
    """A result for each letter: c correct, p partial, w wrong, u unparsed, e errored."""
    names = {"c": "correct", "p": "partial", "w": "wrong", "u": "unparsed", "e": "errored"}
    return [result(number, names[letter], **fields) for number, letter in enumerate(pattern)]


def write_run(
    folder: Path, made: list[SampleResult], *, finished: bool = True, version: int = 1, **fields: Any
) -> Path:
    """Write a run folder. fields: of its definition."""
    tasks = sorted({one.task for one in made})
    strategies = tuple(dict.fromkeys(one.strategy for one in made))
    counts = {task: len({one.id for one in made if one.task == task}) for task in tasks}
    given: dict[str, Any] = {
        "cot": "0.1.0",
        "tasks": [
            TaskIdentity(name=task, version=version, sha256=DIGEST, data_sha256=DIGEST, n=counts[task])
            for task in tasks
        ],
        "model": "tiny",
        "revision": None,
        "dtype": "float32",
        "quantization": "none",
        "strategies": strategies,
        "language": "en",
        "seed": 0,
        "shuffle": False,
        "settings": {"max_tokens": 64},
        "templates": {"direct/answer": DIGEST},
        "made_with": MadeWith(started_at="2026-01-31T12:00:00+00:00", device="cpu"),
    }
    definition = Definition.model_validate({**given, **fields})
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(definition.model_dump(mode="json")))
    (folder / "samples.jsonl").write_bytes(b"".join(one.line() for one in made))
    if finished:
        tally = Tally(lambda _: "exact")
        tally.take(made)
        summary = Summary(complete=True, model=definition.model, tasks=definition.tasks, parts=tally.parts())
        (folder / "summary.json").write_text(json.dumps(summary.model_dump(mode="json")))
    return folder
