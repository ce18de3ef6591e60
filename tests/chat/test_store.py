import errno
import json
import subprocess
import sys

import pytest
from PIL import Image

from cot.chat import store
from cot.chat.saved import list_saved, open_saved, read
from cot.chat.store import SESSION_FILE, Store
from cot.errors import EngineError, UsageError
from cot.image import ImageLimits, Original, load_image
from cot.trace.images import image_path


def test_looking_in_leaves_nothing(talk, chats):
    talk().say("/help", "/images").session.close()
    assert not chats.exists()


def test_a_saved_conversation_goes_on(talk, chats):
    first = talk(strategy="direct").say("red.png", "what?", "/strategy cot", "/save holiday", "blue.png")
    first.session.close()
    second = talk(open_saved(chats, None), strategy="direct")
    assert second.turns == first.turns
    assert [image.source for image in second.session.images] == ["red.png", "blue.png"]
    assert second.session.conversation.chosen == {"strategy": "cot"}
    second.say("and?")
    assert [len(turn.images) for turn in second.turns] == [1, 2]
    assert read(chats / "holiday" / SESSION_FILE).turns == second.turns


def test_every_event_is_on_disk_at_once(talk, chats):
    chat = talk(strategy="direct")
    seen = []

    def look(event):
        (path,) = chats.glob(f"*/{SESSION_FILE}")
        seen.append(read(path).turns == chat.turns)

    chat.session.emit = look
    chat.say("red.png", "what?")
    assert seen == [True, True, True, True]


@pytest.mark.parametrize("lines", range(2, 6))
def test_a_killed_process_loses_nothing_before(talk, chats, lines):
    talk(strategy="direct").say("red.png", "what?", "and?").session.close()
    (path,) = chats.glob(f"*/{SESSION_FILE}")
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:lines]) + whole[lines][:20])
    chat = talk(open_saved(chats, None), strategy="direct")
    ends = ["answered"] if lines == 5 else ["cancelled"] if lines > 2 else []
    assert [turn.stop_reason for turn in chat.turns] == ends
    chat.say("once more?")
    chat.session.close()
    assert [turn.question for turn in read(path).turns][-1] == "once more?"


def test_names(talk, chats):
    chat = talk(strategy="direct").say("red.png", "/save a/b", "/save ..", "/save one", "/save one")
    assert ["expected letters" in error for error in chat.errors] == [True, True]
    other = talk().say("blue.png", "/save one")
    assert other.errors == ["there is a conversation 'one' already; choose another name"]
    with pytest.raises(UsageError, match="is open in another process"):
        open_saved(chats, "one")
    with pytest.raises(UsageError, match=r"there is no conversation 'two'; known: .*one"):
        open_saved(chats, "two")


def test_a_conversation_has_one_process_also_if_both_open_it_at_once(talk, chats):
    talk().say("red.png", "/save one").session.close()
    first, second = Store(chats, "one"), Store(chats, "one")
    first.hold()
    with pytest.raises(UsageError, match="'one' is open in another process"):
        second.hold()
    first.close()


def test_a_name_holds_before_anything_was_said(talk, chats):
    talk().say("/save empty").session.close()
    store, conversation, _ = open_saved(chats, "empty")
    store.close()
    assert conversation.turns == []


def test_a_conversation_that_may_not_be_read_is_told(talk, chats, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied")

    talk().say("red.png", "/save one").session.close()
    chat = talk()
    monkeypatch.setattr("os.open", deny)
    chat.say("/load one")
    path = chats / "one" / SESSION_FILE
    assert chat.errors == [f"cannot read {str(path)!r}: Permission denied; check the file's permissions"]


def test_another_conversation_in_the_midst_of_one(talk, chats):
    talk(strategy="direct").say("red.png", "what?", "/strategy cot", "/save one").session.close()
    chat = talk(strategy="direct").say("blue.png", "/save two", "/load one", "/load one", "/load none")
    assert [image.source for image in chat.session.images] == ["red.png"]
    assert (chat.turns[0].question, chat.session.settings.strategy) == ("what?", "cot")
    assert "is this conversation" in chat.errors[0]
    assert "there is no conversation 'none'" in chat.errors[1]
    chat.say("/load two")
    assert chat.session.settings.strategy == "direct", "what was chosen in one conversation does not hold in another"


def test_what_was_chosen_and_is_gone_does_not_keep_from_going_on(talk, chats):
    talk(strategy="direct").say("red.png", "what?", "/set seed 7", "/strategy cot", "/save one").session.close()
    path = chats / "one" / SESSION_FILE
    path.write_text(path.read_text().replace('"value": "cot"', '"value": "my_own"'))
    chat = talk(open_saved(chats, "one"), strategy="direct")
    assert (chat.session.settings.seed, chat.session.settings.strategy, len(chat.turns)) == (7, "direct", 1)
    assert "strategy is not set as it was in this conversation: unknown strategy 'my_own'" in chat.words[0]


@pytest.mark.parametrize("line", ["/model runs/mine", "/set model runs/mine"])
def test_a_folder_that_was_chosen_as_model_is_the_same_from_elsewhere(talk, chats, tmp_path, monkeypatch, line):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    chat = talk(strategy="direct").say("red.png", "/model org/mine", line, "/save one")
    assert chat.words[-3:-1] == ["model: org/mine", f"model: {tmp_path / 'runs' / 'mine'}"]
    chat.session.close()
    monkeypatch.chdir(tmp_path / "runs")
    assert talk(open_saved(chats, "one")).session.settings.model == str(tmp_path / "runs" / "mine")


def test_templates_that_are_there_in_one_language_only_hold_again(talk, chats, tmp_path):
    head = "description: d\ninputs: {question: {kind: text}, choices: {kind: list}}"
    for folder, name in ((".", "my"), ("zh", "own")):
        path = tmp_path / "prompts" / folder / name / "answer.jinja"
        path.parent.mkdir(parents=True)
        path.write_text(f"---\nname: {name}/answer\n{head}\n---\nTell: {{{{ question }}}}")
    lines = ("/template direct/answer my/answer", "/set language zh", "/template direct/answer own/answer")
    chat = talk(strategy="direct").say("red.png", *lines, "/set language zh", "/save one")
    assert not chat.errors
    chat.session.close()
    settings = talk(open_saved(chats, "one"), strategy="direct").session.settings
    assert (settings.language, settings.templates) == ("zh", "direct/answer=own/answer")


def test_a_retry_replaces_the_turn_in_one_write(talk, chats):
    chat = talk(strategy="direct").say("red.png", "what?")
    written = []
    append = chat.session.store.append
    chat.session.store.append = lambda *events: (written.append([event.event for event in events]), append(*events))
    chat.say("/retry")
    assert written[0] == ["undone", "asked"]
    assert len(chat.turns) == 1


@pytest.mark.parametrize("line", ["/retry", "/edit"])
def test_a_process_that_is_killed_in_a_retry_leaves_the_answer_before(talk, chats, line):
    chat = talk(strategy="direct", edit=lambda text: "and blue.png?").say("red.png", "what?", "/save one")
    before = list(chat.turns)
    chat.say(line).session.close()
    path = chats / "one" / SESSION_FILE
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    chat = talk(open_saved(chats, "one"), strategy="direct")
    assert (chat.turns, "the answer before stays" in chat.words[0]) == (before, True)
    assert [image.source for image in chat.session.images] == ["red.png"]
    chat.say("and then?").session.close()
    assert [image.source for image in read(path).images] == ["red.png"]
    assert [turn.question for turn in read(path).turns] == ["what?", "and then?"]
    assert [turn.stop_reason for turn in read(path).undone] == ["cancelled"]


def test_what_was_taken_back_before_a_message_that_a_process_was_killed_in_stays_so(talk, chats):
    talk(strategy="direct").say("red.png", "what?", "/undo", "and?", "/save one").session.close()
    path = chats / "one" / SESSION_FILE
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    chat = talk(open_saved(chats, "one"), strategy="direct")
    assert [(turn.question, turn.stop_reason) for turn in chat.turns] == [("and?", "cancelled")]


FULL = """
import resource, sys
from pathlib import Path
from cot.chat.conversation import Chosen
from cot.chat.store import Store
from cot.errors import TraceError
store = Store(Path(sys.argv[1]))
store.append(Chosen(name="seed", value="1"))
size = (store.folder / "session.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
try:
    store.append(Chosen(name="seed", value="2"))
except TraceError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append(Chosen(name="seed", value="3"))
"""


def test_after_a_full_disk_nothing_is_swallowed(chats):
    done = subprocess.run([sys.executable, "-c", FULL, chats], capture_output=True, text=True, check=True)
    assert "cannot save to" in done.stdout
    (path,) = chats.glob(f"*/{SESSION_FILE}")
    assert [json.loads(line)["event"] for line in path.read_bytes().splitlines()] == ["opened", "chosen", "chosen"]
    assert read(path).chosen == {"seed": "3"}


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be full of what tells of certain events: half a line of it is written all the same."""
    full = set()
    write = store._write

    def written(file, lines):
        if any(f'"event": "{name}"' in lines for name in full):
            file.write(lines[: len(lines) // 2].encode())
            raise OSError(errno.ENOSPC, "disk full")
        write(file, lines)

    monkeypatch.setattr(store, "_write", written)
    return full


@pytest.mark.parametrize("then", ["/set seed 7", "/save two", "/load other", "leave"])
def test_an_answer_that_cannot_be_saved_is_shown_and_saved_when_there_is_room(talk, chats, disk, then):
    talk().say("red.png", "/save other").session.close()
    chat = talk().say("red.png", "/save one")
    disk.update(("stepped", "ended"))
    chat.say("Are there more apples than cars?", "/export chat.md")
    assert chat.answers == ["yes"]
    assert len(chat.errors) == 1
    assert "disk full" in chat.errors[0]
    assert "**yes**" in (chats.parent / "chat.md").read_text()
    turns = list(chat.turns)
    assert turns[0].answered
    disk.clear()
    if then == "leave":
        chat.session.close()
    else:
        chat.say(then)
    assert read(chats / ("two" if "two" in then else "one") / SESSION_FILE).turns == turns


def test_what_is_not_all_saved_is_not_left_for_another_conversation(talk, chats, disk):
    talk().say("red.png", "/save other").session.close()
    chat = talk().say("red.png", "/save one")
    disk.update(("stepped", "ended"))
    chat.say("Are there more apples than cars?", "/load other")
    assert (chat.session.store.name, ["disk full" in error for error in chat.errors]) == ("one", [True, True])
    turns = list(chat.turns)
    disk.clear()
    chat.say("/load other")
    assert chat.session.store.name == "other"
    assert read(chats / "one" / SESSION_FILE).turns == turns


def test_a_name_is_not_given_to_what_is_not_all_saved(talk, chats, disk):
    chat = talk().say("red.png", "/save one")
    disk.update(("stepped", "ended"))
    chat.say("Are there more apples than cars?", "/save two")
    assert (chats / "one").exists()
    assert not (chats / "two").exists()
    assert len(chat.errors) == 2


def test_a_retry_that_is_saved_late_takes_no_turn_before_it(talk, chats, disk):
    replies = ["one", "two", EngineError("gone")]
    chat = talk(replies=replies, strategy="direct").say("red.png", "/save one", "first?", "second?")
    before = list(chat.turns)
    disk.add("ended")
    chat.say("/retry")
    disk.clear()
    chat.say("/set seed 7")
    assert chat.turns == before
    assert read(chats / "one" / SESSION_FILE).turns == before


def test_that_a_model_does_not_know_is_an_answer_to_a_retry(talk):
    chat = talk(replies=["two", "unknown"], strategy="direct").say("red.png", "how many?", "/retry")
    assert [turn.answer.text for turn in chat.turns] == ["unknown"]


def test_who_only_looks_in_loses_no_image_that_comes_back(talk, chats):
    talk().say("red.png", "blue.png", "/save one").session.close()
    images = chats / "one" / "images"
    images.rename(chats / "away")
    looked_in = talk(open_saved(chats, "one"))
    assert looked_in.session.images == []
    looked_in.session.close()
    (chats / "away").rename(images)
    assert len(talk(open_saved(chats, "one")).session.images) == 2


def test_a_setting_that_cannot_be_saved_stays(talk, disk):
    chat = talk().say("red.png")
    disk.add("chosen")
    chat.say("/set seed 7")
    assert (chat.session.settings.seed, chat.session.conversation.chosen, len(chat.errors)) == (0, {}, 1)


def test_nothing_to_go_on_with(chats):
    with pytest.raises(UsageError, match="no conversation was saved yet"):
        open_saved(chats, None)


def test_foreign_files(talk, chats):
    talk().say("red.png", "/save one").session.close()
    (chats / "one" / SESSION_FILE).write_text('{"other": 1}\n')
    assert "is no conversation of version 1 to 4" in list_saved(chats)[0].unreadable


@pytest.mark.parametrize("damage", ["other pixels", "no image", "gone", "no SHA-256"])
def test_images_that_are_lost_are_dropped_and_the_conversation_goes_on(talk, chats, tmp_path, damage):
    chat = talk(strategy="direct").say("red.png", "blue.png", "what?")
    red, blue = chat.session.conversation.images
    Image.new("RGB", (8, 6), "green").save(tmp_path / "green.png")
    chat.say("green.png", "/save one").session.close()
    path = chats / "one" / SESSION_FILE
    for image in (red, blue):
        copy = image_path(path.parent, image.sha256)
        match damage:
            case "other pixels":
                copy.write_bytes((tmp_path / "green.png").read_bytes())
            case "no image":
                copy.write_bytes(b"")
            case "gone":
                copy.unlink()
            case "no SHA-256":
                path.write_text(path.read_text().replace(image.sha256, f"../{image.sha256}"))
    chat = talk(open_saved(chats, "one"), strategy="direct")
    assert [words.partition(" is dropped")[0] for words in chat.words[:2]] == ["[2] blue.png", "[1] red.png"]
    assert not chat.errors
    assert [[image.source for image in turn.images] for turn in chat.turns] == [["red.png", "blue.png"]]
    chat.say("and?", "red.png").session.close()
    store, conversation, images = open_saved(chats, "one")
    store.close()
    assert [image.source for image in conversation.images] == ["green.png", "red.png"]
    assert len(images) == 2, "what is attached again replaces the damaged copy"


def test_a_page_has_images_that_were_dropped_before_and_says_how_many_are_lost(talk, chats, tmp_path):
    chat = talk(strategy="direct").say("red.png", "what?", "/drop 1", "blue.png", "/save one")
    red = chat.turns[0].images[0]
    chat.session.close()
    chat = talk(open_saved(chats, "one"), strategy="direct").say("/export whole.html")
    assert (tmp_path / "whole.html").read_text().count("data:image/png;base64,") == 2
    image_path(chats / "one", red.sha256).unlink()
    chat.say("/export part.html", "/export part.md")
    assert (tmp_path / "part.html").read_text().count("data:image/png;base64,") == 1
    left_out = "; images left out, their copies are missing or damaged: 1"
    assert chat.words[-3:] == ["wrote whole.html", f"wrote part.html{left_out}", "wrote part.md"]


def test_what_an_image_was_before_is_kept(talk, chats, tmp_path):
    Image.new("RGBA", (5, 4), "red").save(tmp_path / "see-through.png")
    talk().say("see-through.png", "/save one").session.close()
    store, _, images = open_saved(chats, "one")
    store.close()
    assert [image.original for image in images.values()] == [Original("RGBA", 5, 4)]


def test_an_image_that_limits_were_raised_for_is_opened_again(talk, chats, monkeypatch):
    talk().say("red.png", "/save one").session.close()
    monkeypatch.setattr(load_image, "__defaults__", (ImageLimits(max_bytes=8, max_pixels=8),))
    store, _, images = open_saved(chats, "one")
    store.close()
    assert [image.width for image in images.values()] == [8]


def test_an_older_file_is_gone_on_with(talk, chats):
    talk().say("red.png What is it?", "/save one").session.close()
    path = chats / "one" / SESSION_FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["schema_version"] = 1
    for line in lines:
        line.get("turn", {}).pop("attached", None)
    for image in (image for line in lines for image in (line.get("image"), *line.get("turn", {}).get("images", ()))):
        if image:
            del image["original"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = path.read_bytes()
    chat = talk(open_saved(chats, "one"), strategy="direct")
    assert (len(chat.turns), [image.original for image in chat.session.images]) == (1, [None])
    chat.session.close()
    assert path.read_bytes() == before, "who only looks in leaves it to those who know that version only"
    chat = talk(open_saved(chats, "one"), strategy="direct").say("and?")
    assert path.read_bytes().startswith(before.replace(b'"schema_version": 1', b'"schema_version": 4'))
    assert read(path).turns == chat.turns
    assert len(chat.turns) == 2


def test_a_folder_that_cannot_be_written(tmp_path, talk):
    (tmp_path / "file").write_text("")
    chat = talk((Store(tmp_path / "file" / "chats"), None, None)).say("red.png")
    assert "cannot save to" in chat.errors[0]
