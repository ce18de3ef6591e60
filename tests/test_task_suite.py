from pathlib import Path

import pytest

from cot.errors import TaskError, UsageError
from cot.planner.run import STRATEGIES
from cot.shipped import suites_folder
from cot.task import find_suite, load_task, suite_names, task_names


def test_suites_name_tasks_and_strategies_that_there_are():
    assert {"smoke", "embedded", "perception", "reasoning", "documents"} <= set(suite_names())
    assert not set(suite_names()) & set(task_names())
    for name in suite_names():
        suite = find_suite([name])
        assert suite.name == name
        assert set(suite.tasks) <= set(task_names())
        assert set(suite.strategies) <= set(STRATEGIES)


def test_tasks_that_are_named_are_a_suite_of_all_their_samples():
    suite = find_suite(["pope", "mine.yaml"])
    assert (suite.tasks, suite.strategies) == ({"pope": None, "mine.yaml": None}, ())
    with pytest.raises(UsageError, match="expected each once"):
        find_suite(["pope", "pope"])
    with pytest.raises(UsageError, match="got the suite 'smoke' beside others; expected one suite alone"):
        find_suite(["pope", "smoke"])
    with pytest.raises(TaskError, match="got the suite 'smoke'; expected one task: a-okvqa, "):
        load_task("smoke")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: bad\ntasks: {}", "tasks: Dictionary should have at least 1 item"),
        ("name: bad\ntasks: {pope: 0}", "tasks.pope: Input should be greater than or equal to 1"),
        ("name: bad\ntask: {pope: 1}\ntasks: {pope: 1}", "unknown field 'task'; known: name, description, strategies"),
    ],
)
def test_a_wrong_suite_is_one_line(tmp_path, monkeypatch, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    monkeypatch.setattr("cot.task.suite.suites_folder", lambda: tmp_path)
    monkeypatch.setattr("cot.task.suite.suite_names", lambda: ("bad",))
    with pytest.raises(TaskError, match=message):
        find_suite(["bad"])


def test_an_unknown_name_is_told_the_suites_too():
    with pytest.raises(TaskError, match="unknown task 'smok', did you mean 'smoke'?.*the suites .*documents"):
        load_task("smok")


def test_data_in_a_folder_of_the_tasks_name(tmp_path):
    assert load_task("pope", data=tmp_path).folder == tmp_path
    (tmp_path / "pope").mkdir()
    assert load_task("pope", data=tmp_path).folder == tmp_path / "pope"


def test_the_folder_of_suites(root):
    assert suites_folder() == Path(root) / "evals" / "suites"
