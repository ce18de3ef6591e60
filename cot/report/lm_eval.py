"""Writes results in the shape of lm-evaluation-harness's `results_*.json`, for tools that read these.

A strategy stands where the harness has a filter: `"exact,direct": 0.8`. Fields that only the harness can know, such as
its git hash, are None.
"""

from datetime import datetime
from typing import Any

from cot.errors import UsageError
from cot.evaluate import Definition
from cot.report.collect import Report


def lm_eval_results(report: Report) -> dict[str, Any]:
    """The results of one run. Raises UsageError for several: the format has one model a file."""
    paths = {str(column.chosen.run.path) for column in report.columns}
    if len(paths) > 1:
        raise UsageError(
            f"got the runs {', '.join(sorted(paths))[:300]}; expected one: the format has one model a file"
        )
    run = report.columns[0].chosen.run
    definition = run.definition
    results: dict[str, dict[str, Any]] = {task: {"alias": task} for task in report.tasks}
    metrics: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    for column in report.columns:
        for task, detail in column.details.items():
            metric = metrics.setdefault(task, detail.part.metric or "score")
            results[task][f"{metric},{column.chosen.strategy}"] = detail.part.score
            error = detail.standard_error
            results[task][f"{metric}_stderr,{column.chosen.strategy}"] = "N/A" if error is None else error
            for group in detail.part.group_scores:
                taken = group.name in (metric, f"{metric}_stderr", "alias")
                name = f"group_{group.name}" if taken else group.name
                results[task][f"{name},{column.chosen.strategy}"] = group.score
            scored = min(detail.part.scored, counts.get(task, {}).get("effective", detail.part.scored))
            counts[task] = {"original": detail.part.n, "effective": scored}
    versions = {task.name: task.version for task in definition.tasks if task.name in results}
    limits = {one.limit for one in definition.tasks}
    shots = {task.name: task.shots for task in definition.tasks if task.name in results}
    return {
        "results": results,
        "group_subtasks": {task: [] for task in results},
        "configs": {
            task: {
                "task": task,
                "output_type": "generate_until",
                "num_fewshot": shots.get(task, 0),
                "metric_list": [{"metric": metrics[task], "aggregation": "mean", "higher_is_better": True}],
                "metadata": {"version": versions.get(task)},
            }
            for task in results
        },
        "versions": versions,
        "n-shot": {task: shots.get(task, 0) for task in results},
        "higher_is_better": {task: {metrics[task]: True} for task in results},
        "n-samples": counts,
        "config": {
            "model": "cot",
            "model_args": _arguments(definition),
            "limit": next(iter(limits)) if len(limits) == 1 else None,
            "random_seed": definition.seed,
            "device": definition.made_with.device,
        },
        "git_hash": None,
        "date": _seconds(definition.made_with.started_at),
        "model_source": "cot",
        "model_name": definition.model,
        "model_name_sanitized": "".join(c if c.isalnum() or c in "-_." else "_" for c in definition.model),
    }


def _arguments(definition: Definition) -> str:
    ablation = f",ablation={definition.ablation}" if definition.ablation else ""
    return f"pretrained={definition.model},revision={definition.revision},dtype={definition.dtype}{ablation}"


def _seconds(time: str) -> float | None:
    """ISO 8601 to seconds since 1970; None if it is no time."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
