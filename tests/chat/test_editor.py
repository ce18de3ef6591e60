import tempfile

import pytest

from cot.chat.editor import edit
from cot.errors import UsageError


def test_what_was_saved_is_the_new_text(tmp_path, monkeypatch):
    (tmp_path / "editor").write_text("#!/bin/sh\necho and more >> $1\n")
    (tmp_path / "editor").chmod(0o755)
    monkeypatch.setenv("VISUAL", str(tmp_path / "editor"))
    assert edit("words\n") == "words\nand more\n"


def test_a_text_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="cannot be written for an editor: No such file or directory; free some space"):
        edit("words")
