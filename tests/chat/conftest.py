import asyncio

import pytest
from PIL import Image
from runs import script

from cot.chat.event import Said, StepDone, TurnDone
from cot.chat.session import Session
from cot.chat.store import Store
from cot.chat.take import take
from cot.engine import ScriptedEngine
from cot.settings import Settings


class Talk:
    """A session over a scripted model, and what it told."""

    def __init__(self, chats, saved=None, *, replies=None, load=None, edit=None, **settings):
        self.engines = []
        self.events = []
        self._replies = replies or script()
        store, conversation, images = saved or (Store(chats), None, None)
        settings = Settings(**{"strategy": "decompose", "trace_dir": chats.parent / "traces", **settings})
        self.session = Session(
            settings,
            load or self._load,
            store,
            self.events.append,
            conversation=conversation,
            images=images,
            edit=edit,
        )

    def _load(self, settings):
        self.engines.append(ScriptedEngine(self._replies))
        return self.engines[-1]

    def say(self, *lines):
        for line in lines:
            asyncio.run(take(self.session, line))
        return self

    @property
    def words(self):
        return [event.text for event in self.events if isinstance(event, Said)]

    @property
    def errors(self):
        return [event.text for event in self.events if isinstance(event, Said) and event.tone == "error"]

    @property
    def steps(self):
        return [event.step for event in self.events if isinstance(event, StepDone)]

    @property
    def answers(self):
        return [event.turn.answer.text for event in self.events if isinstance(event, TurnDone) and event.turn.answer]

    @property
    def turns(self):
        return self.session.conversation.turns


@pytest.fixture
def chats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        Image.new("RGB", (8, 6), colour).save(tmp_path / name)
    return tmp_path / "chats"


@pytest.fixture
def talk(chats):
    made = []

    def start(saved=None, **how):
        made.append(Talk(chats, saved, **how))
        return made[-1]

    yield start
    for one in made:
        one.session.close()
