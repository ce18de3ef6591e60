"""Includes and inheritance: what they can do, and what they cannot."""

import time

import pytest

from cot.errors import PromptError
from cot.prompt.sandbox import MAX_INCLUDES, MAX_JOINED


def test_a_part_is_included_with_the_names_around_it(prompts):
    prompts.raw("a/_part.jinja", "({{ word }})")
    prompts.write("a/b", "{% for word in words %}{% include 'a/_part' %}{% endfor %}", inputs="words: {kind: list}")
    assert prompts.render("a/b", words=["x", "y"]) == "(x)(y)"


def test_front_matter_of_what_is_included_is_left_out(prompts):
    prompts.write("a/other", "other")
    prompts.write("a/b", "{% include 'a/other' %}!{{ question }}")
    assert prompts.render("a/b", question="?") == "other!?"


def test_blocks_are_inherited(prompts):
    prompts.raw("a/_base.jinja", "[{% block top %}top{% endblock %}|{% block end %}end{% endblock %}]")
    prompts.write("a/b", "{% extends 'a/_base' %}{% block end %}{{ super() }} of {{ question }}{% endblock %}")
    assert prompts.render("a/b", question="q") == "[top|end of q]"


def test_images_stay_where_an_inherited_block_has_them(prompts):
    prompts.raw("a/_base.jinja", "First {% block top %}pic: {{ images }} end{% endblock %} of")
    prompts.write("a/b", "{% extends 'a/_base' %}{% block top %}Look: {{ super() }}{% endblock %}", inputs="")
    rendered = prompts.read("a/b").render()
    assert (rendered.before, rendered.text) == ("First Look: pic:", "end of")


def test_the_first_folder_wins_for_parts_too(prompts):
    prompts.raw("a/_part.jinja", "user", place="user")
    prompts.write("a/b", "{% include 'a/_part' %}")
    assert prompts.render("a/b", question="q") == "user"
    prompts.raw("a/_part.jinja", "project")
    assert prompts.render("a/b", question="q") == "project"


def test_the_hash_covers_what_is_included(prompts):
    prompts.raw("a/_part.jinja", "one")
    prompts.write("a/b", "{% include 'a/_part' %}")
    before = prompts.read("a/b").sha256
    prompts.raw("a/_part.jinja", "two")
    assert prompts.read("a/b").sha256 != before


@pytest.mark.parametrize(
    "name", ["../secret", "../../secret", "a/../../secret", "/etc/passwd", "a/link", "a\\b", "", "a"]
)
def test_nothing_outside_of_the_search_path_is_included(prompts, tmp_path, name):
    secret = tmp_path / "secret.jinja"
    secret.write_text("secret")
    prompts.write("a/b", f"{{% include {name!r} %}}")
    prompts.locate("a/b").path.with_name("link.jinja").symlink_to(secret)
    with pytest.raises(PromptError, match="a/b: .*(not in the search path|leads out of)"):
        prompts.render("a/b", question="q")


def test_a_template_that_is_a_link_out_is_refused(prompts, tmp_path):
    (tmp_path / "secret.jinja").write_text("secret")
    prompts.write("a/b", "x").with_name("c.jinja").symlink_to(tmp_path / "secret.jinja")
    with pytest.raises(PromptError, match="a/c: .* leads out of .*; expected a file inside"):
        prompts.read("a/c")


LOOP = "{% for x in question %}{% include 'a/_part' %}{% endfor %}"


@pytest.mark.parametrize(
    ("body", "part", "reason"),
    [
        (LOOP, "{% for y in question %}{% endfor %}", "line 1 of a/_part: a loop in a loop"),
        (LOOP, "{% block z %}{% endblock %}", "a block in a loop"),
        ("{% include 'a/_part' %}", "{% include 'a/_part' %}", "'a/_part' includes itself"),
        ("{% include 'a/b' %}", "", "'a/b' includes itself"),
        ("{% extends 'a/_part' %}", "{% extends 'a/b' %}", "includes itself"),
        ("{% include 'a/_part' %}" * (MAX_INCLUDES + 1), "x", f"more than {MAX_INCLUDES} files"),
        ("{% include question %}", "", "one name in quotes"),
        ("{% include ['a/_part'] %}", "", "one name in quotes"),
        ("{% include 'a/none' ignore missing %}", "", "ignore missing"),
        ("{% include 'a/none' %}", "", "includes 'a/none', which is not in the search path"),
        ("{% include 'a/_part' %}", "{{ question.__class__ }}", "__class__"),
        ("{% include 'a/_part' %}", "{{ nothing }}", "'nothing' is undefined"),
        ("{% include 'a/_part' %}", "{% set x = 1 %}", "line 1 of a/_part: assign is not allowed"),
        ("{% block z %}{% block y %}{% endblock %}{% endblock %}", "", "a block in a loop or in another block"),
        ("{% block z %}{{ super() }}{{ super() }}{% endblock %}", "", "super.. once"),
        ("{{ [" + "question, " * (MAX_JOINED + 1) + "question] | join }}", "", "names are put together"),
        ("{{ (" + "question, " * (MAX_JOINED + 1) + "question) | join }}", "", "names are put together"),
        ("{{ super() }}", "", "super.. can only stand in a block"),
        ("{% block z %}{{ [super()] }}{% endblock %}", "", "super.. can only stand alone"),
        ("{% block z %}{{ super() | sort }}{% endblock %}", "", "super.. can only stand alone"),
        ("{% block z %}{{ super.name }}{% endblock %}", "", "super is not allowed here"),
        ("{% block z %}{% endblock %}{{ self.z }}", "", "self is not allowed here"),
    ],
)
def test_includes_and_blocks_are_bounded(prompts, body, part, reason):
    prompts.raw("a/_part.jinja", part)
    prompts.write("a/b", body)
    begun = time.process_time()
    with pytest.raises(PromptError, match=f"a/b: .*{reason}"):
        prompts.render("a/b", question="q" * 1000)
    assert time.process_time() - begun < 5


def test_includes_cannot_multiply(prompts):
    # 40 files that each include the next one twice would be 2 ** 40 texts.
    for number in range(40):
        prompts.raw(f"a/_{number}.jinja", f"{{% include 'a/_{number + 1}' %}}" * 2)
    prompts.raw("a/_40.jinja", "x")
    prompts.write("a/b", "{% include 'a/_0' %}")
    with pytest.raises(PromptError, match=f"more than {MAX_INCLUDES} files"):
        prompts.read("a/b")


def test_output_of_includes_is_bounded(prompts):
    prompts.raw("a/_part.jinja", "y" * 90_000)
    prompts.write("a/b", "{% include 'a/_part' %}")
    with pytest.raises(PromptError, match="a/b: rendered text exceeds 50,000 characters"):
        prompts.render("a/b", question="q")
