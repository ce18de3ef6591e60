"""The hash of the files that rows are read from."""

import os

import pytest

from cot.dataset import LOADERS, DataSpec, files_sha256


def hashed(folder, loader, **spec):
    return files_sha256(DataSpec(loader=loader, **spec), folder, LOADERS[loader])


@pytest.mark.parametrize("loader", ["jsonl", "json", "json-map", "csv", "tsv", "vlmeval", "parquet"])
def test_it_tells_bytes_apart_and_not_names(tmp_path, loader):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    first = hashed(tmp_path, loader, path="a")
    assert first is not None
    assert hashed(tmp_path, loader, path="b") == first
    (tmp_path / "b").write_bytes(b"onf")
    assert hashed(tmp_path, loader, path="b") != first


def test_it_is_of_all_files(tmp_path):
    for name in ("questions", "answers"):
        (tmp_path / name).write_bytes(name.encode())
    both = hashed(tmp_path, "vqav2", path="questions", annotations="answers")
    (tmp_path / "answers").write_bytes(b"others")
    assert hashed(tmp_path, "vqav2", path="questions", annotations="answers") not in (both, None)
    for number in range(2):
        (tmp_path / f"{number}.parquet").write_bytes(b"part")
    two = hashed(tmp_path, "parquet", path=".")
    (tmp_path / "1.parquet").write_bytes(b"Part")
    assert hashed(tmp_path, "parquet", path=".") not in (two, None)


def test_there_is_none_where_rows_come_from_more_than_files(tmp_path):
    (tmp_path / "rows.py").write_text("")
    for loader in ("folder", "mme", "hugging-face", "python"):
        assert hashed(tmp_path, loader, path=".") is None
        assert hashed(tmp_path, loader, path="rows.py") is None
    # One of the same name that is another.
    assert files_sha256(DataSpec(loader="jsonl", path="rows.py"), tmp_path, lambda spec, folder: iter(())) is None


@pytest.mark.parametrize("loader", ["jsonl", "parquet", "vqav2"])
def test_there_is_none_of_a_file_that_is_missing_or_a_folder(tmp_path, loader):
    assert hashed(tmp_path, loader, path="gone") is None
    assert hashed(tmp_path, loader, path=".") is None
    (tmp_path / "a").write_bytes(b"one")
    assert hashed(tmp_path, loader, path="a", annotations="gone") is None


def test_there_is_none_of_more_bytes_than_are_to_be_hashed(tmp_path):
    for name in ("questions", "answers"):
        (tmp_path / name).write_bytes(b"12345")
    spec = DataSpec(loader="vqav2", path="questions", annotations="answers")
    assert files_sha256(spec, tmp_path, LOADERS["vqav2"], max_bytes=9) is None
    assert files_sha256(spec, tmp_path, LOADERS["vqav2"], max_bytes=10) is not None


def test_there_is_none_of_what_may_have_no_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    assert hashed(tmp_path, "jsonl", path="pipe") is None
    assert hashed(tmp_path, "jsonl", path="link") is None
