"""Questions and scripted engines for the planner's tests."""

import math

import pytest
from PIL import Image

from cot.engine import Candidate, Completion, ScriptedEngine, Timings, TokenLogprob, Usage
from cot.image import from_pixels
from cot.question import Question


def _completion(text, *, probability=0.9, finish="stop", tokens=None):
    used = len(text.split()) if tokens is None else tokens
    logprobs = (TokenLogprob(text, math.log(probability)), TokenLogprob("", 0.0))
    usage = Usage(prompt_tokens=50, cached_tokens=10, image_tokens=16, completion_tokens=used, calls=1, batches=1)
    return Completion((Candidate(text, finish, logprobs),), usage, Timings(0.0, 0.01, 0.02))


@pytest.fixture
def completion():
    """Makes a completion: a text whose probability is known, of one token a word unless said otherwise."""
    return _completion


@pytest.fixture
def question():
    """Makes a question about one small image."""
    image = from_pixels(Image.new("RGB", (8, 6), "red"), source="red.png")

    def make(text="Are there more apples than cars?", choices=()):
        return Question(text, (image,), tuple(choices))

    return make


@pytest.fixture
def engine():
    """An engine that gives a plan, and answers by the first key that the asked text starts with."""

    def make(plan, answers=None, direct="direct", *, kind=ScriptedEngine):
        def reply(request):
            text = request.messages[-1].content[-1]
            if "answer: #1 > #2" in text and "[count]" in text:
                return plan if isinstance(plan, (Exception, Completion)) else _completion(plan)
            for key, answer in (answers or {}).items():
                if text.startswith(key):
                    return _completion(answer) if isinstance(answer, str) else answer
            return _completion(direct) if isinstance(direct, str) else direct

        return kind(reply)

    return make
