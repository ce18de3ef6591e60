import pytest
from rich.cells import cell_len

from cot.cli.table import columns

ROWS = [("a", "How many apples are there in the picture?", "three"), ("bbb", "狗" * 60, "y" * 200), ("", "", "")]


def lines(rows=ROWS):
    return list(columns(("id", "question", "answer"), rows, most=(2, 0, 0)))


def test_a_pipe_gets_whole_cells_in_columns():
    heading, first, second, third = lines()
    assert heading.index("question") == first.index("How") == second.index("狗") == 5
    assert all(cell in second for cell in ROWS[1])
    assert third == ""


@pytest.mark.parametrize("width", [10, 40, 80, 300])
def test_a_terminal_is_never_wider_than_it_is(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    found = lines()
    assert max(map(cell_len, found)) <= width
    assert found[2].startswith("b…")
    assert len(found) == 4


def test_a_short_column_leaves_its_space_to_the_long_one(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert lines(ROWS[:1])[1] == "a   How many apples are there in the picture?  three"


def test_no_rows_are_headings_alone():
    assert lines([]) == ["id  question  answer"]
