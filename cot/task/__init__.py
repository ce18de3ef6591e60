"""Evaluation tasks: `<name>.yaml`, which says what is asked of which data and how answers are scored.

In: a task file. Out: its samples, checked. It asks no model, and opens no image.
"""

from cot.task.file import MAX_GROUP_SCORES, Task, find_task, read_task, suite_names, task_names
from cot.task.load import load_task
from cot.task.loaded import LoadedTask, Survey
from cot.task.sample import Fact, ImageSource, Sample
from cot.task.suite import Suite, find_suite

__all__ = [
    "MAX_GROUP_SCORES", "Fact", "ImageSource", "LoadedTask", "Sample", "Suite", "Survey", "Task", "find_suite",
    "find_task", "load_task", "read_task", "suite_names", "task_names",
]  # fmt: skip
