import pytest

from cot.chat.command import COMMANDS
from cot.chat.event import TraceOpened
from cot.errors import EngineError
from cot.settings import NAMES

APPLES = "Are there more apples than cars?"


def test_settings_are_checked(talk):
    chat = talk().say(
        "/set max_steps \t 7", "/set max_steps x", "/set max_stpes 7", "/set max_stpes", "/strategy guess"
    )
    assert chat.session.settings.max_steps == 7
    parts = ("got 'x'", *["did you mean 'max_steps'"] * 2, "known: direct")
    assert [part in error for part, error in zip(parts, chat.errors, strict=True)] == [True] * 4


def test_settings_are_shown(talk):
    chat = talk(seed=7).say("/set seed", "/set")
    assert chat.words == ["seed = 7", *(f"{name} = {getattr(chat.session.settings, name)}" for name in NAMES)]
    assert chat.session.conversation.chosen == {}


def test_unknown_commands_name_the_nearest(talk):
    assert talk().say("/imges").errors == ["unknown command '/imges', did you mean /images?; /help lists them all"]
    assert talk().say("/HELP").errors == ["unknown command '/HELP', did you mean /help?; /help lists them all"]
    assert "did you mean /strategy?; /help" in talk().say("/strat").errors[0]
    assert "did you mean /strategy or /steps or /stats?; /help" in talk().say("/st").errors[0]
    assert talk().say("/").errors == ["unknown command '/'; /help lists them all"]
    assert talk().say("/drop").errors == ["/drop needs more; expected: /drop N"]


def test_what_a_command_cannot_take_is_refused(talk):
    chat = talk(strategy="direct").say("red.png", "what?", "/undo 2", "/images blue.png", "/exit now")
    assert chat.errors == [
        "/undo takes nothing more, got '2'; expected: /undo",
        "/images takes nothing more, got 'blue.png'; expected: /images",
        "/exit takes nothing more, got 'now'; expected: /quit",
    ]
    assert (len(chat.turns), chat.session.leaving) == (1, False)


def test_what_is_chosen_among_names_is_told_with_the_names(talk):
    chat = talk(strategy="direct").say("/strategy", "/ask-mode", "/steps brief", "/steps", "/model")
    known = "strategy: direct; known: direct, decompose, cot, vote, verify, route"
    last = [
        "steps: brief",
        "steps: brief; known: full, brief, off",
        "model: embedded; name another one with /model NAME",
    ]
    assert chat.words == [known, known, *last]
    assert not chat.engines


def test_names_that_other_tools_have(talk):
    chat = talk().say("/ask-mode direct", "/set\tseed 7", "/bye")
    assert (chat.session.settings.strategy, chat.session.settings.seed, chat.session.leaving) == ("direct", 7, True)


ODD = (
    *("9" * 5000, "-1", "²", "\udcff", "a\x00b.md", "~nobody-at-all/x.md", "'", "\\", "x" * 5000, "[", "file://"),
    *("http://[", "loop.png", "max_seconds nan", "templates =", "a=b", "../..", "\x1b[2J", "red.png gone.png"),
    *("~\0a.png", "~\0*.png", "~\0a.md"),
)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("quit", "edit")])
def test_odd_arguments_are_told_and_never_end_the_chat(talk, tmp_path, command):
    (tmp_path / "loop.png").symlink_to("loop.png")
    chat = talk(strategy="direct").say("red.png", "what?")
    for argument in ODD:
        before = len(chat.events)
        chat.say(f"/{command} {argument}")
        assert len(chat.events) > before, argument


def test_what_was_taken_back_was_paid_for(talk):
    chat = talk(replies=["one", "two", EngineError("gone"), "three"], strategy="direct").say("red.png", "how many?")
    chat.say("/retry", "/retry", "/stats")
    assert chat.words[-3].startswith("1 message, 2 taken back, 1 answered, 2 calls to the model")
    chat.say("/undo", "/stats")
    assert chat.words[-3].startswith("0 messages, 3 taken back, 0 answered, 2 calls to the model")


def test_trace_stats_and_help(talk):
    chat = talk().say("red.png", APPLES, "/trace", "/stats", "/help")
    (shown,) = [event.trace for event in chat.events if isinstance(event, TraceOpened)]
    assert shown.started.question == APPLES
    assert any(words.startswith("1 message, 1 answered, 3 calls to the model") for words in chat.words)
    assert any(words.startswith("150 prompt tokens (30 cached, 48 of images)") for words in chat.words)
    assert any(words.startswith("/export FILE") for words in chat.words)


def test_stats_tell_the_context(talk):
    assert "longest prompt with its answer: " in talk().say("red.png", APPLES, "/stats").words[-1]


def test_a_system_message_goes_before_every_prompt(talk):
    chat = talk(strategy="direct").say("red.png", "/system", "/system Be brief.", "what?", "/set  system  off", "and?")
    roles = [[message.role for message in request.messages] for request in chat.engines[0].requests]
    assert roles == [["system", "user"], ["user"]]
    assert chat.words[1:4:2] == ["system message: none", "system message: none"]


def test_a_step_is_asked_with_another_template(talk, tmp_path):
    head = "name: my/answer\ndescription: d\ninputs: {question: {kind: text}, choices: {kind: list}}"
    source = f"---\n{head}\n---\nTell: {{{{ question }}}}"
    (tmp_path / "prompts" / "my").mkdir(parents=True)
    (tmp_path / "prompts" / "my" / "answer.jinja").write_text(source)
    chat = talk(strategy="direct").say("red.png", "/template direct/answer my/answer", "/template", "what?")
    assert "direct/answer -> my/answer  project, en" in chat.words
    assert "decompose/plan  shipped, en" in chat.words
    chat.say(
        "/template direct/answer", "and?", "/template direct/answer decompose/plan", "/template direct/anser my/answer"
    )
    texts = [request.messages[-1].content[-1] for request in chat.engines[0].requests]
    assert texts == ["Tell: what?", "and?\nAnswer briefly."]
    assert "decompose/plan cannot stand in place of direct/answer: its output is plan, expected text" in chat.errors[0]
    assert "did you mean 'direct/answer'" in chat.errors[1]


@pytest.mark.parametrize("name", ["nonsense", "no/nonsense"])
def test_a_template_that_there_is_not_is_told_with_those_that_there_are(talk, name):
    chat = talk().say(f"/template direct/answer {name}")
    assert chat.errors[0].startswith(f"no template '{name}'; known: chat/follow_up, ")
    assert chat.session.conversation.chosen == {}
