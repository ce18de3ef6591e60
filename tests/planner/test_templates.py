"""The templates that a trace begins with."""

import pytest
from PIL import Image

from cot.engine import ScriptedEngine
from cot.image import from_pixels
from cot.planner.names import STRATEGY_NAMES
from cot.planner.run import run
from cot.planner.templates import TEMPLATES, template_hashes
from cot.planner.wording import Wording
from cot.prompt import load_template
from cot.question import Question
from cot.trace.read import read_trace
from cot.trace.record import Recorder

TEMPLATE = "---\nname: my/{name}\ndescription: d\ninputs: {{question: {{kind: text}}, choices: {{kind: list}}}}\n"
BODY = "output: text\n---\nSay: {{ question }}\n"
STEPS = "description: d\nsteps: [{name: look}]\n"


@pytest.fixture
def my(tmp_path, monkeypatch):
    """A strategy `my` of one step."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prompts" / "my"
    folder.mkdir(parents=True)
    (folder / "look.jinja").write_text(TEMPLATE.format(name="look") + BODY)
    (folder / "strategy.yaml").write_text(STEPS)
    return folder


def test_every_strategy_that_ships_has_some_and_they_load():
    assert set(TEMPLATES) == set(STRATEGY_NAMES)
    for strategy in STRATEGY_NAMES:
        assert set(template_hashes(strategy, Wording())) == set(TEMPLATES[strategy])


def test_they_are_those_of_the_wording(my):
    english, chinese = (template_hashes("direct", Wording(language)) for language in ("en", "zh"))
    assert chinese == {"direct/answer": load_template("direct/answer", language="zh").sha256} != english
    instead = template_hashes("direct", Wording(templates={"direct/answer": "my/look"}))
    assert instead == {"my/look": load_template("my/look").sha256}


def test_a_follow_up_needs_more():
    added = set(template_hashes("direct", Wording(), follow_up=True)) - set(template_hashes("direct", Wording()))
    assert added == {"chat/follow_up", "chat/summary"}


async def test_those_of_ones_own_strategy_and_its_file(my, tmp_path):
    question = Question("Is it?", (from_pixels(Image.new("RGB", (4, 3)), source="a.png"),))
    with Recorder(tmp_path / "traces") as recorder:
        await run("my", question, ScriptedEngine(["yes"]), recorder=recorder)
    started = read_trace(recorder.path).started
    assert set(started.templates) == {"my/strategy.yaml", "my/look", "direct/answer"}


def test_what_cannot_be_loaded_is_left_out(my):
    (my / "broken.jinja").write_text("no front matter")
    assert template_hashes("direct", Wording(templates={"direct/answer": "my/broken"})) == {}
