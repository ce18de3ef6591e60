"""Results as Parquet: typed, whole or not at all, and never all in memory."""

import sys
import tracemalloc

import pytest
from eval_runs import result, results, write_run

import cot.cli
from cot.compare.stored import choose_all
from cot.dataset import DataSpec, load_rows
from cot.report import write_parquet
from cot.report.columns import COLUMNS

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def report(tmp_path, monkeypatch, capfd):
    """Runs `cot report` among two runs; gives the exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", [*results("cpe"), result(3, answer="=1\x1b", targets=("-5", "b"), choices=("b", "c"))])
    write_run(tmp_path / "b", results("cw", trace="traces/x") + results("cc", strategy="cot"))

    def ran(*arguments):
        code = cot.cli.main(["report", *arguments])
        return code, capfd.readouterr().err

    return ran


def test_columns_are_typed_and_values_as_they_were(report):
    assert report("a", "b", "--parquet", "r.parquet") == (0, "wrote r.parquet\n")
    table = parquet.read_table("r.parquet")
    kinds = {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)}
    assert tuple(kinds) == COLUMNS
    assert {kinds[name] for name in ("score", "confidence", "seconds")} == {"double"}
    assert {kinds[name] for name in ("prompt_tokens", "calls")} == {"int64"}
    assert {kinds[name] for name in ("targets", "choices")} == {"list<element: string>"}
    assert {kinds[name] for name in ("run", "task", "id", "strategy", "status", "answer", "trace")} == {"string"}
    rows = table.to_pylist()
    assert [(row["run"], row["strategy"]) for row in rows[::2]] == [("a", "direct")] * 2 + [
        ("b", "direct"),
        ("b", "cot"),
    ]
    assert [row["score"] for row in rows[:3]] == [1.0, 0.5, None]
    assert (rows[0]["prompt_tokens"], rows[0]["image_tokens"], rows[2]["answer"]) == (100, None, None)
    assert (rows[3]["answer"], rows[3]["targets"], rows[3]["choices"]) == ("=1\x1b", ["-5", "b"], ["b", "c"])
    assert (rows[3]["trace"], rows[4]["trace"]) == (None, "traces/x")


def test_a_confidence_that_nobody_gave_is_null(tmp_path):
    run = write_run(tmp_path / "a", [result(1, confidence=0.0), result(2, confidence=0.25)])
    with (tmp_path / "r.parquet").open("wb") as file:
        write_parquet(choose_all(str(run)), file)
    assert parquet.read_table(tmp_path / "r.parquet")["confidence"].to_pylist() == [None, 0.25]


def test_the_loader_of_tasks_reads_it(report, tmp_path):
    report("a", "--parquet", "r.parquet")
    rows = [row.values for row in load_rows(DataSpec(loader="parquet", path="r.parquet"), tmp_path)]
    assert rows == parquet.read_table("r.parquet").to_pylist()


def test_few_rows_are_in_memory_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("cot.report.parquet_file.GROUP_ROWS", 200)

    def peak(n):
        chosen = choose_all(str(write_run(tmp_path / str(n), results("c" * n))))
        with (tmp_path / f"{n}.parquet").open("wb") as file:
            tracemalloc.start()
            write_parquet(chosen, file)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    # A row takes two thousand bytes; of each, only what tells it apart stays.
    few, many = peak(4000), peak(8000)
    assert many - few < 4000 * 200
    groups = parquet.ParquetFile(tmp_path / "4000.parquet").metadata
    assert {groups.row_group(number).num_rows for number in range(groups.num_row_groups)} == {200}
    assert parquet.read_table(tmp_path / "4000.parquet")["id"].to_pylist() == [str(number) for number in range(4000)]


@pytest.mark.parametrize("option", ["--parquet", "--csv"])
def test_a_file_is_written_whole_or_left_as_it_was(report, tmp_path, option):
    (tmp_path / "kept").write_text("before")
    (tmp_path / "link").symlink_to("kept")
    with (tmp_path / "a" / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    code, err = report("a", option, "link")
    assert (code, err.count("\n")) == (1, 1)
    assert "samples.jsonl, line 5: no result of a sample" in err
    assert (tmp_path / "kept").read_text() == "before"
    assert report("b", option, "link")[0] == 0
    assert b"traces/x" in (tmp_path / "kept").read_bytes()
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "kept", "link"}


def test_a_folder_whose_name_is_no_text_is_written_out(report, tmp_path):
    (tmp_path / "a").rename(tmp_path / "a\udcff")
    assert report("a\udcff", "--parquet", "r.parquet", "--csv", "r.csv")[0] == 0
    assert parquet.read_table("r.parquet")["run"][0].as_py() == r"a\xff"
    assert r"a\xff,mine" in (tmp_path / "r.csv").read_text()


@pytest.mark.parametrize(
    ("out", "code", "message"),
    [
        ("-", 2, "got --parquet -; expected a file: Parquet is no text"),
        ("none/r.parquet", 1, "cannot write none/r.parquet: No such file or directory"),
        ("a", 1, "cannot write a: Is a directory"),
        ("/dev/full", 1, "cannot write /dev/full: No space left on device"),
    ],
)
def test_what_cannot_be_written_is_one_line(report, out, code, message):
    found, err = report("a", "--parquet", out)
    assert (found, err.count("\n")) == (code, 1)
    assert err.startswith(f"error: {message}")


def test_without_pyarrow_nothing_is_begun(report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found, err = report("a", "--csv", "r.csv", "--parquet", "r.parquet")
    assert (found, err) == (1, "error: Parquet needs the package pyarrow: pip install 'pyarrow>=17'\n")
    assert not (tmp_path / "r.csv").exists()
