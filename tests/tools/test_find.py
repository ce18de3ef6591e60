from importlib.metadata import EntryPoint

import pytest

from cot.errors import ToolError
from cot.tools import find
from cot.tools.find import find_tool, tool_names

PLAIN = EntryPoint("plain_text", "cot.answer:comparable", find.GROUP)


@pytest.fixture
def installed(monkeypatch):
    """What packages offer."""

    def offer(*points):
        monkeypatch.setattr(find, "entry_points", lambda group: list(points))

    return offer


def test_installed_tools_are_found_by_name(installed):
    installed(PLAIN, EntryPoint("gone", "no_such_package:f", find.GROUP))
    assert tool_names() == ("read_text", "gone", "plain_text")
    assert find_tool("plain_text").name == "plain_text"


@pytest.mark.parametrize(
    ("value", "why"),
    [("no_such_package:f", "tool t cannot be loaded from no_such_package:f"), ("os.path:no_such", "cannot be loaded")]
    + [("math:pi", "got 3.14.*expected a function")],
)
def test_a_package_that_cannot_be_used_is_named(installed, value, why):
    installed(EntryPoint("t", value, find.GROUP))
    with pytest.raises(ToolError, match=why):
        find_tool("t")


def test_two_packages_with_one_name_are_refused(installed):
    installed(PLAIN, PLAIN)
    with pytest.raises(ToolError, match="two packages offer the tool 'plain_text'"):
        find_tool("plain_text")


@pytest.mark.parametrize("name", ["zoom", "calculate", "tide"])
def test_what_no_step_can_use_is_unknown(installed, name):
    installed(PLAIN, *(EntryPoint(taken, PLAIN.value, find.GROUP) for taken in find.TAKEN))
    with pytest.raises(ToolError, match=f"no tool '{name}'; known: read_text, plain_text$"):
        find_tool(name)
