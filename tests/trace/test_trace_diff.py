import dataclasses
import html
import io
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from runs import PLAN, recorded, script

from cot.errors import TraceError
from cot.step import ToolUse
from cot.trace.diff import MAX_LINES, Change, diff_traces, line_changes
from cot.trace.event import Note, StepTaken
from cot.trace.page import diff_page
from cot.trace.read import Trace, read
from cot.trace.show_diff import diff_lines
from cot.trace.tree import nodes, regions

MORE = {"How many apples": "0", "How many cars": "1"}


def printed(diff, width=80):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(diff_lines(diff))
    return console.file.getvalue()


def test_sub_questions_hold_their_calls_and_answers(tmp_path):
    found = nodes(read(recorded(tmp_path)))
    assert [node.kind for node in found] == [
        "call", "sub_question", "sub_question", "reasoning", "tool_use", "summary", "final_answer",
    ]  # fmt: skip
    assert [(node.number, len(node.calls), node.answer.value) for node in found[1:3]] == [(1, 1, 3), (2, 1, 1)]


def test_equal_runs_do_not_differ(tmp_path):
    diff = diff_traces(read(recorded(tmp_path / "a")), read(recorded(tmp_path / "b")))
    assert diff.same_steps
    assert not diff.setup
    assert {pair.side for pair in diff.pairs} == {"same"}


def test_a_changed_answer_is_followed_to_its_step(tmp_path):
    diff = diff_traces(read(recorded(tmp_path)), read(recorded(tmp_path, script(answers=MORE))))
    assert not diff.same_steps
    changed = {pair.title: {c.name: (c.a, c.b) for c in pair.changes} for pair in diff.pairs if pair.side == "changed"}
    assert changed["#1 How many apples are there?"] == {"said": ("3", "0"), "value": ("3", "0")}
    assert changed["calculate #1 > #2"] == {"#1": ("3", "0"), "result": ("yes", "no")}
    assert [(c.name, c.a, c.b) for c in diff.outcome] == [("answer", "yes", "no")]
    shown = printed(diff)
    assert "~ #1 How many apples are there?" in shown
    assert "value: 3 → 0" in shown
    assert "= #2 How many cars are there?" in shown
    assert "ended differently" in shown


@pytest.mark.parametrize(
    ("said", "shown"), [("yes \n", r"'yes' → 'yes \n'"), ("ye\u200bs", r"'yes' → 'ye\u200bs'"), ("no", "yes → no")]
)
def test_what_nobody_sees_is_written_out(tmp_path, said, shown):
    a, b = (read(recorded(tmp_path, script(direct=reply), strategy="direct")) for reply in ("yes", said))
    diff = diff_traces(a, b)
    assert f"    said: {shown}\n" in printed(diff)
    assert shown in html.unescape(re.sub("<[^>]*>", "", diff_page(diff)))


def test_a_reworded_sub_question_stays_beside_the_old_one(tmp_path):
    plan = PLAN.replace("cars are", "red cars are")
    other = recorded(tmp_path, script(plan=plan, answers={"How many apples": "3", "How many red": "1"}))
    diff = diff_traces(read(recorded(tmp_path)), read(other))
    (pair,) = [pair for pair in diff.pairs if pair.title.startswith("#2")]
    assert pair.side == "changed"
    assert {"question", "prompt"} == {change.name for change in pair.changes}
    assert "      + How many red cars are there?" in printed(diff)


def test_strategies_compare(tmp_path):
    diff = diff_traces(read(recorded(tmp_path)), read(recorded(tmp_path, strategy="direct")))
    assert [(c.name, c.a, c.b) for c in diff.setup] == [("strategy", "decompose", "direct")]
    assert {pair.side for pair in diff.pairs} == {"only_a", "only_b", "changed"}
    shown = printed(diff)
    assert "- #1 How many apples" in shown
    assert "+ answer" in shown
    assert shown.startswith("Are there more apples than cars?\n- ")
    assert re.search("^[+] [0-9a-f-]+  direct: yes$", shown, re.MULTILINE)
    assert re.search("^  calls +3 +1$", shown, re.MULTILINE)
    assert "    said: 1. [count] How many apples are there?\n      2. [count] How many cars are there?\n" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_wrapped_goes_on_below_itself(tmp_path):
    plan = PLAN.replace("cars are", "cars of a colour that nobody could mistake for that of any of the apples are")
    answers = {"How many apples": "3", "How many cars": "1"}
    diff = diff_traces(read(recorded(tmp_path)), read(recorded(tmp_path, script(plan=plan, answers=answers))))
    shown = printed(diff)
    assert max(map(len, shown.splitlines())) <= 80
    assert (
        "      + How many cars of a colour that nobody could mistake for that of any of\n"
        "        the apples are there?\n"
    ) in shown


@pytest.mark.parametrize("what", ["prompts", "images", "all"])
def test_what_was_left_out_is_not_compared(tmp_path, what):
    whole = read(recorded(tmp_path))
    without = whole.redacted(frozenset({what}))
    other = read(recorded(tmp_path, script(answers=MORE))).redacted(frozenset({what}))
    diff = diff_traces(whole, without)
    assert (diff.setup, diff.outcome, {pair.side for pair in diff.pairs}) == ((), (), {"same"})
    words = {"all": "prompts, images and answers"}.get(what, what)
    shown = printed(diff)
    assert f"  recorded without {words}: not compared\n" in shown
    assert "ended alike, as far as it was recorded" in shown
    assert f"B was recorded without {words}: not compared" in diff_page(diff)
    # What was kept is compared all the same.
    assert ("value: 3 → 0" in printed(diff_traces(whole, other))) == (what != "all")


def test_what_was_cut_short_is_said(tmp_path):
    whole = read(recorded(tmp_path))
    torn = dataclasses.replace(whole, events=whole.events[:3], torn=True)
    diff = diff_traces(torn, whole)
    assert "  its last line was cut short, and is left out\n+ " in printed(diff)
    assert "The last line of A was cut short" in diff_page(diff)
    nothing = diff_traces(whole, dataclasses.replace(whole, events=()))
    assert nothing.setup == ()
    assert re.search("^[+] .*  without a beginning: no answer$", printed(nothing), re.MULTILINE)


def test_a_page_names_runs_that_were_named_by_the_folder_one_stands_in(tmp_path, monkeypatch):
    a, b = recorded(tmp_path), recorded(tmp_path)
    monkeypatch.chdir(a.parent)
    page = diff_page(diff_traces(read("."), read("../" + b.parent.name)))
    assert f"A: {a.parent.name}<" in page
    assert f"B: {b.parent.name}<" in page


def test_a_model_may_say_that_something_is_redacted(tmp_path):
    said = read(recorded(tmp_path, script(direct="[redacted]"), strategy="direct"))
    assert not diff_traces(read(recorded(tmp_path, strategy="direct")), said).same_steps


def test_a_changed_template_is_said_of_the_setup(tmp_path):
    a, b = read(recorded(tmp_path)), read(recorded(tmp_path, strategy="direct"))
    templates = b.started.templates | {"direct/answer": "f" * 64}
    events = (b.started.model_copy(update={"templates": templates}), *b.events[1:])
    diff = diff_traces(a, dataclasses.replace(b, events=events))
    was = a.started.templates["direct/answer"][:16]
    assert [(c.name, c.a, c.b) for c in diff.setup][1:] == [("template direct/answer", was, "f" * 16)]


def test_lines_are_set_beside_each_other():
    def changed(a, b):
        return list(line_changes(Change("prompt", a, b)))

    assert changed("a\nb\nc", "a\nx\nc") == [(" ", "a"), ("-", "b"), ("+", "x"), (" ", "c")]
    assert changed("", "a") == [("+", "a")]
    # Two prompts of so many lines, each a little different, must not take minutes.
    long = [[f"line {number} of a prompt that is {word}" for number in range(MAX_LINES + 5)] for word in ("a", "b")]
    found = changed(*("\n".join([*lines[:9], "same", *lines[9:]]) for lines in long))
    assert (len(found), found.count((" ", "same"))) == (2 * MAX_LINES - 1 + 2, 1)
    assert found[-2:] == [("-", "… and 6 more lines"), ("+", "… and 6 more lines")]


def test_lines_that_a_long_prompt_has_often_are_the_same_too():
    a, b = (
        "\n".join(text for number in range(200) for text in (f"{name}{number}", "", "Answer:")) for name in ("a", "b")
    )
    found = Counter(mark for mark, _ in line_changes(Change("prompt", a, b)))
    assert found == {" ": 400, "-": 200, "+": 200}


def test_traces_of_too_many_steps_are_refused(tmp_path, monkeypatch):
    trace = read(recorded(tmp_path))
    monkeypatch.setattr("cot.trace.diff.MAX_PAIRS", 48)
    with pytest.raises(TraceError, match="got traces of 7 and 7 steps"):
        diff_traces(trace, trace)


def noted(*texts):
    return Trace(Path(), tuple(Note(text=text) for text in texts))


def test_as_many_steps_as_can_be_are_set_beside_each_other():
    def aligned(a, b):
        pairs = diff_traces(noted(*a), noted(*b)).pairs
        return "".join({"same": "=", "only_a": "-", "only_b": "+"}[pair.side] + pair.title for pair in pairs)

    assert aligned("pqxaybzc", "abcpq") == "-p-q-x=a-y=b-z=c+p+q"
    assert aligned("abcpq", "pqxaybzc") == "+p+q+x=a+y=b+z=c-p-q"
    # Equal steps between others must not take minutes.
    long = [[text for number in range(2500) for text in (f"{name}{number}", "same")] for name in "ab"]
    sides = Counter(pair.side for pair in diff_traces(noted(*long[0]), noted(*long[1])).pairs)
    assert sides == {"same": 2500, "only_a": 2500, "only_b": 2500}


def test_hostile_text_is_shown_as_text(tmp_path):
    hostile = "\x1b[31mred\u202e[bold]x[/bold]"
    diff = diff_traces(
        read(recorded(tmp_path, text=hostile)), read(recorded(tmp_path, script(direct=hostile), strategy="direct"))
    )
    shown = printed(diff)
    assert not set(shown) & set("\x1b\u202e")
    assert "[bold]x[/bold]" in shown


def test_regions_are_four_numbers_in_order(tmp_path):
    trace = read(recorded(tmp_path))
    assert not list(regions(trace))
    text = (
        trace.path.read_text()
        .replace('"wants":"count"', '"wants":"region"')
        .replace('"value":3,', '"value":"1 2 30 40",')
    )
    trace.path.write_text(text)
    assert list(regions(read(trace.path))) == [("#1", (1.0, 2.0, 30.0, 40.0), ())]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"left": 0.1, "top": 0.25, "right": 1 / 3, "bottom": 1}, [(0.1, 0.25, 1 / 3, 1.0)]),
        ({"region": "1, 2, 30.5, 40"}, [(1.0, 2.0, 30.5, 40.0)]),
        ({"region": f"0 0 {1 / 3!r} 1"}, [(0.0, 0.0, 1 / 3, 1.0)]),
        ({"left": 0.5, "top": 0, "right": 0.1, "bottom": 1}, []),
        ({"left": 0, "top": 0, "right": 10**400, "bottom": 1e300}, []),
        ({"left": "0", "top": None, "right": True, "bottom": 1}, []),
        ({"left": 0, "top": 0, "right": 1}, []),
    ],
)
def test_regions_that_tools_are_told(tmp_path, arguments, found):
    step = ToolUse(name="zoom", arguments=arguments, result="x")
    assert [(name, box) for name, box, _ in regions(Trace(tmp_path, (StepTaken(step=step),)))] == [
        ("zoom", box) for box in found
    ]
