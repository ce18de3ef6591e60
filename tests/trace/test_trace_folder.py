import os
from datetime import UTC, datetime

import pytest

from cot.errors import TraceError
from cot.trace.folder import folder_names, newest, started_at


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("20260131-120102-0a1b2c3d", datetime(2026, 1, 31, 12, 1, 2, tzinfo=UTC)),
        ("20260231-120102-0a1b2c3d", None),
        ("20260131-250000-0a1b2c3d", None),
        ("20260131-120102-0a1b2c3D", None),
        ("20260131-120102-0a1b2c3d0", None),
        ("00000101-000000-00000000", None),
        ("photos", None),
    ],
)
def test_a_name_tells_the_time(name, when):
    assert started_at(name) == when


def test_the_newest_is_that_of_the_last_second_that_was_written_last(tmp_path):
    names = ["20260101-120000-ffffffff", "20260102-120000-bbbbbbbb", "20260102-120000-aaaaaaaa"]
    for age, name in enumerate((*names, "photos")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trace.jsonl").write_text("")
        os.utime(tmp_path / name / "trace.jsonl", (age, age))
    (tmp_path / "20260103-120000-00000000").mkdir()
    assert newest(tmp_path, "trace.jsonl") == tmp_path / names[2] / "trace.jsonl"
    assert folder_names(tmp_path) == sorted([*names, "20260103-120000-00000000", "photos"])


def test_no_run_is_no_newest_one(tmp_path):
    assert newest(tmp_path, "trace.jsonl") is None
    assert newest(tmp_path / "nowhere", "trace.jsonl") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="cannot read the folder"):
        newest(tmp_path / "file", "trace.jsonl")
