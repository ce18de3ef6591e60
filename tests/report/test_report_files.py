"""Markdown, CSV and the results of lm-evaluation-harness."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from eval_runs import DIGEST, result, results, write_run
from html_pages import HOSTILE

import cot.cli
from cot.compare import choose
from cot.compare.stored import choose_all
from cot.errors import UsageError
from cot.evaluate.definition import TaskIdentity
from cot.report import collect, lm_eval_results, markdown, report_page, write_csv


def report_of(*names, **options):
    return collect([choose(str(name)) for name in names], **options)


def test_markdown_has_scores_pairs_and_categories(tmp_path):
    a, b = (write_run(tmp_path / name, results(letters)) for name, letters in (("a", "ccwwue"), ("b", "cwccuc")))
    lines = markdown(report_of(a, b)).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert all(len(row) in (6, 10, 13) for row in rows)
    assert rows[2][3:5] == ["6", "40.0%"]
    assert [row[5] for row in rows if row[2] == "5"] == ["+20.0"]
    assert ["exist", "3", "50.0%"] in [row[2:5] for row in rows]


def test_what_has_no_interval_has_a_dash(tmp_path):
    report = report_of(
        *(write_run(tmp_path / name, results(letters)) for name, letters in (("a", "pwww"), ("b", "cccc")))
    )
    (pair,) = [line for line in markdown(report).splitlines() if "| +87.5 |" in line]
    assert "| +87.5 | – | 4 | 0 |" in pair
    assert "<b>+87.5</b><td>–<td>4" in report_page(report)


def test_a_control_is_called_one(tmp_path):
    run = write_run(tmp_path / "a", results("cw"), ablation="wrong-image")
    assert "a is a control, made with --ablate wrong-image" in markdown(report_of(run)).replace("\\", "")


def test_markdown_of_hostile_text_is_text(tmp_path):
    made = [result(0, category=HOSTILE), result(1, category="a|b\n# c <b> [x](y) `z`")]
    text = markdown(report_of(write_run(tmp_path / "a", made)))
    assert r"a\|b \# c \<b\> \[x\](y) \`z\`" in text
    assert r"\</title\>" in text
    assert not set(text) & set("\x1b\u202e")


@pytest.mark.parametrize("again", ["a", "a:direct", "../runs/a"])
def test_a_run_that_is_named_twice_is_refused(tmp_path, monkeypatch, capsys, again):
    write_run(tmp_path / "runs" / "a", results("cw"))
    monkeypatch.chdir(tmp_path / "runs")
    assert cot.cli.main(["report", "a", again, "--csv", "-"]) == 2
    told = capsys.readouterr()
    assert (told.out, "a:direct more than once; expected each run and strategy once" in told.err) == ("", True)


def test_csv_has_a_line_for_each_result(tmp_path):
    made = [
        *results("cpe"),
        result(3, answer="=HYPERLINK(1)", targets=("-5", "b"), question="-5"),
        result(4, answer="-5"),
    ]
    run = write_run(tmp_path / "a", made + [result(0, strategy="cot", trace="traces/x")])
    file = io.StringIO()
    write_csv(choose_all(str(run)), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 6
    assert [row["score"] for row in rows[:3]] == ["1.0", "0.5", ""]
    assert (rows[3]["answer"], rows[3]["question"], rows[4]["answer"]) == ("'=HYPERLINK(1)", "-5", "-5")
    assert json.loads(rows[3]["targets"]) == ["-5", "b"]
    assert (rows[5]["strategy"], rows[5]["trace"], rows[0]["prompt_tokens"]) == ("cot", "traces/x", "100")


def test_csv_has_no_character_that_a_terminal_obeys(tmp_path):
    hostile = result(0, answer="\x1b[31m\rred\x9b", targets=("\x1b", "\x85"), question="a\tb\nc é")
    run = write_run(tmp_path / "a", [hostile])
    file = io.StringIO()
    write_csv(choose_all(str(run)), file)
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert (row["answer"], row["question"]) == (r"\u001b[31m\u000dred\u009b", "a\tb\nc é")
    assert json.loads(row["targets"]) == ["\x1b", "\x85"]


@pytest.mark.parametrize("started_at", ["yesterday", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00"])
def test_lm_eval_results_of_an_odd_time_and_of_a_control(tmp_path, started_at):
    made_with = {"started_at": started_at, "device": "cpu"}
    found = lm_eval_results(report_of(write_run(tmp_path / "a", results("cw"), made_with=made_with, ablation="blank")))
    assert found["date"] is None or abs(found["date"]) > 1e9
    assert found["config"]["model_args"].endswith(",ablation=blank")


def test_lm_eval_results(tmp_path):
    made = results("ccwwue") + results("cccccc", strategy="cot")
    run = write_run(tmp_path / "a", made, model="org/tiny model", version=3)
    found = lm_eval_results(collect(choose_all(str(run))))
    scores = found["results"]["mine"]
    assert (scores["exact,direct"], scores["exact,cot"], scores["alias"]) == (0.4, 1.0, "mine")
    # The standard deviation of 1, 1, 0, 0, 0 by n - 1, over the root of 5.
    assert scores["exact_stderr,direct"] == pytest.approx((0.3 / 5) ** 0.5)
    assert (found["versions"], found["n-shot"]) == ({"mine": 3}, {"mine": 0})
    assert found["higher_is_better"] == {"mine": {"exact": True}}
    assert found["n-samples"]["mine"] == {"original": 6, "effective": 5}
    assert found["model_name_sanitized"] == "org_tiny_model"
    assert found["date"] == 1769860800.0
    single = lm_eval_results(report_of(write_run(tmp_path / "b", results("c"))))
    assert single["results"]["mine"]["exact_stderr,direct"] == "N/A"
    task = TaskIdentity(name="mine", version=1, sha256=DIGEST, data_sha256=DIGEST, n=1, shots=4)
    few = lm_eval_results(report_of(write_run(tmp_path / "c", results("c"), tasks=[task])))
    assert (few["n-shot"], few["configs"]["mine"]["num_fewshot"]) == ({"mine": 4}, 4)
    pairs = report_of(write_run(tmp_path / "d", results("cw", in_groups={"exact": "g"})))
    grouped = lm_eval_results(pairs)["results"]["mine"]
    assert grouped["exact,direct"] == 0.5
    with pytest.raises(UsageError, match="the format has one model a file"):
        lm_eval_results(report_of(tmp_path / "a:cot", tmp_path / "b"))


def test_the_command_writes_all_of_them(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", results("ccw"))
    options = ["--html", "r.html", "--md", "-", "--lm-eval", "r.json", "--csv", "r.csv"]
    assert cot.cli.main(["report", "a", *options]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("# 1 run on mine")
    assert err.splitlines() == ["wrote r.json", "wrote r.html", "wrote r.csv"]
    assert "66.7%" in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["results"]["mine"]["exact,direct"] == pytest.approx(2 / 3)
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("option", "words"), [("--md", "66.7%"), ("--lm-eval", '"exact,direct": 0.666'), ("--csv", ",yes,")]
)
def test_each_file_can_be_had_alone(tmp_path, monkeypatch, capfd, option, words):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", results("ccw"))
    assert cot.cli.main(["report", "a", option, "-"]) == 0
    assert words in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "got nothing to write; expected --html FILE"),
        (["--html", "none/r.html"], 1, "cannot write none/r.html"),
        (["--csv", "none/r.csv"], 1, "cannot write none/r.csv"),
        (["--md", "-", "--csv", "none/r.csv"], 1, "cannot write none/r.csv"),
        (["--html", "x", "--md", "./x"], 2, "got x for --html and for --md; expected a file of its own for each"),
        (["--md", "-", "--csv", "-"], 2, "got - for --md and for --csv"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path, monkeypatch, capfd, options, code, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", results("ccw"))
    assert cot.cli.main(["report", "a", *options]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: {message}")


@pytest.mark.parametrize("option", ["--html", "--md", "--lm-eval", "--csv", "--parquet"])
@pytest.mark.parametrize("name", ["samples.jsonl", "run.json", "summary.json", ".lock", "traces/x/trace.jsonl", "link"])
def test_a_file_of_a_run_is_not_written_over(tmp_path, monkeypatch, capfd, option, name):
    monkeypatch.chdir(tmp_path)
    for run in "ab":
        write_run(tmp_path / run, results("ccw"))
    (tmp_path / "b" / "link").symlink_to("samples.jsonl")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # Also of a run that is not reported.
    assert cot.cli.main(["report", "a", option, f"b/{name}", "--md" if option != "--md" else "--csv", "other"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: got {option} b/{name}, which is a file of the run {tmp_path / 'b'}; expected one")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_report_may_lie_beside_the_files_of_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", results("ccw"))
    assert cot.cli.main(["report", "a", "--md", "a/report.md"]) == 0
    assert "66.7%" in (tmp_path / "a" / "report.md").read_text()


FULL = """
import resource, sys
import cot.cli
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
sys.exit(sum(cot.cli.main(["report", "a", option, "kept"]) for option in sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_on_a_full_disk_the_file_before_stays(tmp_path, root):
    write_run(tmp_path / "a", results("ccw"))
    (tmp_path / "kept").write_text("before")
    done = subprocess.run(
        [sys.executable, "-c", FULL, "--html", "--md", "--lm-eval", "--csv"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 4)
    assert done.stderr.count("error: cannot write kept: File too large; expected a file in a folder") == 4
    assert (tmp_path / "kept").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "kept"]
