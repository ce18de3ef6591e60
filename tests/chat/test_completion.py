import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from cot.chat.completion import LineCompleter


@pytest.fixture
def completions(chats):
    completer = LineCompleter(lambda: 2, lambda: ("embedded", "org/one", "org/two"), lambda: ("holiday", "home"))

    def complete(text):
        return [
            text[: len(text) + c.start_position] + c.text
            for c in completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
        ]

    return complete


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
        ("/nope ", []),
    ],
)
def test_what_may_come_next(completions, text, found):
    assert completions(text) == found
