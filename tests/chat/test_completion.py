import time

import pytest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from cot.chat.completion import MAX_FILES, LineCompleter, complete


@pytest.fixture
def completer(chats, tmp_path):
    (tmp_path / "My Photos").mkdir()
    (tmp_path / "My Photos" / "c.png").write_bytes(b"")
    return LineCompleter(lambda: 2, lambda: ("embedded", "org/one", "org/two"), lambda: ("holiday", "home"))


@pytest.fixture
def completions(completer):
    def found(text):
        return [
            text[: len(text) + c.start_position] + c.text
            for c in completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
        ]

    return found


@pytest.mark.parametrize(
    ("text", "completed"),
    [("/strat", "/strategy"), ("/s", "/s"), ("/model org", "/model org/"), ("/load hol", "/load holiday"), ("x", "x")],
)
def test_tab_completes_as_far_as_there_is_no_doubt(completer, text, completed):
    buffer = Buffer(completer=completer, document=Document(text))
    buffer.start_completion = lambda: None
    complete(buffer)
    assert buffer.text == completed


def test_tab_completes_nothing_by_itself_where_files_are_left_out(completer, tmp_path):
    (tmp_path / "cam").mkdir()
    for number in range(MAX_FILES + 1):
        (tmp_path / "cam" / f"IMG_{number:03}.jpg").write_bytes(b"")
    buffer = Buffer(completer=completer, document=Document("/image cam/I"))
    buffer.start_completion = lambda: None
    complete(buffer)
    assert buffer.text == "/image cam/I"


def test_what_is_no_image_takes_no_place_from_those_that_are(completions, tmp_path):
    (tmp_path / "many").mkdir()
    for number in range(2 * MAX_FILES):
        (tmp_path / "many" / f"doc{number}.pdf").write_bytes(b"")
        (tmp_path / "many" / f".hidden{number}.png").write_bytes(b"")
    for name in ("a.png", "b.png"):
        (tmp_path / "many" / name).write_bytes(b"")
    assert completions("/image many/") == ["/image many/a.png", "/image many/b.png"]


@pytest.mark.parametrize("word", ["\\" * 2000, "x" * 2000, "\\ " * 1000])
def test_a_long_word_is_found_at_once(completions, word):
    started = time.process_time()
    assert completions(f"{word}  ./r") == [f"{word}  ./red.png"]
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/te", ["/template"]),
        ("/drop ", ["/drop 1", "/drop 2"]),
        ("/model org/t", ["/model org/two"]),
        ("/strategy ver", ["/strategy verify"]),
        ("/template direct/", ["/template direct/answer"]),
        ("/template direct/answer decompose/pl", ["/template direct/answer decompose/plan"]),
        ("/steps b", ["/steps brief"]),
        ("/set trace", ["/set trace_dir"]),
        ("/image ./r", ["/image ./red.png"]),
        ("what is in b", ["what is in blue.png"]),
        ("/load ho", ["/load holiday", "/load home"]),
        ("/ask-mode ver", ["/ask-mode verify"]),
        ("what is in ./b", ["what is in ./blue.png"]),
        ("what is", []),
        ("what is ./r\n", []),
        ("/image My\\ ", ["/image My\\ Photos/"]),
        ("what is in My\\ Photos/", ["what is in My\\ Photos/c.png"]),
        (r"a\\ ./b", [r"a\\ ./blue.png"]),
        ("/image ~\0/a", []),
        ("/nope ", []),
    ],
)
def test_what_may_come_next(completions, text, found):
    assert completions(text) == found
