import pytest

from cot.chat.command import is_command
from cot.chat.mention import expand, mentioned, named
from cot.errors import ImageError


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "my photo.jpg", "it's.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("line", "sources", "text"),
    [
        ("What is this?", (), "What is this?"),
        ("What's in the dog's bowl?", (), "What's in the dog's bowl?"),
        ("a.png", ("a.png",), ""),
        ("a.png What is this?", ("a.png",), "What is this?"),
        ("What is this? a.png", ("a.png",), "What is this?"),
        ("What is in a.png?", ("a.png",), "What is in [1]?"),
        ("Compare a.png and b.png", ("a.png", "b.png"), "Compare [1] and [2]"),
        (r"my\ photo.jpg how many?", ("my photo.jpg",), "how many?"),
        ("'my photo.jpg' how many?", ("my photo.jpg",), "how many?"),
        ('"my photo.jpg", how many?', ("my photo.jpg",), "how many?"),
        ("my photo.jpg", ("my photo.jpg",), ""),
        (r"it\'s.png", ("it's.png",), ""),
        (r"'it'\''s.png'", ("it's.png",), ""),
        (r"'it'\''s.png' how many?", ("it's.png",), "how many?"),
        ('"it\'s.png" how many?', ("it's.png",), "how many?"),
        (r"my\ photo.jpg?", ("my photo.jpg",), ""),
        ("a folder.png here?", (), "a folder.png here?"),
        ("file:///x/y%20z.png", ("file:///x/y%20z.png",), ""),
        ("*.png which is red?", ("a.png", "b.png", "it's.png"), "which is red?"),
        ("https://h.example/a.JPG?w=9 and?", ("https://h.example/a.JPG?w=9",), "and?"),
        ("https://h.example/photo", ("https://h.example/photo",), ""),
        ("What is https://h.example/ about?", (), "What is https://h.example/ about?"),
        ("read notes.txt", (), "read notes.txt"),
        ("is missing.png a name?", (), "is missing.png a name?"),
        ("a\\", (), "a\\"),
        ("a.png\nfirst line\nsecond", ("a.png",), "first line\nsecond"),
        ("What is this (a.png)?", ("a.png",), "What is this ([1])?"),
        ("What is this (./a.png)?", ("./a.png",), "What is this ([1])?"),
        ("Look at [./a.png] please", ("./a.png",), "Look at [[1]] please"),
        ("What is `./a.png`?", ("./a.png",), "What is `[1]`?"),
        ("What is “a.png”?", ("a.png",), "What is “[1]”?"),
        ("(a.png) [b.png]", ("a.png", "b.png"), ""),
        ("(https://h.example/a.png)?", ("https://h.example/a.png",), ""),
        ("这是什么 ./a.png？", ("./a.png",), "这是什么 [1]？"),
        ("./a.png，这是什么？", ("./a.png",), "这是什么？"),
        ("比较a（a.png）和b（b.png）。", ("a.png", "b.png"), "比较a（[1]）和b（[2]）。"),
        ("这是什么？ 'my photo.jpg'？", ("my photo.jpg",), "这是什么？ [1]？"),
        ("https://h.example/a.png，这是什么？", ("https://h.example/a.png",), "这是什么？"),
        ("<./a.png> is it red?", ("./a.png",), "<[1]> is it red?"),
        ("What's a.png's colour?", ("a.png",), "What's [1]'s colour?"),
        ("a.png's colour?", ("a.png",), "[1]'s colour?"),
        ("What is (a.png)'s colour?", ("a.png",), "What is ([1])'s colour?"),
        ("a.png’s colour?", ("a.png",), "[1]’s colour?"),
        ("b.png a.png's colour?", ("b.png", "a.png"), "[2]'s colour?"),
        ('"my photo.jpg"\'s colour?', ("my photo.jpg",), "[1]'s colour?"),
        ("Is it Tom's (a.png's)?", ("a.png",), "Is it Tom's ([1]'s)?"),
        ("图（一）.png，这是什么？", (), "图（一）.png，这是什么？"),
    ],
)
def test_images_in_a_message(line, sources, text):
    found = mentioned(line)
    assert found.sources == sources
    assert found.numbered(lambda index: index + 1) == text


def test_marks_that_are_of_the_name_of_a_file(tmp_path):
    for name in ("(x.png", "[y].png", "图（一）.png"):
        (tmp_path / name).write_bytes(b"")
    found = mentioned("Is (x.png or [y].png red, or “图（一）.png”?")
    assert found.sources == ("(x.png", "[y].png", "图（一）.png")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/nowhere/x.png what is it?", "/nowhere/x.png"),
        ("what is in shots/x.png?", "shots/x.png"),
        ("mising.png", "mising.png"),
        ("'my foto.jpg'", "my foto.jpg"),
        ("~nobody-at-all/x.png", "~nobody-at-all/x.png"),
        ("what is this (shots/x.png)?", "shots/x.png"),
        ("shots/x.png，这是什么？", "shots/x.png"),
        ("a.png，shots/x.png？", "shots/x.png"),
        ("shots/it’s.png", "shots/it’s.png"),
    ],
)
def test_a_path_that_leads_nowhere_is_said(line, name):
    with pytest.raises(ImageError, match=f"image '{name}' does not exist"):
        mentioned(line)


def test_what_is_there_but_no_file_is_left_to_who_opens_it(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert mentioned("folder.png").sources == ("folder.png",)


def test_several_names_for_one_command():
    assert named("a.png b.png") == ["a.png", "b.png"]
    assert named("'my photo.jpg' a.png b*") == ["my photo.jpg", "a.png", "b.png"]
    assert named("my photo.jpg") == ["my photo.jpg"]
    assert named("two words.png") == ["two words.png"]


def test_several_patterns_and_addresses_for_one_command(tmp_path):
    for name in ("d1/a.png", "d2/b.png", "My Photos/c.png", "Photos/d.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    assert named("d1/*.png d2/*.png") == ["d1/a.png", "d2/b.png"]
    assert named("My Photos/*.png") == ["My Photos/c.png"]
    assert named(r"My\ Photos/*.png 'd2/*'") == ["My Photos/c.png", "d2/b.png"]
    addresses = ["https://h.example/a.png?w=9", "file:///x/y%20z.png"]
    assert named(" ".join(addresses)) == addresses
    assert named("a.png https://h.example/photo") == ["a.png", "https://h.example/photo"]
    with pytest.raises(ImageError, match=r"no image fits 'd1/\*.webp'"):
        named("d1/*.webp d2/*.png")


@pytest.mark.parametrize("line", ["what is in a\0/*.png ?", "a\0/*.png", "~\0*.png"])
def test_a_pattern_that_no_file_can_fit_is_said(line):
    with pytest.raises(ImageError, match="no image fits"):
        mentioned(line)


@pytest.mark.parametrize("line", ["is [photo.png] in it?", "is [photo.png, or what?", "is (photo.png) in it?"])
def test_a_name_in_brackets_that_leads_nowhere_is_text(line):
    assert mentioned(line).sources == ()


def test_a_pattern_gives_images_only():
    assert expand("*") == ["a.png", "b.png", "it's.png", "my photo.jpg"]
    assert expand(r"my\ photo.jpg") == ["my photo.jpg"]
    with pytest.raises(ImageError, match="no image fits"):
        expand("*.webp")


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("/help", True),
        ("/nope", True),
        ("  /image x.png", True),
        ("/set\tseed 1", True),
        ("/tmp/x.png what?", False),
        (r"/my\ folder/x.png", False),
        ("and/or?", False),
        ("", False),
    ],
)
def test_an_absolute_path_is_no_command(line, is_one):
    assert is_command(line) is is_one
