"""Pairs, flips and their statistics; what a list of runs says; what is refused."""

import json
import math
import os

import pytest
from eval_runs import DIGEST, result, results, write_run

import cot.cli
from cot.compare import choose, compare, detail, find_runs
from cot.compare.stored import open_run
from cot.errors import DataError, UsageError
from cot.evaluate import RunFolder
from cot.evaluate.definition import TaskIdentity
from cot.evaluate.running import MAX_CATEGORIES, OTHER
from cot.stats import mcnemar, paired_difference


@pytest.fixture
def made(tmp_path):
    """Writes runs by name, and compares two of them."""

    def compared(a, b, **options):
        runs = [write_run(tmp_path / name, given) if isinstance(given, list) else given for name, given in
                (("a", a), ("b", b))]  # fmt: skip
        return compare(*(choose(str(run)) for run in runs), **options)

    return compared


def test_the_difference_is_that_of_the_paired_samples(made):
    before, after = "ccccwwwwcwuwccww" * 4, "ccwwccwwccwcuccc" * 4
    (task,) = made(results(before), results(after)[::-1]).tasks
    a, b = ([float(letter == "c") for letter in letters] for letters in (before, after))
    expected = paired_difference(a, b, [number // 4 for number in range(64)])
    assert task.overall.n == task.pairs == 64
    assert (task.overall.a, task.overall.b) == (sum(a) / 64, sum(b) / 64)
    assert task.overall.difference == pytest.approx(expected.mean)
    assert task.overall.interval == pytest.approx(expected.interval)
    assert task.mcnemar_p == mcnemar([x == 1 for x in a], [x == 1 for x in b])
    assert task.overall.better == sum(y > x for x, y in zip(a, b, strict=True))
    assert task.overall.worse == sum(y < x for x, y in zip(a, b, strict=True))


def test_flips_are_told_in_both_directions_with_their_traces(made, tmp_path):
    before = [*results("cwcc", trace="traces/one"), result(4, "wrong", trace="../../etc")]
    (task,) = made(before, results("wcuwc"), max_flips=2).tasks
    assert [flip.id for flip in task.worse] == ["0", "2"]
    assert [flip.id for flip in task.better] == ["1", "4"]
    flip = task.worse[1]
    assert (flip.a.answer, flip.b.answer, flip.b.status, flip.b.score) == ("yes", None, "unparsed", None)
    assert (flip.a.trace, flip.b.trace) == (str(tmp_path / "a" / "traces" / "one"), None)
    assert task.better[1].a.trace is None
    assert task.overall.worse == 3


def test_errored_and_missing_samples_are_counted_and_in_no_score(made):
    (task,) = made(results("cewc")[:4] + [result(9)], results("ecwwc")).tasks
    assert (task.pairs, task.only_a, task.only_b, task.errored_a, task.errored_b) == (4, 1, 1, 1, 1)
    assert (task.overall.n, task.overall.worse) == (2, 1)


def test_pairs_without_a_score_have_no_difference(made):
    (task,) = made(results("ee"), results("cc")).tasks
    assert (task.overall, task.mcnemar_p, task.pairs, task.categories) == (None, None, 2, ())


def test_partial_scores_have_no_mcnemar(made):
    (task,) = made(results("ccpw"), results("cpcw")).tasks
    assert task.mcnemar_p is None
    assert (task.overall.better, task.overall.worse) == (1, 1)
    assert task.overall.difference == 0


def test_one_image_has_no_interval(made, tmp_path, capfd):
    (task,) = made(results("wwww"), results("cccc")).tasks
    assert (task.overall.difference, task.overall.interval, task.mcnemar_p) == (1, None, 0.125)
    assert [one.interval for one in task.categories] == [None, None]
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert cot.cli.main(["compare", a, b]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("mine")]
    assert [line[line.index("+100.0") + 1] for line in lines] == ["-", "-", "-"]
    assert cot.cli.main(["compare", a, b, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["tasks"][0]["overall"]["interval"] is None
    # One image more, and there is one.
    (task,) = made(write_run(tmp_path / "c", results("wwwww")), write_run(tmp_path / "d", results("ccccw"))).tasks
    assert task.overall.interval == (0.0, 1.0)
    assert [one.interval for one in task.categories] == [(0.0, 1.0), None]


def test_partial_scores_of_one_image_have_no_interval(tmp_path):
    (found,) = detail(open_run(write_run(tmp_path / "a", results("ppcw")))).parts
    assert (found.part.score, found.part.interval, found.part.interval_method) == (0.5, None, None)


def test_categories_and_costs(made):
    cheap = {"prompt_tokens": 10, "calls": 1, "cached_tokens": 3}
    a = results("cccccc")[:5] + [result(5, usage={**cheap, "other": 7})]
    (task,) = made(a, results("cwcwcwcc", usage=cheap, seconds=0.25)).tasks
    assert [(one.category, one.n, one.a, one.b) for one in task.categories] == [("count", 3, 1, 1), ("exist", 3, 1, 0)]
    assert task.cost_a.usage == {
        "prompt_tokens": 510, "completion_tokens": 10, "calls": 6, "cached_tokens": 3, "other": 7
    }  # fmt: skip
    assert task.cost_b.usage == {"prompt_tokens": 60, "calls": 6, "cached_tokens": 18}
    assert (task.cost_a.seconds, task.cost_b.seconds) == (3.0, 1.5)


def test_two_strategies_of_one_run(tmp_path):
    run = write_run(tmp_path / "a", results("ccww") + results("cccc", strategy="cot"))
    found = compare(choose(f"{run}:direct"), choose(f"{run}:cot"))
    assert found.tasks[0].overall.difference == 0.5
    assert found.differing == {"strategy": ("direct", "cot")}
    with pytest.raises(UsageError, match=r"has the strategies direct, cot; expected one of them, as in '.*a:direct'"):
        choose(str(run))
    with pytest.raises(UsageError, match="got the strategy 'vote' of .*; expected one of: direct, cot"):
        choose(f"{run}:vote")


def test_of_a_folder_of_runs_they_are_named(tmp_path):
    for name in ("none", "blank"):
        write_run(tmp_path / "controls" / name, results("c"))
    with pytest.raises(DataError, match=r"no run at .*controls'; .* run.json, as '.*controls/blank' or '.*/none'$"):
        choose(str(tmp_path / "controls"))


def test_a_folder_may_have_a_colon_in_its_name(tmp_path):
    assert choose(str(write_run(tmp_path / "a:b", results("c")))).strategy == "direct"


def test_what_differs_is_told(made, tmp_path):
    b = write_run(tmp_path / "b", results("cc"), model="large", settings={"max_tokens": 9}, finished=False)
    found = made(results("cc"), b)
    assert found.differing == {"model": ("tiny", "large"), "settings.max_tokens": (64, 9)}
    assert found.notes == (f"{b} is interrupted: it has 2 of 2 results",)


def test_examples_that_differ_are_told(made, tmp_path):
    task = TaskIdentity(name="mine", version=1, sha256=DIGEST, data_sha256=DIGEST, n=2, shots=4, shots_sha256=DIGEST)
    b = write_run(tmp_path / "b", results("cc"), tasks=[task])
    assert made(results("cc"), b).differing == {"tasks.mine.shots": (0, 4), "tasks.mine.shots_sha256": (None, DIGEST)}


def test_what_several_processes_do_again_is_there_once(tmp_path):
    run = write_run(tmp_path / "a", results("ccee"), finished=False)
    (run / "shares").mkdir()
    (run / "shares" / "0.jsonl").write_bytes(result(3).line())
    assert open_run(run).done == 4


def test_runs_that_cannot_be_compared_are_refused(made, tmp_path):
    a = write_run(tmp_path / "a", results("cc"))
    cases = {
        "share no task: the first did mine, the second other": write_run(tmp_path / "1", results("cc", task="other")),
        "the task mine is version 1 in .* and version 2 in": write_run(tmp_path / "2", results("cc"), version=2),
        "share no sample of mine: there are 2 and 1 results": write_run(tmp_path / "3", [result(7)]),
        "'0' of mine has another question, choices or ground truth in": write_run(
            tmp_path / "4", results("cc", question="?")
        ),
        "has mine direct '0' twice": write_run(tmp_path / "5", [*results("cc"), result(0)]),
    }
    for message, b in cases.items():
        with pytest.raises(DataError, match=message):
            compare(choose(str(a)), choose(str(b)))
    with pytest.raises(DataError, match="twice"):
        compare(choose(str(b)), choose(str(a)))


def test_no_run_and_a_damaged_one_are_one_clear_error(tmp_path):
    with pytest.raises(DataError, match=r"no run at '.*nothing'; expected a folder with run.json"):
        choose(str(tmp_path / "nothing"))
    run = write_run(tmp_path / "a", results("cc"))
    (run / "samples.jsonl").write_bytes((run / "samples.jsonl").read_bytes() + b'{"task": 3}\n')
    with pytest.raises(DataError, match=r"samples.jsonl, line 3: no result of a sample"):
        detail(open_run(run))
    (run / "run.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match=r"run.json is not what this version of cot reads: format"):
        choose(str(run))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": math.nan}, "score: Input should be a finite number"),
        ({"score": 5.0}, "score: Input should be less than or equal to 1"),
        ({"score": None}, "got a score of None for an answer that is correct"),
        ({"status": "errored"}, "got a score of 1.0 for an answer that is errored"),
        ({"confidence": -0.5}, "confidence: Input should be greater"),
        ({"usage": {"prompt_tokens": 10**30}}, "usage.prompt_tokens: "),
        ({"usage": {"prompt_tokens": -1}}, "usage.prompt_tokens: "),
        ({"usage": {str(number): 1 for number in range(200)}}, "usage: "),
        ({"seconds": 1e300}, "seconds: "),
        ({"question": "\ud800"}, "Invalid JSON"),
    ],
)
def test_a_result_that_cannot_be_is_refused_with_its_place(tmp_path, fields, message):
    run = open_run(write_run(tmp_path / "a", results("c")))
    line = json.loads((run.path / "samples.jsonl").read_text())
    with (run.path / "samples.jsonl").open("a") as file:
        file.write(json.dumps({**line, "id": "1", **fields}) + "\n")
    with pytest.raises(DataError, match=f"samples.jsonl, line 2: no result of a sample .*{message}"):
        detail(run)


def test_a_result_that_is_there_twice_or_too_long_is_refused(tmp_path, monkeypatch):
    run = open_run(write_run(tmp_path / "a", [*results("cw"), result(0)]))
    with pytest.raises(DataError, match="has mine direct '0' twice; expected each sample once"):
        detail(run)
    monkeypatch.setattr("cot.evaluate.samples.MAX_LINE_BYTES", 100)
    with pytest.raises(DataError, match="line 1: longer than 100 bytes"):
        detail(run)


@pytest.mark.parametrize("name", ["run.json", "summary.json", "samples.jsonl"])
def test_what_is_no_file_or_endless_is_not_waited_for(tmp_path, monkeypatch, name):
    run = write_run(tmp_path / "a", results("cw"))
    os.rename(run / name, run / "kept")
    os.mkfifo(run / name)
    if name == "summary.json":
        assert open_run(run).state == "interrupted"
    else:
        with pytest.raises(DataError, match=f"cannot read .*{name}: it is no file"):
            detail(open_run(run))
    os.replace(run / "kept", run / name)
    monkeypatch.setattr("cot.compare.stored.MAX_FILE_BYTES", 100)
    with pytest.raises(DataError, match="cannot read .*run.json: it has more than 100 bytes"):
        open_run(run)


def test_a_run_that_changes_while_it_is_read_is_refused(tmp_path):
    run = open_run(write_run(tmp_path / "a", results("cw")))
    places = [place for place, _ in run.located()]
    assert [one.id for one in run.at(reversed(places))] == ["1", "0"]
    (run.path / "samples.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DataError, match="a changed while it was read"):
        run.at(places)


def test_a_torn_last_line_is_left_out(tmp_path):
    run = open_run(write_run(tmp_path / "a", results("ccw"), finished=False))
    file = run.path / "samples.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert [one.id for one in run.results()] == ["0", "1"]
    assert (run.done, run.total, run.state) == (2, 3, "interrupted")


def test_runs_are_listed_with_state_and_score_newest_first(tmp_path):
    write_run(tmp_path / "old", results("ccuwe"))
    new = {"device": "cpu", "started_at": "2026-02-01T00:00:00+00:00"}
    write_run(tmp_path / "deep" / "er" / "new", results("cw"), finished=False, made_with=new)
    write_run(tmp_path / "broken", results("c"))
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "model").mkdir()
    first, second, broken = (run.look() for run in find_runs(tmp_path))
    assert (first.path, first.state, first.parts[0].score) == (str(tmp_path / "deep/er/new"), "interrupted", 0.5)
    assert (second.state, second.tasks, second.strategies, second.done) == ("finished", ("mine",), ("direct",), 5)
    assert second.parts[0].counts == {"correct": 2, "partial": 0, "wrong": 1, "unparsed": 1, "errored": 1}
    assert (broken.state, broken.parts) == ("unreadable", ())
    assert "run.json" in broken.problem
    with pytest.raises(DataError, match="there is no folder"):
        find_runs(tmp_path / "none")
    (only,) = find_runs(tmp_path, task="mine", model="TINY")[1:]
    assert only.path == tmp_path / "old"
    assert find_runs(tmp_path, model="large") == []
    (tmp_path / "old" / "samples.jsonl").write_text("{}\n")
    assert find_runs(tmp_path)[1].look().state == "unreadable"


def test_linked_runs_are_listed_and_links_to_elsewhere_are_not_followed(tmp_path):
    write_run(tmp_path / "other" / "one", results("cw"))
    runs = tmp_path / "runs"
    write_run(runs / "two", results("cw"))
    (runs / "linked").symlink_to("../other/one")
    (runs / "elsewhere").symlink_to("../other")
    (runs / "around").symlink_to("around")
    (runs / "up").symlink_to("..")
    assert sorted(run.path.name for run in find_runs(runs)) == ["linked", "two"]


def test_a_summary_that_cannot_be_is_not_believed(tmp_path):
    run = write_run(tmp_path / "a", results("cw"))
    summary = json.loads((run / "summary.json").read_text())
    for score in (math.nan, 7.0):
        summary["parts"][0]["score"] = score
        (run / "summary.json").write_text(json.dumps(summary))
        assert find_runs(tmp_path)[0].look().parts[0].score == 0.5


def test_a_summary_of_other_results_is_not_believed(tmp_path):
    run = write_run(tmp_path / "a", results("cc"))
    assert open_run(run).state == "finished"
    with (run / "samples.jsonl").open("ab") as file:
        file.write(result(2, "wrong").line())
    listed = find_runs(tmp_path)[0].look()
    assert (listed.state, listed.parts[0].score) == ("interrupted", pytest.approx(2 / 3))


def test_a_run_that_is_written_is_running(tmp_path):
    run = write_run(tmp_path / "a", results("cc"), finished=False)
    with RunFolder(run):
        assert find_runs(tmp_path)[0].look().state == "running"
    assert find_runs(tmp_path)[0].look().state == "interrupted"


def test_details_have_categories_and_reasons(tmp_path):
    run = write_run(tmp_path / "a", [*results("ccuwee"), result(6, "errored", explanation="gone")])
    (found,) = detail(open_run(run)).parts
    assert [(one.category, one.n, one.scored) for one in found.categories] == [("count", 4, 2), ("exist", 3, 2)]
    assert found.categories[1].score == 0.5
    assert [(one.status, one.n) for one in found.reasons] == [("errored", 2), ("unparsed", 1), ("errored", 1)]
    assert found.part.metric == "exact"


def test_categories_without_end_are_bounded(tmp_path):
    made = [result(number, category=str(number)) for number in range(MAX_CATEGORIES + 20)]
    (found,) = detail(open_run(write_run(tmp_path / "a", made))).parts
    assert len(found.categories) == MAX_CATEGORIES + 1
    counts = {one.category: one.n for one in found.categories}
    assert list(counts)[-1] == OTHER
    assert counts[OTHER] == 20
    (other,) = detail(open_run(write_run(tmp_path / "b", made[::-1]))).parts
    assert {one.category: one.n for one in other.categories} == counts


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(tmp_path):
    """Twenty thousand results of two kilobytes each stay on disk."""
    import tracemalloc

    long = "x" * 1500
    runs = [write_run(tmp_path / name, results("cwc" * 7000, raw=long)) for name in "ab"]
    chosen = [choose(str(run)) for run in runs]
    tracemalloc.start()
    found = compare(*chosen)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tasks[0].pairs == 21_000
    assert not math.isnan(found.tasks[0].overall.difference)
    assert peak < 24 * 2**20 < (runs[0] / "samples.jsonl").stat().st_size
