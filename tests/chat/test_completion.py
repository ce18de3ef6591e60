import pytest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from cot.chat.completion import LineCompleter, complete


@pytest.fixture
def completer(chats):
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
        ("/image ~\0/a", []),
        ("/nope ", []),
    ],
)
def test_what_may_come_next(completions, text, found):
    assert completions(text) == found
