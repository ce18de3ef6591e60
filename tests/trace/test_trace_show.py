import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cot.step import FinalAnswer, Reasoning, SubAnswer, SubQuestion, Summary, ToolUse
from cot.trace.event import Call, Note, OriginalImage, RunFinished, RunStarted, StepTaken, TracedImage
from cot.trace.page import traces_page
from cot.trace.plain import MAX_SHOWN_CHARACTERS, plain
from cot.trace.read import Trace
from cot.trace.show import before, held_to, percent, step_line, trace_tree, usage_line
from cot.trace.tree import nodes

HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eevil\u200b[bold]markup[/bold][link=x]:smile:\r\x00\x7f"
HASH = "0" * 64


def printed(renderable, width=200):
    console = Console(file=io.StringIO(), width=width, force_terminal=False, markup=True)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[1;31mb\x1b[0mc", "abc"),
        ("a\x1b]8;;http://x\x07b\x1b]8;;\x07", "ab"),
        ("a\x1b]52;c;aGk=\x1b\\b", "ab"),
        ("a\x9b31mb", "ab"),
        ("a\x90q\x9cb", "ab"),
        ("a\x1bPq", "a"),
        ("â€œa cupâ€\x9d and Ð\x90\x90b", "â€œa cupâ€ and Ðb"),
        ("a\x1bcb", "ab"),
        ("a\x1b", "a"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("a\u2066b\ufeffc\u200bd", "abcd"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\x00\x08b", "ab"),
        ("é 日本\tä", "é 日本\tä"),
        ("\ud800a", "a"),
    ],
)
def test_terminals_are_told_nothing(text, shown):
    assert plain(text) == shown


@given(st.text(st.characters()), st.booleans())
def test_nothing_but_printable_text_is_left(text, one_line):
    shown = plain(text, one_line=one_line)
    allowed = "" if one_line else "\n\t"
    assert all(c in allowed or unicodedata.category(c)[0] != "C" for c in shown)
    assert not one_line or len(shown.splitlines()) <= 1
    assert plain(shown, one_line=one_line) == shown


def test_what_is_shown_is_bounded():
    assert len(plain("a" * 10**7)) == MAX_SHOWN_CHARACTERS


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (SubQuestion(id=2, text="How many?", wants="count"), "#2 How many?  count"),
        (SubAnswer(to=2, asked="How many?", value=3, raw="3", confidence=0.973), "#2 3  97%"),
        (SubAnswer(to=2, asked="?", value=None, raw="", confidence=0.0, problem="no idea"), "#2 unknown  no idea"),
        (Reasoning(text="The answer\nis #1."), "The answer is #1."),
        (
            ToolUse(name="calculate", arguments={"expression": "#1 > #2", "#1": 3, "#2": 1}, result=True),
            "calculate #1 > #2 (#1 = 3, #2 = 1) = yes",
        ),
        (Summary(text="A? 3\nB? 1"), "summary: A? 3; B? 1"),
        (FinalAnswer(text="yes", value=True, raw="yes", confidence=1.0), "answer: yes  100%"),
        (FinalAnswer(text="a " * 9000, value="a", raw="a", confidence=0.0), f"answer: a{' a' * 8999}"),
        (FinalAnswer(text="unknown", value=None, raw="", confidence=0.0), "answer: unknown"),
        # An engine without probabilities: how sure it is is not known.
        (SubAnswer(to=2, asked="How many?", value=3, raw="3", confidence=0.0), "#2 3"),
        (FinalAnswer(text="3", value=3, raw="3", confidence=0.0), "answer: 3"),
    ],
)
def test_steps_are_one_line(step, line):
    assert step_line(step).plain == line


@pytest.mark.parametrize(
    ("confidence", "shown"),
    [(0.0, "0%"), (0.5, "50%"), (0.99, "99%"), (0.9961, "99.6%"), (0.99999, "99.9%"), (1.0, "100%")],
)
def test_only_certainty_is_a_hundred_percent(confidence, shown):
    assert percent(confidence) == shown


def test_costs_are_one_line():
    usage = {"calls": 3, "prompt_tokens": 1200, "image_tokens": 600, "cached_tokens": 300, "completion_tokens": 24}
    assert usage_line(usage, 1.234) == (
        "3 calls, 1,200 prompt tokens (600 of images, 300 cached), 24 generated, 1.23 s"
    )
    assert usage_line({"calls": 1}, 0).startswith("1 call, ")


def hostile_trace(tmp_path, text):
    answer = FinalAnswer(text=text, value=text, raw=text, confidence=0.5)
    original = OriginalImage(mode=text, width=1, height=1)
    image = TracedImage(source=text, sha256=text, width=1, height=1, original=original)
    return Trace(
        tmp_path,
        (
            RunStarted(
                question=text, choices=(text,), images=(image,), strategy=text, seed=0,
                templates={text: text}, settings={text: text}, engine={text: text}, versions={text: text},
            ),
            Call(
                step=text, template=text, template_sha256=text, prompt=text, prompt_sha256=text, max_tokens=1,
                constraint={"kind": text, text: text}, raw=text, problem=text, confidence=0.5,
                tokens=((text, -0.1),), alternatives=(((text, -3.0),),),
            ),
            StepTaken(step=SubQuestion(id=1, text=text, wants="text")),
            StepTaken(step=SubAnswer(to=1, asked=text, value=text, raw=text, confidence=0.5)),
            StepTaken(step=SubAnswer(to=1, asked=text, value=None, raw=text, confidence=0.5, problem=text)),
            StepTaken(step=Reasoning(text=text)),
            StepTaken(step=ToolUse(name=text, arguments={text: text, "expression": text}, result=text)),
            StepTaken(step=Summary(text=text)),
            StepTaken(step=answer),
            Note(text=text),
            RunFinished(answer=answer, stop_reason="answered"),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
def test_hostile_text_is_shown_as_text(tmp_path, full):
    shown = printed(trace_tree(hostile_trace(tmp_path, HOSTILE), full=full))
    assert not set(shown) & set("\x1b\x9b\x07\x00\x7f\r\u202e\u200b")
    assert "[bold]markup[/bold]" in shown
    assert ":smile:" in shown
    # The whole tree writes tokens as Python does, with their escapes spelt out.
    assert full or "title" not in shown


def test_a_trace_shows_why(tmp_path):
    shown = printed(trace_tree(hostile_trace(tmp_path, "How many?")))
    for part in ("question: How many?", "said: How many?", "problem: How many?", "held to: ", "ended: answered"):
        assert part in shown


def test_the_whole_tree_shows_what_else_was_likely(tmp_path):
    call = Call(step="answer", template="direct/answer", template_sha256=HASH, prompt="How many?", prompt_sha256=HASH,
                max_tokens=8, raw="3", tokens=(("3", -0.1), ("", 0.0)),
                alternatives=((("4", -2.5), ("unknown", -4.0)), ()))  # fmt: skip
    full, short = (printed(trace_tree(Trace(tmp_path, (call,)), full=full)) for full in (True, False))
    assert "tokens: '3' 90% (or '4' 8%, 'unknown' 2%), '' 100%" in full
    assert "unknown" not in short
    # A trace may hold fewer alternatives than tokens, or more, and numbers that no probability has.
    odd = call.model_copy(update={"alternatives": ((("4", 9.0),),) * 3})
    assert "'3' 90% (or '4' 100%), '' 100% (or '4' 100%)\n" in printed(trace_tree(Trace(tmp_path, (odd,)), full=True))


@pytest.mark.parametrize(
    ("original", "shown"),
    [(None, ""), (("RGB", 4, 3), ""), (("RGBA", 4, 3), " (was 4 x 3 RGBA)"), (("RGB", 3, 4), " (was 3 x 4 RGB)")],
)
def test_what_an_image_was_is_shown_where_it_was_something_else(original, shown):
    was = original and OriginalImage(mode=original[0], width=original[1], height=original[2])
    assert before(TracedImage(source="a.png", sha256=HASH, width=4, height=3, original=was)) == shown


def test_what_was_done_to_an_image_is_shown(tmp_path):
    image = TracedImage(source="a.gif", sha256=HASH, width=4, height=3, notes=("only the first frame is used",))
    started = RunStarted(question="How many?", images=(image,), strategy="direct", seed=0)
    trace = Trace(tmp_path, (started,))
    assert "a.gif  4 x 3  sha256 0000000000000000…, only the first frame is used" in printed(trace_tree(trace))
    assert ", only the first frame is used" in traces_page([trace])


def test_a_second_look_has_its_own_answer(tmp_path):
    question = SubQuestion(id=2, text="What colour is it?", wants="phrase", depends_on=())
    steps = (question, SubAnswer(to=2, asked=question.text, value="red", raw="red", confidence=0.9))
    again = SubAnswer(to=2, asked=question.text, value="blue", raw="blue", confidence=0.8)
    calls = [
        Call(
            step=f"sub_question 2{more}",
            template="a/b",
            template_sha256=HASH,
            prompt="?",
            prompt_sha256=HASH,
            max_tokens=8,
            raw=raw,
            value=raw,
        )
        for more, raw in (("", "red"), (" again", "blue"))
    ]
    events = (StepTaken(step=steps[0]), calls[0], StepTaken(step=steps[1]), calls[1], StepTaken(step=again))
    found = nodes(Trace(tmp_path, events))
    assert [([call.raw for call in node.calls], node.answer.value) for node in found] == [
        (["red"], "red"),
        (["blue"], "blue"),
    ]


def test_what_was_left_out_is_said(tmp_path):
    image = TracedImage(source="a.png", sha256=HASH, width=4, height=3)
    started = RunStarted(question="How many?", images=(image,), strategy="direct", seed=0, settings={"system": ""})
    trace = Trace(tmp_path, (started,))
    shown = printed(trace_tree(trace.redacted(frozenset({"prompts", "images"}))))
    assert "recorded without prompts and images\n" in shown
    assert "image: [redacted]  4 x 3\n" in shown
    assert "recorded without" not in printed(trace_tree(trace))
    assert "system" not in shown


def test_an_unfinished_trace_is_said_to_be_one(tmp_path):
    shown = printed(trace_tree(Trace(tmp_path, (), torn=True)))
    assert "the last line was cut short" in shown
    assert "its end was not recorded: the run was killed, its disk was full, or it still goes on" in shown


def test_a_long_constraint_is_shown_by_its_beginning_and_length() -> None:
    short = {"kind": "regex", "pattern": "yes|no"}
    assert held_to(short, most=100) == "pattern yes|no"
    shown = held_to({"kind": "regex", "pattern": "a" * 15_000}, most=100)
    assert len(shown) < 160
    assert shown.endswith("… (15,008 characters, whole in trace.jsonl)")
