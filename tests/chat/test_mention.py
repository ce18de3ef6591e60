import pytest

from cot.chat.command import is_command
from cot.chat.mention import expand, mentioned
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
        ("file:///x/y%20z.png", ("file:///x/y%20z.png",), ""),
        ("*.png which is red?", ("a.png", "b.png", "it's.png"), "which is red?"),
        ("https://h.example/a.JPG?w=9 and?", ("https://h.example/a.JPG?w=9",), "and?"),
        ("https://h.example/photo", ("https://h.example/photo",), ""),
        ("What is https://h.example/ about?", (), "What is https://h.example/ about?"),
        ("read notes.txt", (), "read notes.txt"),
        ("is missing.png a name?", (), "is missing.png a name?"),
        ("a\\", (), "a\\"),
        ("a.png\nfirst line\nsecond", ("a.png",), "first line\nsecond"),
    ],
)
def test_images_in_a_message(line, sources, text):
    found = mentioned(line)
    assert found.sources == sources
    assert found.numbered(lambda index: index + 1) == text


def test_a_path_that_leads_nowhere_is_said():
    with pytest.raises(ImageError, match=r"image '/nowhere/x.png' does not exist"):
        mentioned("/nowhere/x.png what is it?")


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
        ("/tmp/x.png what?", False),
        (r"/my\ folder/x.png", False),
        ("and/or?", False),
        ("", False),
    ],
)
def test_an_absolute_path_is_no_command(line, is_one):
    assert is_command(line) is is_one
