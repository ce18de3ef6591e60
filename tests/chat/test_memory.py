"""What follow-ups are told of the turns before them."""

import dataclasses

from PIL import Image
from runs import completion

from cot.chat.memory import remembered
from cot.engine import ScriptedEngine
from cot.engine.scripted import SCRIPTED_INFO


def engine(context=0):
    def reply(request):
        prompt = str(request.messages[-1].content[-1])
        if "Follow-up:" in prompt:
            return completion("How many red cars are there?" + " x" * prompt.count("long") * 100)
        return completion("many cars" if "Summarise" in prompt else "3")

    return ScriptedEngine(reply, info=dataclasses.replace(SCRIPTED_INFO, context_tokens=context))


def prompts(made):
    return [str(request.messages[-1].content[-1]).splitlines()[0] for request in made.requests]


def test_a_follow_up_is_understood_from_what_was_said(talk):
    made = engine()
    chat = talk(load=lambda settings: made, strategy="direct", memory="on")
    chat.say("red.png", "How many cars are there?", "And the red ones?")
    assert prompts(made) == ["How many cars are there?", "Said so far:", "How many red cars are there?"]
    assert (chat.turns[1].question, chat.turns[1].understood) == ("And the red ones?", "How many red cars are there?")
    assert chat.steps[-2].text == "Understood as: How many red cars are there?"
    assert [one.question for one in remembered(chat.turns, ()).exchanges] == [
        "How many cars are there?",
        "How many red cars are there?",
    ]


def test_the_embedded_model_is_asked_as_it_was_typed(talk):
    made = [engine(), engine()]
    engines = iter(made)
    chat = talk(load=lambda settings: next(engines), strategy="direct").say("red.png", "what?", "and?")
    assert prompts(made[0]) == ["what?", "and?"]
    chat.say("/model org/other", "or?")
    assert prompts(made[1]) == ["Said so far:", "How many red cars are there?"]


def test_unanswered_and_undone_turns_are_not_told(talk):
    chat = talk(load=lambda settings: engine(), strategy="direct", memory="on")
    chat.say("red.png", "one?", "/set max_steps 1", "two?", "/set max_steps 9", "/undo", "three?", "/undo")
    assert [one.question for one in remembered(chat.turns, ()).exchanges] == ["one?"]


def test_a_long_conversation_is_summarised_aloud_and_once(talk):
    made = engine(context=1600)
    chat = talk(load=lambda settings: made, strategy="direct", memory="on").say("red.png")
    for number in range(6):
        chat.say(f"a long question {number}?")
    first = next(turn for turn in chat.turns if turn.summary)
    assert (first.summary, first.summarised) == ("many cars", chat.turns.index(first) - 1)
    assert "earlier answers in short: many cars" in first.steps[0].text
    assert remembered(chat.turns, ()).summary == "many cars"
    summaries = [line for request in made.requests if "Summarise" in (line := str(request.messages[-1].content[-1]))]
    assert len(summaries) == len({turn.summarised for turn in chat.turns if turn.summary})


def test_undoing_a_turn_undoes_its_summary(talk):
    chat = talk(load=lambda settings: engine(context=1600), strategy="direct", memory="on").say("red.png")
    while not any(turn.summary for turn in chat.turns):
        chat.say("a long question?")
    chat.say("/undo")
    assert remembered(chat.turns, ()).summary == ""
    assert len(remembered(chat.turns, ()).exchanges) == len(chat.turns)


def test_images_are_called_by_the_numbers_that_they_have_now(talk, tmp_path):
    Image.new("RGB", (8, 6), "green").save(tmp_path / "green.png")
    made = engine()
    chat = talk(load=lambda settings: made, strategy="direct", memory="on")
    chat.say("red.png", "blue.png", "green.png", "is [1] like [2] or [3], not [4]?", "/drop 2", "and the other one?")
    told = str(made.requests[-2].messages[-1].content[-1])
    assert "Question: is [1] like [an image that was taken away] or [2], not [4]?" in told
    chat.say("blue.png", "and now?")
    assert "Question: is [1] like [3] or [2], not [4]?" in str(made.requests[-2].messages[-1].content[-1])


def test_a_summary_calls_images_by_the_numbers_that_they_have_now(talk):
    def reply(request):
        return completion("[2] is blue" if "Summarise" in str(request.messages[-1].content[-1]) else "3" * 100)

    made = ScriptedEngine(reply, info=dataclasses.replace(SCRIPTED_INFO, context_tokens=1600))
    chat = talk(load=lambda settings: made, strategy="direct", memory="on").say("red.png", "blue.png")
    while not any(turn.summary for turn in chat.turns):
        chat.say("a long question?")
    chat.say("/drop 1", "and that one?")
    assert chat.turns[-1].summary == "[1] is blue"
