"""The page of a report: safe, whole without a script, and of use with many samples."""

import json

import pytest
from browser import BROWSER, Browser
from eval_runs import result, results, write_run
from html_pages import HOSTILE, assert_safe
from runs import recorded

from cot.compare import choose
from cot.errors import DataError, UsageError
from cot.report import collect, report_page
from cot.report.svg import ticks

PATTERN = "ccwcuwccep"


@pytest.fixture
def report(tmp_path):
    """Of two runs, the first with traces of two samples."""
    run = tmp_path / "a"
    traced = {number: recorded(run / "traces").parent.relative_to(run).as_posix() for number in (0, 1)}
    made = [one.model_copy(update={"trace": traced.get(number)}) for number, one in enumerate(results(PATTERN))]
    (tmp_path / "a").rename(tmp_path / "kept")
    write_run(run, made)
    (tmp_path / "kept" / "traces").rename(run / "traces")
    write_run(tmp_path / "b", results("cwwccwccww"))
    return collect([choose(str(run)), choose(str(tmp_path / "b"))])


def page_data(found):
    return json.loads(found.data)


def test_the_page_has_scores_plots_and_samples(report):
    found = assert_safe(report_page(report))
    text = " ".join(found.texts[place] for place in ("h1", "h2", "h3", "tr", "b"))
    for words in ("2 runs and strategies on mine", "61.1%", "Paired with", "Score by category", "Calibration"):
        assert words in text
    assert len(found.all("svg")) == 4
    assert len(found.all("polyline")) == 5
    data = page_data(found)
    assert [row["id"] for row in data["rows"]] == [str(number) for number in range(10)]
    first, second = data["rows"][0]["answers"]
    assert (first["status"], first["answer"], second["status"], second["steps"]) == ("correct", "yes", "correct", [])
    assert first["steps"][0] == "#1 How many apples are there?  count"
    assert first["trace"].startswith(str(report.columns[0].chosen.run.path))
    assert data["rows"][4]["answers"][0]["answer"] is None


def test_an_image_is_there_once_and_small(report):
    data = page_data(assert_safe(report_page(report)))
    assert len(data["pictures"]) == 1
    assert data["pictures"][0].startswith("data:image/jpeg;base64,")
    assert len(data["pictures"][0]) < 4000
    assert [row["picture"] for row in data["rows"][:3]] == [0, 0, None]


def test_pictures_are_bounded(report, monkeypatch):
    monkeypatch.setattr("cot.report.sample_view.MAX_PICTURE_BYTES", 10)
    found = assert_safe(report_page(report))
    assert page_data(found)["pictures"] == []
    assert "not every sample has its image here" in found.texts["p"]


@pytest.mark.parametrize("damage", ["trace", "image", "outside"])
def test_a_damaged_trace_is_left_out(report, damage):
    run = report.columns[0].chosen.run
    if damage == "trace":
        for file in run.path.glob("traces/*/trace.jsonl"):
            file.write_text("no trace\n")
    elif damage == "image":
        for file in run.path.glob("traces/*/images/*"):
            file.write_bytes(b"no image")
    else:
        text = (run.path / "samples.jsonl").read_text()
        (run.path / "samples.jsonl").write_text(text.replace('"traces/', f'"../{run.path.name}/traces/'))
        report = collect([column.chosen for column in report.columns])
    data = page_data(assert_safe(report_page(report)))
    assert data["pictures"] == []
    assert bool(data["rows"][0]["answers"][0]["steps"]) is (damage == "image")


def test_hostile_text_stays_text(tmp_path):
    texts = {"question": HOSTILE, "category": HOSTILE, "explanation": HOSTILE, "group": HOSTILE}
    made = [result(0, answer=HOSTILE, targets=(HOSTILE,), id=HOSTILE, choices=(HOSTILE,), **texts), result(1)]
    found = assert_safe(report_page(collect([choose(str(write_run(tmp_path / "a", made, model=HOSTILE)))])))
    (row, _) = page_data(found)["rows"]
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert row["question"] == row["answers"][0]["answer"] == shown


def test_long_texts_and_lists_are_cut(tmp_path):
    long = "x" * 100_000
    made = [
        result(0, id=long, question=long, category=long, answer=long, targets=tuple(map(str, range(500)))),
        result(1),
    ]
    page = report_page(collect([choose(str(write_run(tmp_path / "a", made)))]))
    assert len(page) < 60_000
    (row, _) = page_data(assert_safe(page))["rows"]
    assert (len(row["targets"]), row["targets"][-1], len(row["id"])) == (65, "…", 2001)


def test_of_many_samples_the_same_are_drawn_in_all_runs(tmp_path):
    runs = [write_run(tmp_path / name, results("cw" * 500)[::step]) for name, step in (("a", 1), ("b", -1))]
    report = collect([choose(str(run)) for run in runs], max_samples=20)
    assert (len(report.rows), report.total) == (20, 1000)
    assert all(len(row.results) == 2 for row in report.rows)
    assert report.columns[0].details["mine"].part.n == 1000
    assert "20 of 1000, drawn at random" in report_page(report)


def test_other_questions_under_one_id_are_other_samples(tmp_path):
    runs = [write_run(tmp_path / name, [result(0, question=f"Is it {name}?")]) for name in ("a", "b")]
    report = collect([choose(str(run)) for run in runs])
    assert [(row.first.question, len(row.results)) for row in report.rows] == [("Is it a?", 1), ("Is it b?", 1)]
    assert report.total == 2


def test_what_cannot_be_reported_is_refused(tmp_path):
    run = write_run(tmp_path / "a", results("cc"))
    with pytest.raises(UsageError, match=r"got 2 runs and strategies: .*; expected 1 to 8, each once"):
        collect([choose(str(run))] * 2)
    empty = write_run(tmp_path / "b", results("cc"), finished=False)
    (empty / "samples.jsonl").unlink()
    with pytest.raises(DataError, match="has no result yet"):
        collect([choose(str(empty))])


def test_runs_without_a_common_task_are_reported_beside_each_other(tmp_path):
    runs = [write_run(tmp_path / task, results("cw", task=task)) for task in ("one", "two")]
    report = collect([choose(str(run)) for run in runs])
    assert report.tasks == ["one", "two"]
    assert "share no task" in report.notes[0]
    assert_safe(report_page(report))


def test_a_run_without_confidences_or_scores_has_no_such_plots(tmp_path):
    run = write_run(tmp_path / "a", results("ee", category=""))
    found = assert_safe(report_page(collect([choose(str(run))])))
    assert "Calibration" not in found.texts["h3"]
    assert "–" in found.texts["b"]


@pytest.mark.parametrize(("most", "found"), [(1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (330, [0, 50, 100, 150, 200, 250, 300])])
def test_ticks_are_round(most, found):
    assert ticks(most) == pytest.approx(found)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_in_a_browser_ten_thousand_samples_can_be_searched(tmp_path):
    hostile = result(1, "wrong", question=HOSTILE, answer=HOSTILE)
    for name, pattern in (("a", "cwcc" * 2500), ("b", "cwwc" * 2500)):
        first, _, *others = results(pattern)
        write_run(tmp_path / name, [first, hostile, *others])
    page = tmp_path / "page.html"
    page.write_text(report_page(collect([choose(str(tmp_path / name)) for name in "ab"])), "utf-8")
    with Browser() as browser:
        browser.open(page)
        assert browser.run("document.title") == "cot report"
        assert browser.run("document.querySelectorAll('#samples tbody tr').length") == 50
        assert browser.run("document.getElementById('count').textContent") == "1 to 50 of 10000"
        search = (
            "(text) => {{ const field = document.getElementById('{}'); field.value = text;"
            " field.dispatchEvent(new Event('input')); return document.getElementById('count').textContent; }}"
        )
        assert browser.run(f"({search.format('search')})('IT 9977?')") == "1 to 1 of 1"
        assert browser.run(f"({search.format('search')})('owned')") == "1 to 1 of 1"
        browser.run("document.querySelector('#samples tbody tr').click()")
        assert "<img src=x onerror" in browser.run("document.querySelector('#samples').textContent")
        assert browser.run("document.querySelectorAll('#samples img').length") == 0
        assert "wrong, score 0" in browser.run("document.querySelector('.detail').textContent")
        browser.run(f"({search.format('search')})('')")
        assert browser.run(f"({search.format('status')})('unparsed')") == "0 found"
        browser.run(f"({search.format('column')})('0')")
        assert browser.run(f"({search.format('status')})('wrong')") == "1 to 50 of 2500"
        browser.run("document.getElementById('next').click()")
        assert browser.run("document.getElementById('count').textContent") == "51 to 100 of 2500"
        assert browser.run("document.title") == "cot report"
        assert browser.errors == []
        assert browser.requests == [page.as_uri()]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
def test_in_a_browser_images_and_steps_are_shown(report, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(report_page(report), "utf-8")
    with Browser() as browser:
        browser.open(page)
        assert browser.run("document.querySelector('#samples img').decode && document.images.length") == 2
        browser.run("document.querySelector('#samples tbody tr').click()")
        assert "How many apples are there?" in browser.run("document.querySelector('.detail ol').textContent")
        assert browser.run("document.querySelector('#samples img').naturalWidth") == 64
        assert browser.errors == []
        assert browser.requests == [page.as_uri()]
