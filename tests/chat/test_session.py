import asyncio
import json
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from runs import script

from cot.chat.commands import choices
from cot.chat.event import TurnDone
from cot.chat.saved import open_saved, read
from cot.chat.store import SESSION_FILE
from cot.chat.take import take
from cot.cli.ask import load_engine
from cot.engine import ScriptedEngine
from cot.errors import EngineError
from cot.trace.read import read_trace

APPLES = "Are there more apples than cars?"


def images_asked(engine):
    return [sum(not isinstance(part, str) for part in request.messages[-1].content) for request in engine.requests]


def test_a_message_is_answered_in_steps(talk):
    chat = talk().say("red.png", APPLES)
    assert chat.words == ["[1] red.png  8 x 6"]
    assert [step.kind for step in chat.steps][-1] == "final_answer"
    assert (chat.answers, chat.turns[0].question) == (["yes"], APPLES)
    assert chat.turns[0].steps == tuple(sorted(chat.turns[0].steps, key=chat.turns[0].steps.index))


def test_an_image_waits_for_the_next_message_and_stays(talk):
    chat = talk(strategy="direct").say("red.png", "/image blue.png")
    assert [image.source for image in chat.session.conversation.waiting] == ["red.png", "blue.png"]
    chat.say("which is red?", "and the blue one?")
    assert not chat.session.conversation.waiting
    assert images_asked(chat.engines[0]) == [2, 2]
    first, second = (request.messages[-1].content for request in chat.engines[0].requests)
    assert first[:2] == second[:2], "a follow-up begins as the one before, so that its prefix is known"
    assert "and the blue one?" in second[2]


def test_without_an_image_nothing_is_asked(talk):
    chat = talk().say("What is this?")
    assert chat.errors == ["there is no image to ask about; attach one with /image PATH, or drop it here"]
    assert (chat.turns, chat.engines) == ([], [])


def test_one_bad_image_attaches_none(talk, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    chat = talk().say("red.png bad.png what?")
    assert "'bad.png' is not an image" in chat.errors[0]
    assert chat.session.images == []


@pytest.mark.parametrize("line", ["/image ''", '/image ""'])
def test_an_image_without_a_name_is_not_the_folder_stood_in(talk, line):
    assert talk().say(line).errors == ["got '' as an image; expected a path or an address"]


def test_dropping_moves_the_others_up(talk):
    chat = talk().say("red.png", "blue.png", "red.png", "/drop 1", "/images", "/drop 2")
    assert chat.words[2] == "[1] red.png is attached already"
    assert chat.words[-2] == "[1] blue.png  8 x 6  for the next message"
    assert chat.errors == ["got '2'; expected a number from 1 to 1; /images lists them"]


def test_a_retry_that_cannot_be_asked_keeps_the_turn(talk):
    chat = talk(strategy="direct").say("red.png", "what?", "/drop 1", "/retry", "/sessions")
    assert "there is no image" in chat.errors[0]
    assert [turn.question for turn in chat.turns] == ["what?"]
    assert chat.words[-1].endswith("1 message  what?  (this one)")


def test_undo_retry_and_strategy(talk):
    chat = talk().say("red.png", APPLES, "/strategy direct", "/retry")
    assert [turn.strategy for turn in chat.turns] == ["direct"]
    chat.say("/undo", "/undo")
    assert chat.turns == []
    assert chat.errors == ["nothing was asked yet; type a question first"]


def test_undo_drops_the_images_that_came_with_the_message(talk, chats):
    chat = talk(strategy="direct").say("red.png", "first?", "is blue.png like [1]?", "/retry", "third?", "/undo")
    chat.say("/save one").session.close()
    chat = talk(open_saved(chats, "one"))
    assert [image.source for image in chat.session.images] == ["red.png", "blue.png"]
    chat.say("/undo")
    assert chat.words == [
        "took back: is [2] like [1]?",
        "[2] blue.png, which came with it, is dropped; name it again to attach it",
    ]
    chat.say("/undo")
    assert ([image.source for image in chat.session.images], chat.turns) == (["red.png"], [])
    assert read(chats / "one" / SESSION_FILE).images == chat.session.conversation.images


def test_edit_asks_the_new_text_in_place_of_the_old(talk):
    given = []
    chat = talk(edit=lambda text: given.append(text) or "is it red?", strategy="direct")
    chat.say("red.png", "is it blue?", "/edit")
    assert (given, [turn.question for turn in chat.turns]) == (["is it blue?"], ["is it red?"])
    assert "needs a terminal" in talk().say("red.png", "/edit").errors[0]


def test_edit_attaches_the_images_that_the_new_text_names(talk):
    texts = iter(["is blue.png like [1]?", "red.png", "x" * 10_001])
    chat = talk(edit=lambda text: next(texts), strategy="direct").say("red.png", "is it blue?", "/edit")
    assert [image.source for image in chat.session.images] == ["red.png", "blue.png"]
    assert [(turn.question, len(turn.images)) for turn in chat.turns] == [("is [2] like [1]?", 2)]
    chat.say("/edit", "/edit")
    assert (len(chat.turns), chat.words[-2]) == (1, "[1] red.png is attached already")
    assert "more than 10,000 characters" in chat.errors[0]
    assert [image.source for image in chat.say("/undo").session.images] == ["red.png"]


def test_what_is_asked_again_is_shown_and_images_that_it_names_in_vain(talk):
    chat = talk(edit=lambda text: f"{text} [7]", strategy="direct").say("red.png", "blue.png", "is [1] like [2]?")
    assert not any("no image" in words for words in chat.words)
    chat.say("/edit")
    assert chat.words[-2:] == [
        "asking: is [1] like [2]? [7]",
        "there is no image [7]; /images lists those that are attached",
    ]
    last = [type(event).__name__ for event in chat.events[-4:]]
    assert last == ["Said", "Said", "StepDone", "TurnDone"], "before it is asked"


def test_what_is_asked_again_calls_images_by_the_numbers_that_they_have_now(talk):
    shown = []
    chat = talk(edit=shown.append, strategy="direct").say("red.png", "blue.png", "is [2] blue?", "/drop 1", "/retry")
    assert ([turn.question for turn in chat.turns], chat.errors) == (["is [1] blue?"], [])
    chat.say("red.png", "/drop 1", "/retry", "/edit")
    assert chat.errors[0].startswith("the message is about an image that was dropped: 'is [an image that was")
    assert (shown, len(chat.engines[0].requests)) == (["is [an image that was taken away] blue?"], 2)
    chat.say("blue.png", "/retry")
    assert [turn.question for turn in chat.turns] == ["is [2] blue?"]


def test_an_edit_that_leaves_in_it_what_was_dropped_is_not_asked(talk):
    chat = talk(edit=lambda text: f"{text} Really?", strategy="direct")
    chat.say("red.png", "blue.png", "is [1] red?", "/drop 1", "/edit")
    assert chat.errors[0].startswith("the message is about an image that was dropped: 'is [an image that was")
    assert len(chat.engines[0].requests) == 1


@pytest.mark.parametrize("edited", [" ", "is it blue?\n", None])
def test_an_edit_that_changes_nothing_asks_nothing(talk, edited):
    chat = talk(edit=lambda text: edited, strategy="direct").say("red.png", "is it blue?", "/edit")
    assert [turn.question for turn in chat.turns] == ["is it blue?"]
    assert len(chat.engines[0].requests) == 1
    assert chat.words[-1].startswith("nothing was changed")


def test_another_model_closes_the_one_before(talk):
    chat = talk(strategy="direct", memory="off").say("red.png", "what?", "/model other", "and?")
    first, second = chat.engines
    assert (len(first.requests), len(second.requests)) == (1, 1)
    with pytest.raises(EngineError, match="closed"):
        asyncio.run(first.complete(second.requests[0]))


def test_a_model_that_cannot_be_loaded_is_not_chosen(talk):
    def load(settings):
        if settings.model != "embedded":
            raise EngineError("no such model")
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct", memory="off").say("red.png", "what?", "/model other", "and?")
    assert chat.errors == ["no such model; model stays embedded, and the model is loaded as before"]
    assert ([turn.answered for turn in chat.turns], chat.session.settings.model) == ([True, True], "embedded")
    assert chat.session.conversation.chosen == {}


@pytest.mark.parametrize(
    ("name", "value", "before"),
    [
        ("device", "cuda:1", "auto"),
        ("quantize", "nf4", "none"),
        ("kv_memory", "9GiB", "auto"),
        ("compile", "true", False),
    ],
)
def test_a_setting_that_the_model_cannot_be_loaded_with_is_not_chosen(talk, name, value, before):
    def load(settings):
        if getattr(settings, name) != before:
            raise EngineError("cannot be")
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct", memory="off").say("red.png", "what?", f"/set {name} {value}", "and?")
    assert chat.errors == [f"cannot be; {name} stays {before}, and the model is loaded as before"]
    assert ([turn.answered for turn in chat.turns], getattr(chat.session.settings, name)) == ([True, True], before)
    assert chat.session.conversation.chosen == {}


def test_two_wrong_settings_can_be_mended_one_after_the_other(talk):
    def load(settings):
        if settings.quantize == "nf4":
            raise EngineError("needs CUDA")
        if settings.model == "typo":
            raise EngineError("no such model")
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct", model="typo", quantize="nf4").say("red.png", "what?")
    chat.say("/set quantize none", "/model embedded", "what?")
    assert (chat.session.settings.quantize, chat.session.settings.model) == ("none", "embedded")
    assert (chat.turns[-1].answered, chat.errors) == (True, [])
    assert "no such model" in chat.words


@pytest.mark.parametrize("line", ["/model other", "/set model other"])
def test_a_model_that_cannot_be_loaded_is_not_chosen_before_the_first_question_either(talk, line):
    def load(settings):
        raise EngineError("no such model")

    chat = talk(load=load).say(line)
    assert (chat.errors[0].startswith("no such model; model stays"), chat.session.conversation.chosen) == (True, {})


def test_a_password_in_the_address_of_a_server_is_not_kept(talk, chats):
    address = "http://me:S3CRET@127.0.0.1:9/v1"
    with pytest.raises(EngineError, match="was given with a user name, a password or a query"):
        talk(model=address)

    def load(settings):
        raise EngineError("no such model")

    chat = talk(load=load, model="typo").say("red.png", "what?", f"/model {address}", f"/set model {address}")
    assert ["server 'http://127.0.0.1:9/v1' was given with a user name" in error for error in chat.errors] == [True] * 2
    assert (chat.session.settings.model, chat.session.conversation.chosen) == ("typo", {})
    chat.session.close()
    assert not any(b"S3CRET" in path.read_bytes() for path in chats.rglob("*.jsonl"))


def test_giving_up_on_a_model_keeps_the_one_before(talk):
    go_on = threading.Event()

    def load(settings):
        assert settings.model == "embedded" or go_on.wait(20)
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct", memory="off").say("red.png")

    async def give_up():
        task = asyncio.create_task(take(chat.session, "/model other"))
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    asyncio.run(give_up())
    go_on.set()
    assert (chat.words[-1], chat.session.settings.model) == ("interrupted", "embedded")
    assert [turn.answered for turn in chat.say("and?").turns] == [True]


def test_a_model_that_takes_long_is_loaded_while_the_user_types(talk, monkeypatch):
    monkeypatch.setattr(choices, "SOON_SECONDS", 0.1)
    go_on = threading.Event()

    def load(settings):
        assert settings.model == "embedded" or go_on.wait(20)
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct", memory="off").say("red.png", "what?", "/model other")
    assert chat.words[-1] == "model: other, being loaded"
    go_on.set()
    assert [turn.answered for turn in chat.say("and?").turns] == [True, True]


def test_that_a_model_waits_for_one_that_is_being_loaded_is_said(talk, monkeypatch):
    monkeypatch.setattr(choices, "SOON_SECONDS", 0.1)
    go_on = threading.Event()

    def load(settings):
        assert go_on.wait(20)
        return ScriptedEngine(["red"])

    chat = talk(load=load)
    chat.session.load()
    chat.say("/model embedded", "/model other")
    go_on.set()
    waits = "the model embedded is still being loaded; this waits for that to end"
    assert chat.words == ["model: embedded, being loaded", waits, "model: other, being loaded"]


def test_a_model_that_cannot_be_loaded_ends_the_turn_and_not_the_chat(talk):
    broken = [True]

    def load(settings):
        if broken.pop() if broken else False:
            raise EngineError("no such model; expected another")
        return ScriptedEngine(["red"])

    chat = talk(load=load, strategy="direct").say("red.png", "what colour?")
    assert (chat.turns[0].stop_reason, chat.turns[0].notes) == ("error", ("no such model; expected another",))
    chat.say("/retry")
    assert (len(chat.turns), chat.answers) == (1, ["red"])


def test_a_message_that_ends_before_anything_is_recorded_names_no_trace(talk, tmp_path):
    (tmp_path / "mine.json").write_text("no calibration")
    chat = talk(strategy="direct").say("red.png", "/set calibration mine.json", "what colour?", "/trace")
    assert (chat.turns[0].stop_reason, chat.turns[0].trace) == ("error", None)
    assert chat.errors == ["the last message has no trace: it ended before the model was asked; see /retry"]


def interrupted(chat, line):
    async def talk_and_stop():
        task = asyncio.create_task(take(chat.session, line))
        while not any(step.kind == "sub_question" for step in chat.steps):
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    asyncio.run(talk_and_stop())


def test_an_interrupted_answer_keeps_what_was_said(talk):
    class Stuck(ScriptedEngine):
        async def complete(self, request):
            if len(self.requests) == 1:
                await asyncio.sleep(60)
            return await super().complete(request)

    chat = talk(load=lambda settings: Stuck(script())).say("red.png")
    interrupted(chat, APPLES)
    turn = chat.turns[0]
    assert (turn.stop_reason, turn.answer, turn.question) == ("cancelled", None, APPLES)
    assert turn.steps
    assert turn.steps[0].kind == "sub_question"
    assert isinstance(chat.events[-1], TurnDone)
    told = read_trace(Path(turn.trace)).finished.measured
    assert (turn.usage, turn.seconds, turn.usage["calls"]) == (told.usage, told.seconds["total"], 1)
    chat.say("/stats")
    assert chat.words[-3].startswith("1 message, 0 answered, 1 calls to the model")
    assert chat.words[-2].startswith("50 prompt tokens (10 cached, 16 of images)")
    chat.say("/strategy direct", "/set max_seconds 1", "red.png", "/undo")
    assert chat.turns == []


def test_an_attempt_that_is_interrupted_leaves_the_answer_before(talk, chats):
    class Stuck(ScriptedEngine):
        async def complete(self, request):
            if len(self.requests) == 4:
                await asyncio.sleep(60)
            return await super().complete(request)

    chat = talk(load=lambda settings: Stuck(script())).say("red.png", "/save one", APPLES)
    before = list(chat.turns)
    chat.events.clear()
    interrupted(chat, "/retry")
    assert (chat.turns, chat.words[-1]) == (before, "the answer before stays")
    assert read(chats / "one" / SESSION_FILE).turns == before


def test_an_attempt_that_fails_leaves_the_answer_before(talk):
    replies = iter(["red", EngineError("broken"), EngineError("broken"), "blue", EngineError("broken")])
    chat = talk(replies=lambda request: next(replies), edit=lambda text: "and?", strategy="direct", memory="off")
    chat.say("red.png", "what?", "/retry", "/edit")
    assert [(turn.question, turn.answer.text) for turn in chat.turns] == [("what?", "red")]
    assert chat.words.count("the answer before stays") == 2
    chat.say("/edit")
    assert [(turn.question, turn.answer.text) for turn in chat.turns] == [("and?", "blue")]
    chat.say("what?", "/undo")
    assert (len(chat.turns), chat.words.count("the answer before stays")) == (1, 2), "a new message replaces none"


def test_an_edit_that_fails_leaves_no_image_of_its_own(talk, chats):
    replies = iter(["red", EngineError("broken"), "blue"])
    chat = talk(replies=lambda request: next(replies), edit=lambda text: "is [1] like blue.png?", strategy="direct")
    chat.say("red.png", "what?", "/save one", "/edit")
    dropped = "[2] blue.png, which came with it, is dropped; name it again to attach it"
    assert chat.words[-2:] == ["the answer before stays", dropped]
    assert [image.source for image in chat.session.images] == ["red.png"]
    assert read(chats / "one" / SESSION_FILE).images == chat.session.conversation.images
    assert [len(turn.images) for turn in chat.say("/edit").turns] == [2]


def test_an_edit_that_fails_drops_again_what_was_dropped_before(talk):
    replies = iter(["red", EngineError("broken")])
    chat = talk(replies=lambda request: next(replies), edit=lambda text: "is [1] like blue.png?", strategy="direct")
    chat.say("red.png blue.png what?", "/drop 2", "/edit")
    assert [image.source for image in chat.session.images] == ["red.png"]


def test_a_message_that_is_refused_leaves_no_image(talk):
    chat = talk().say("red.png", "is blue.png a caf\udce9?")
    assert "not UTF-8" in chat.errors[0]
    assert [image.source for image in chat.session.images] == ["red.png"]


def test_export(talk, tmp_path):
    chat = talk(replies=["[x](y) \x1b[31m<b>"], strategy="direct").say("red.png", "what # is it?")
    chat.say("/export chat.json", "/export chat.md", "/export chat.md", "/export chat.txt")
    found = json.loads((tmp_path / "chat.json").read_text())
    assert (found["images"][0]["source"], found["turns"][0]["question"]) == ("red.png", "what # is it?")
    text = (tmp_path / "chat.md").read_text()
    assert r"## what \# is it?" in text
    assert r"\<b\>" in text
    assert "\x1b" not in text
    assert "exists already" in chat.errors[0]
    assert "ends with .md, .json or .html" in chat.errors[1]


@pytest.mark.skipif(sys.platform == "win32", reason="needs bounds on the size of files")
def test_an_export_that_finds_no_room_leaves_no_half_of_it(talk, tmp_path):
    import resource

    chat = talk(strategy="direct").say("red.png", "what is it?")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        chat.say("/export chat.md")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert chat.errors == ["cannot write 'chat.md': File too large; choose another place"]
    assert not (tmp_path / "chat.md").exists()


def test_an_export_says_which_images_a_question_was_asked_about(talk, tmp_path):
    chat = talk(strategy="direct").say("red.png", "first?", "blue.png", "second?", "third?", "/drop 1", "fourth?")
    chat.say("/drop 1", "/export chat.md", "/export chat.html")
    markdown, page = ((tmp_path / name).read_text() for name in ("chat.md", "chat.html"))
    listed = [line for line in markdown.splitlines() if line.startswith(("#", "images", "- \\["))]
    here, red, blue = "images from here on:", r"- \[{}\] red.png (8 x 6)", r"- \[{}\] blue.png (8 x 6)"
    assert listed[1:] == [
        *(here, red.format(1), "## first?"),
        *(here, red.format(1), blue.format(2), "## second?", "## third?"),
        *(here, blue.format(1), "## fourth?", f"{here} none"),
    ]
    texts = ("[1] red.png <", "<h2>first?", "[2] blue.png <", "<h2>second?", "<h2>third?", "[1] blue.png <", "on: none")
    assert [page.index(text) for text in texts] == sorted(page.index(text) for text in texts)
    assert page.count(here) == 4
    assert "\n**yes** 90%\n" in markdown


def test_text_that_no_model_can_take_is_refused(talk):
    chat = talk().say("red.png", "x" * 10_001, "\udcff?")
    assert "more than 10,000 characters" in chat.errors[0]
    assert "not UTF-8" in chat.errors[1]


@pytest.mark.slow
def test_a_second_question_about_an_image_reads_most_of_its_prompt_from_memory(talk):
    chat = talk(load=load_engine, strategy="direct").say("red.png", "How many cats are there?", "Is there a dog?")
    first, second = (turn.usage for turn in chat.turns)
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] > second["prompt_tokens"] / 2


def test_paste(talk, tmp_path, monkeypatch):
    def paste(what):
        def grab():
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr("PIL.ImageGrab.grabclipboard", grab)
        return talk().say("/paste")

    assert paste(Image.new("RGBA", (5, 4), "green")).words[0].startswith("[1] clipboard  5 x 4")
    assert paste([str(tmp_path / "red.png")]).words == [f"[1] {tmp_path / 'red.png'}  8 x 6"]
    assert paste(None).errors == ["the clipboard holds no image; copy one first, or name a file"]
    missing = NotImplementedError("wl-paste or xclip is required for ImageGrab.grabclipboard() on Linux")
    assert paste(missing).errors[0].startswith("the clipboard cannot be read: wl-paste or xclip is required")
    bomb = Image.DecompressionBombError("Image size (196000000 pixels) exceeds limit of 178956970 pixels")
    assert paste(bomb).errors[0].startswith("the clipboard cannot be read: Image size (196000000 pixels) exceeds")


def test_a_page_of_the_conversation_is_harmless_and_whole(talk, tmp_path):
    hostile = "<script>alert(1)</script>\x1b[2J\u202e"
    chat = talk(replies=[hostile], strategy="direct").say("red.png", "what </h2> is it?", "/export chat.html")
    page = (tmp_path / "chat.html").read_text()
    assert "<script" not in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert "what &lt;/h2&gt; is it?" in page
    assert page.count("data:image/png;base64,") == 1
    assert "default-src &#39;none&#39;" in page
    assert not chat.errors
