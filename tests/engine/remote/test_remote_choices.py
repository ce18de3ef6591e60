"""Replies of a server that holds nothing: choices in any spelling; what does not fit, with its words and its cost."""

import json
from pathlib import Path

import pytest
from PIL import Image

import cot.cli
from cot.engine import Choices, JsonSchema, Sampling
from cot.engine.remote import RemoteEngine
from cot.errors import UnfitReplyError
from cot.image import load_image
from cot.planner.run import run
from cot.question import Question
from cot.replay import replay
from cot.trace.read import read_trace
from cot.trace.record import Recorder

ANIMALS = ("cat", "dog", "cow", "pig")
TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
choices: choices
images: image
metric: choice
"""
FORMS = ["dog", "Dog", "DOG", "dog.", "A dog", '"dog"', "B", "b", "(B)", "B.", "B) dog", "**B**", "Answer: B",
         "The answer is B"]  # fmt: skip
UNFIT = "I would say a dog or a cat."


@pytest.fixture
async def connect(serve, quick):
    """Connects to a server that plays a model."""
    engines = []

    async def connected(plays):
        engines.append(await RemoteEngine.connect(serve(plays).url, limits=quick()))
        return engines[-1]

    yield connected
    for engine in engines:
        await engine.close()


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Runs `cot eval` with a server on one question of four choices; gives the sample and its trace."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    row = {"question": "Which animal is it?", "image": "red.png", "answer": "dog", "choices": ANIMALS}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    Path("task.yaml").write_text(TASK)

    def ran(url, strategy="direct"):
        command = ["eval", "task.yaml", "--strategy", strategy, "--trace", "--out", "out", "--model", url]
        cot.cli.main(command)
        sample = json.loads(Path("out/samples.jsonl").read_text())
        return sample, read_trace(Path("out") / sample["trace"] / "trace.jsonl")

    return ran


@pytest.mark.parametrize("refuses", [(), ("response_format",)])
@pytest.mark.parametrize("text", FORMS)
async def test_a_choice_in_any_spelling_is_that_choice(connect, model, ask, text, refuses):
    engine = await connect(model(text=text, refuses=refuses))
    (found,) = (await engine.complete(ask(constraint=Choices(ANIMALS)))).candidates
    assert (found.text, found.said, found.satisfied) == ("dog", "" if text == "dog" else text, True)
    assert "".join(token.token for token in found.logprobs) == text


@pytest.mark.parametrize("text", ["E", "hot dog", "B) cat", "dog or cat", "unknown", UNFIT])
async def test_what_is_no_choice_is_an_error_with_its_text_and_cost(connect, model, ask, text):
    engine = await connect(model(text=text))
    with pytest.raises(UnfitReplyError, match=r"answered '.*; expected what fits Choices\(values=\('cat'") as caught:
        await engine.complete(ask(constraint=Choices(ANIMALS)))
    assert caught.value.text == text
    assert (caught.value.usage["prompt_tokens"], caught.value.usage["calls"]) == (20, 1)


async def test_a_choice_within_json_is_read_as_leniently(connect, model, ask):
    engine = await connect(model(text='{"answer": "Dog."}'))
    (found,) = (await engine.complete(ask(constraint=Choices(ANIMALS)))).candidates
    assert (found.text, found.said) == ("dog", "Dog.")


@pytest.mark.parametrize("text", ["<think>A cat? No.</think>\n\nDog", "A cat? No.\n</think>Dog"])
async def test_a_choice_behind_thoughts_is_that_choice(connect, model, ask, text):
    engine = await connect(model(text=text))
    (found,) = (await engine.complete(ask(constraint=Choices(ANIMALS)))).candidates
    assert (found.text, found.said) == ("dog", "Dog")


async def test_a_choice_that_was_cut_short_may_go_on(connect, model, ask):
    engine = await connect(model(text="Dog", finish="length"))
    with pytest.raises(UnfitReplyError):
        await engine.complete(ask(constraint=Choices(("dog", "dogfish"))))


async def test_letters_mean_nothing_where_none_were_choices(connect, model, ask):
    engine = await connect(model(text="B"))
    with pytest.raises(UnfitReplyError):
        await engine.complete(ask(constraint=Choices(("yes", "no", "unknown"), lettered=False)))


async def test_json_is_no_choice(connect, model, ask):
    engine = await connect(model(text="B"))
    with pytest.raises(UnfitReplyError):
        await engine.complete(ask(constraint=JsonSchema('{"type": "string", "enum": ["cat", "dog"]}')))


@pytest.mark.parametrize(("samples", "calls"), [(4, 2), (1, 8)])
async def test_samples_that_do_not_fit_cost_what_they_cost(connect, model, ask, samples, calls):
    """samples: what the server gives at most at one time; each that does not fit is drawn once more."""
    plays = model(text=UNFIT)
    whole = plays.reply
    plays.reply = lambda body: whole({**body, "n": min(samples, body.get("n", 1))})
    engine = await connect(plays)
    with pytest.raises(UnfitReplyError) as caught:
        await engine.complete(ask(constraint=Choices(ANIMALS), n=4, sampling=Sampling(1.0, seed=5)))
    assert (caught.value.text, caught.value.usage["calls"]) == (UNFIT, calls)


async def test_samples_that_fit_cost_what_the_others_cost_too(connect, model, ask):
    plays = model(text=lambda body: UNFIT if body["seed"] % 2**31 == 6 else "Dog")
    whole = plays.reply
    plays.reply = lambda body: whole({**body, "n": 1})
    engine = await connect(plays)
    answer = await engine.complete(ask(constraint=Choices(ANIMALS), n=4, sampling=Sampling(1.0, seed=5)))
    assert [candidate.text for candidate in answer.candidates] == ["dog"] * 3
    assert answer.usage.calls == 5


@pytest.mark.parametrize("text", FORMS)
def test_an_evaluation_scores_every_spelling(evaluate, serve, model, text):
    sample, trace = evaluate(serve(model(text=text)).url)
    assert (sample["status"], sample["answer"], sample["raw"]) == ("correct", "B", text)
    assert (trace.calls[0].raw, trace.calls[0].value, trace.calls[0].problem) == (text, "dog", None)


@pytest.mark.parametrize(
    ("text", "status", "answer", "why"),
    [
        (UNFIT, "wrong", "A", "is read as A, 'cat'"),  # the official parser takes the last option that is named
        ("I cannot tell.", "unparsed", None, "chooses none of the"),
    ],
)
def test_an_evaluation_keeps_what_does_not_fit(evaluate, serve, model, text, status, answer, why):
    sample, trace = evaluate(serve(model(text=text)).url)
    assert (sample["status"], sample["answer"], sample["raw"]) == (status, answer, text)
    assert why in sample["explanation"]
    usage = sample["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["calls"]) == (20, 4, 1)
    (call,) = trace.calls
    assert (call.raw, call.value, call.finish_reason) == (text, None, "unfit")
    assert call.problem.startswith("server http")
    assert call.measured.usage["prompt_tokens"] == 20


def test_a_plan_that_does_not_fit_leads_to_a_direct_question(evaluate, serve, model):
    text = "First, count the legs.\nThen decide."

    def reply(body):
        return text if "answer: #1 > #2" in body["messages"][-1]["content"][-1]["text"] else "Dog."

    sample, trace = evaluate(serve(model(text=reply)).url, "decompose")
    assert (sample["status"], sample["answer"], sample["raw"]) == ("correct", "B", "Dog.")
    plan, answer = trace.calls
    assert sample["usage"]["calls"] == 2
    assert (plan.step, plan.raw, plan.finish_reason) == ("plan", text, "unfit")
    assert (answer.step, answer.raw, answer.value) == ("answer", "Dog.", "dog")
    said = [taken.step.text for taken in trace.steps if taken.step.kind == "reasoning"]
    assert len(said) == 1
    assert said[0].startswith("The question is asked directly: the plan is not valid")


async def test_an_answer_to_a_part_is_read_where_a_server_holds_nothing(connect, model, tmp_path):
    plan = "1. [count] How many dogs are there?\n2. [number] What is the value of tea?\nanswer: #1 + #2"

    def reply(body):
        text = body["messages"][-1]["content"][-1]["text"]
        return plan if "answer: #1 > #2" in text else "Two" if text.startswith("How") else "1,250"

    engine = await connect(model(text=reply))
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    question = Question("How much is it?", (load_image(tmp_path / "red.png"),))
    with Recorder(tmp_path / "traces") as recorder:
        outcome = await run("decompose", question, engine, recorder=recorder)
    assert (outcome.answer.value, outcome.stop_reason) == (1252, "answered")
    answers = [(step.value, step.raw, step.confidence) for step in outcome.steps if step.kind == "sub_answer"]
    assert answers == [(2, "Two", 0.0), (1250, "1,250", 0.0)]
    assert (await replay(read_trace(recorder.path))).differences == ()


async def test_an_answer_to_a_part_that_does_not_fit_is_kept(connect, model, tmp_path):
    plan = "1. [yes_no] Is it a dog?\n2. [count] How many legs has it?\nanswer: #1"

    def reply(body):
        text = body["messages"][-1]["content"][-1]["text"]
        return plan if "answer: #1 > #2" in text else {"Is": "Yes."}.get(text[:2], "Four or so")

    engine = await connect(model(text=reply))
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    with Recorder(tmp_path / "traces") as recorder:
        outcome = await run(
            "decompose", Question("Is it?", (load_image(tmp_path / "red.png"),)), engine, recorder=recorder
        )
    calls = {call.step: call for call in read_trace(recorder.path).calls}
    assert (calls["sub_question 1"].raw, calls["sub_question 1"].value) == ("Yes.", True)
    assert (calls["sub_question 2"].raw, calls["sub_question 2"].finish_reason) == ("Four or so", "unfit")
    assert (outcome.usage.calls, outcome.answer.value, outcome.stop_reason) == (3, True, "answered")
    second = next(step for step in outcome.steps if step.kind == "sub_answer" and step.to == 2)
    assert (second.value, second.raw) == (None, "Four or so")
    assert "expected what fits" in second.problem
