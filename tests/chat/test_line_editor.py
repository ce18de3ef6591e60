"""Lines are kept for later conversations, and secrets in them are not."""

import pytest

from cot.chat.checked import MAX_QUESTION_CHARACTERS
from cot.chat.line_editor import EarlierLines, without_secrets


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
        ("/set COT_API_KEY=xyzzy", None),
        ("/set xyzzy", None),
        ("/set", "/set"),
        ("/set seed", "/set seed"),
        (
            "See 1http://me:xyzzy@host/a.png and -http://me:xyzzy@host/b.png",
            "See 1http://host/a.png and -http://host/b.png",
        ),
        ("/model me:xyzzy@host:8000/v1#org/name@main", "/model host:8000/v1#org/name@main"),
        ("/set model me:xy/zz:y@host:8000", "/set model host:8000"),
        ("/model host:8000/v1#org/name@main", "/model host:8000/v1#org/name@main"),
        ("/model org/name@main", "/model org/name@main"),
        ("/model C:\\models\\a@b", "/model C:\\models\\a@b"),
        ("x" * (MAX_QUESTION_CHARACTERS + 1), None),
        ("What is on http://host/a.png?" + "x" * MAX_QUESTION_CHARACTERS, None),
    ],
)
def test_lines_are_kept_without_their_secrets_and_stay_whole_while_it_runs(tmp_path, typed, kept):
    file = tmp_path / "state" / "chat-history"
    running = EarlierLines(file)
    running.append_string(typed)
    assert running.get_strings() == [typed]
    assert not file.exists() or b"xyzzy" not in file.read_bytes()
    assert list(EarlierLines(file).load_history_strings()) == ([] if kept is None else [kept])


@pytest.mark.parametrize("part", ["a", "a:", "a@", "/", "?", "#"])
def test_a_long_word_takes_no_longer_than_it_takes_to_read_it(part):
    word = part * 1_000_000
    assert without_secrets(word) == word
