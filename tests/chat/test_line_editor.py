import pytest

from cot.chat.line_editor import EarlierLines


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("/model http://me:xyzzy@host:8000/v1#org/name@main", "/model http://host:8000/v1#org/name@main"),
        ("/model https://me:xy/zz#y?@host/v1", "/model https://host/v1"),
        ("/set model http://xyzzy@host/v1", "/set model http://host/v1"),
        ("/model http://host/v1?key=xyzzy#name", "/model http://host/v1?…#name"),
        ("What is on https://host/a.png?sig=xyzzy and b.png?", "What is on https://host/a.png?… and b.png?"),
        ("Is (http://host:80/x@2/a.png)? b@c.d red?", "Is (http://host:80/x@2/a.png)? b@c.d red?"),
        ("/set seed 7", "/set seed 7"),
        ("two\nlines", "two\nlines"),
        ("/set api_key xyzzy", None),
    ],
)
def test_lines_are_kept_without_their_secrets_and_stay_whole_while_it_runs(tmp_path, typed, kept):
    file = tmp_path / "state" / "chat-history"
    running = EarlierLines(file)
    running.append_string(typed)
    assert running.get_strings() == [typed]
    assert not file.exists() or b"xyzzy" not in file.read_bytes()
    assert list(EarlierLines(file).load_history_strings()) == ([] if kept is None else [kept])
