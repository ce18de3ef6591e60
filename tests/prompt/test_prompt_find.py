"""Which file a name stands for: folders, languages, what is shadowed, and what is refused."""

import os

import pytest

from cot.config import user_file
from cot.errors import PromptError
from cot.prompt import MAX_TEMPLATE_BYTES, load_template, search_path
from cot.prompt.source import Folder, list_located, select, strays
from cot.shipped import prompts_folder


def test_project_then_user_then_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [(folder.origin, folder.path) for folder in search_path()]
    assert places == [
        ("project", tmp_path / "prompts"),
        ("user", user_file().parent / "prompts"),
        ("shipped", prompts_folder()),
    ]
    assert load_template("direct/answer").path == prompts_folder() / "direct" / "answer.jinja"
    source = load_template("direct/answer").path.read_text("utf-8")
    for _, folder in reversed(places[:2]):
        (folder / "direct").mkdir(parents=True)
        (folder / "direct" / "answer.jinja").write_text(source)
        listed = {(found.name, found.language): found for found in list_located(search_path())}
        winner = listed["direct/answer", "en"]
        assert winner.path == folder / "direct" / "answer.jinja"
    assert winner.shadows == tuple(folder / "direct" / "answer.jinja" for _, folder in places[1:])


def test_in_a_checkout_the_shipped_folder_is_named_once(root, monkeypatch):
    monkeypatch.chdir(root)
    assert [folder.origin for folder in search_path()] == ["user", "shipped"]


def test_translations_win_and_english_stands_in(prompts):
    prompts.write("a/b", "english")
    prompts.write("zh/a/b", "中文", place="user")
    prompts.write("a/c", "only english")
    assert (prompts.read("a/b", "zh").language, prompts.read("a/b", "zh").render(question="q").text) == ("zh", "中文")
    assert prompts.read("a/b", "en").render(question="q").text == "english"
    assert prompts.read("a/c", "zh").language == "en"
    listed = [(found.name, found.language) for found in list_located(prompts.folders)]
    assert listed == [("a/b", "en"), ("a/b", "zh"), ("a/c", "en")]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_there_is_in_other_languages_alone_is_said(prompts, language):
    prompts.write("zh/a/b", "中文")
    assert prompts.read("a/b", "zh").language == "zh"
    with pytest.raises(PromptError, match="a/b is there in 'zh' alone; expected an English one.*or the name zh/a/b"):
        prompts.read("a/b", language)


def test_every_shipped_step_speaks_chinese_and_takes_the_same_inputs():
    shipped = list_located([Folder("shipped", prompts_folder())])
    english = [found.name for found in shipped if found.language == "en"]
    assert english == [found.name for found in shipped if found.language == "zh"]
    assert {"direct/answer", "decompose/plan", "cot/reason"} <= set(english)
    for name in english:
        one, two = (load_template(name, language=language) for language in ("en", "zh"))
        assert two.language == "zh"
        assert one.matter.model_dump(exclude={"description"}) == two.matter.model_dump(exclude={"description"})


def test_english_stands_in_no_folder_of_its_language(prompts):
    prompts.raw("en/a/b.jinja", "x")
    prompts.write("a/c", "x")
    assert [found.name for found in list_located(prompts.folders)] == ["a/c"]
    with pytest.raises(PromptError, match="no template 'a/b', did you mean 'a/c'"):
        prompts.read("a/b", "en")


def test_parts_and_strangers_are_not_listed(prompts):
    for path in ("a/_part.jinja", "top.jinja", "a/b.txt", "long-name/a/b.jinja", "zh/x/y/z.jinja", "a/b c.jinja"):
        prompts.raw(path, "x")
    prompts.write("a/b", "x")
    assert [found.name for found in list_located(prompts.folders)] == ["a/b"]


def test_what_looks_like_a_template_and_is_none_is_told(prompts):
    odd = ["top.jinja", "a/b c.jinja", "en/a/b.jinja", "zh_CN/a/b.jinja", "zh/x/y/z.jinja"]
    hidden = ["a/.#b.jinja", ".git/a/b c.jinja", "a/.ipynb_checkpoints/b c.jinja"]
    for path in (*odd, *hidden, "a/_part.jinja", "a/b.txt", "a/mystrategy.yml"):
        prompts.raw(path, "x")
    for path in ("a/b", "zh/a/b", "pt-BR/a/b"):
        prompts.write(path, "x", place="user")
        prompts.raw(f"{path}.cases.yaml", "[]", place="user")
    others = ["a/d.cases.yaml", "a/b.cases.yml", "a/strategy.yml"]
    for path in others:
        prompts.raw(path, "[]")
    told = {str(path.relative_to(prompts.folders[0].path)): problem for path, problem in strays(prompts.folders)}
    assert sorted(told) == sorted([*odd, *others])
    assert told["zh_CN/a/b.jinja"].startswith("no template; expected strategy/step.jinja")
    assert told["a/b.cases.yml"] == "cases of no template; expected b.cases.yaml beside b.jinja"
    assert not [*strays([Folder("shipped", prompts.folders[0].path)])]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a/b", ("a/b", "en", ["project", "user"])),
        ("zh/a/b", ("a/b", "zh", ["project", "user"])),
        ("user:a/b", ("a/b", "en", ["user"])),
        ("user:zh/a/b", ("a/b", "zh", ["user"])),
    ],
)
def test_references(prompts, reference, expected):
    name, language, folders = select(reference, language="en", folders=prompts.folders)
    assert (name, language, [folder.origin for folder in folders]) == expected


def test_an_unknown_origin_is_said(prompts):
    with pytest.raises(PromptError, match="got the origin 'nowhere' .*; expected project, user or shipped"):
        select("nowhere:a/b", language="en", folders=prompts.folders)


def test_a_near_name_is_offered():
    with pytest.raises(
        PromptError, match="no template 'direct/anwser', did you mean .direct/answer..; known: chat/follow_up"
    ):
        load_template("direct/anwser")


def test_files_are_bounded_text(prompts):
    prompts.write("a/big", "x" * MAX_TEMPLATE_BYTES)
    with pytest.raises(PromptError, match="a/big: larger than 100,000 bytes"):
        prompts.read("a/big")
    prompts.write("a/bytes", "").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptError, match="a/bytes: cannot be read: .*; expected text in UTF-8"):
        prompts.read("a/bytes")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_what_is_no_file_is_not_passed_over(prompts, make):
    prompts.write("a/b", "theirs", place="user")
    path = prompts.write("a/other", "x").with_name("b.jinja")
    make(path)
    with pytest.raises(PromptError, match=f"a/b: {path} is no file; expected one; check the path"):
        prompts.read("a/b")
    with pytest.raises(PromptError, match="includes 'a/b'.* is no file|a/b: .* is no file"):
        prompts.read(prompts.write("a/c", "{% include 'a/b' %}") and "a/c")
    assert [found.path.name for found in list_located(prompts.folders)] == ["b.jinja", "c.jinja", "other.jinja"]


def test_line_ends_of_windows_are_fine(prompts):
    path = prompts.write("a/b", "one\ntwo {{ question }}")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert prompts.render("a/b", question="q") == "one\ntwo q"


def test_a_current_folder_that_is_gone_has_no_templates(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert [folder.origin for folder in search_path()] == ["user", "shipped"]
