import json
from pathlib import Path

import pytest
from PIL import Image

from cot.engine import Choices, Regex, ScriptedEngine
from cot.errors import AnswerError, EngineError, PromptError, TaskError, UsageError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.metric import read_score, read_verdict
from cot.replay import replay
from cot.task import load_task
from cot.trace.read import read

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: '["a cat", "a kitten"]'
images: '"red.png"'
metric: METRIC
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Writes a task of four questions, and loads it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    rows = [{"question": f"What is number {number}?"} for number in range(1, 5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def made(metric="judge"):
        (tmp_path / "task.yaml").write_text(TASK.replace("METRIC", metric))
        return load_task("task.yaml")

    return made


def verdicts(*said):
    """A judge that says this of the answers to questions 1, 2, ..."""

    def reply(request):
        reply = said[int(request.messages[-1].content[-1].split("number ")[1][0]) - 1]
        return reply if isinstance(reply, Exception) else str(reply)

    return ScriptedEngine(reply)


async def run(task, judge, out="out", answer="a small cat", **options):
    engine = ScriptedEngine(lambda request: answer)
    with RunFolder(Path(out)) as folder:
        summary = await evaluate(folder, [select(task)], engine, Options(("direct",), **options), judge=judge)
    return summary, engine


def results(out="out"):
    found = [json.loads(line) for line in (Path(out) / "samples.jsonl").read_text().splitlines()]
    return {result["id"]: result for result in found}


@pytest.mark.parametrize("text", ["correct", " Correct.\n", '"correct"', "**CORRECT**"])
def test_a_verdict_is_read(text):
    assert read_verdict(text) == "correct"


@pytest.mark.parametrize("text", ["", "not correct", "correct or incorrect", "in correct", "A", "1", "yes", "korrekt"])
def test_what_is_no_verdict_is_none(text):
    with pytest.raises(AnswerError, match="expected one of: correct, incorrect, unsure"):
        read_verdict(text)


def test_a_score_is_read_within_its_range():
    assert [read_score(text) for text in ("0", "0.25", "1.0\n", "1")] == [0, 0.25, 1, 1]
    for text in ("1.1", "-0.5", "50%", "0,5", "nan", "1e-1", "0.5 of it", ""):
        with pytest.raises(AnswerError, match="expected a number from 0.0 to 1.0"):
            read_score(text)


async def test_only_verdicts_are_scored(make):
    judge = verdicts("correct", "Incorrect.", "unsure", "It is correct, I think")
    (part,) = (await run(make(), judge))[0].parts
    assert (part.metric, part.n, part.scored, part.score) == ("judge", 4, 2, 0.5)
    assert part.judged == {"judged": 2, "unparsed": 1, "unsure": 1}
    assert part.judge_usage["calls"] == part.usage["calls"] == 4
    assert part.judge_usage["completion_tokens"] == sum(one["judge"]["usage"]["completion_tokens"]
                                                        for one in results().values())  # fmt: skip
    assert part.note == (
        "the judge gave 2 answers no verdict; they count as errored, and --retry-errors does not ask again"
    )
    found = results()
    assert [found[key]["status"] for key in "1234"] == ["correct", "wrong", "errored", "errored"]
    assert found["1"]["answer"] == "a small cat"
    assert found["1"]["judge"]["verdict"] == "correct"
    assert found["1"]["judge"]["usage"]["calls"] == found["1"]["usage"]["calls"] == 1
    assert found["2"]["explanation"] == "the judge says incorrect"
    assert found["4"]["judge"]["raw"] == "It is correct, I think"
    assert found["4"]["explanation"].startswith("the judge's reply is no verdict: got 'It is correct, I think'")
    request = judge.requests[0]
    assert request.constraint == Choices(("correct", "incorrect", "unsure"))
    (text,) = request.messages[-1].content
    assert "True answer: a cat or a kitten\nGiven answer: a small cat\n" in text


async def test_a_judge_can_give_a_number(make):
    judge = verdicts("1.0", "0.25", "0", "most of it")
    (part,) = (await run(make("{name: judge, options: {template: judge/score}}"), judge))[0].parts
    assert (part.scored, part.score) == (3, pytest.approx(1.25 / 3))
    assert part.counts == {"correct": 1, "partial": 1, "wrong": 1, "unparsed": 0, "errored": 1}
    assert isinstance(judge.requests[0].constraint, Regex)


async def test_no_answer_is_not_judged(make):
    judge = verdicts()
    (part,) = (await run(make(), judge, answer="unknown"))[0].parts
    assert (part.counts["unparsed"], part.judged, part.judge_usage, judge.requests) == (4, None, None, [])


async def test_that_a_model_does_not_know_is_judged_where_it_is_the_ground_truth(make, tmp_path):
    make()
    (tmp_path / "task.yaml").write_text((tmp_path / "task.yaml").read_text().replace("a kitten", "Unknown"))
    judge = verdicts(*["correct"] * 4)
    (part,) = (await run(load_task("task.yaml"), judge, answer="unknown"))[0].parts
    assert (part.score, part.judged) == (1, {"judged": 4})
    assert {found["answer"] for found in results().values()} == {"unknown"}
    assert "Given answer: unknown\n" in judge.requests[0].messages[-1].content[-1]


async def test_a_judge_that_failed_is_asked_again_and_one_that_was_unsure_is_not(make):
    task = make()
    (part,) = (await run(task, verdicts("correct", "unsure", EngineError("gone"), "what?")))[0].parts
    assert part.judged == {"errored": 1, "judged": 1, "unparsed": 1, "unsure": 1}
    assert "the judge failed: judge: gone" in results()["3"]["explanation"]
    _, engine = await run(task, verdicts("correct", "correct", "correct", "correct"))
    assert engine.requests == []
    summary, engine = await run(task, verdicts("correct", "correct", "correct", "correct"), retry_errors=True)
    assert len(engine.requests) == 1
    assert summary.parts[0].judged == {"judged": 2, "unparsed": 1, "unsure": 1}


async def test_many_unsure_verdicts_do_not_stop_a_run_and_a_judge_that_is_gone_does(make, tmp_path):
    task = make()
    (tmp_path / "rows.jsonl").write_text('{"question": "What is number 1?"}\n' * 30)
    (part,) = (await run(task, verdicts("unsure")))[0].parts
    assert part.judged == {"unsure": 30}
    with pytest.raises(EngineError, match="stopped: scripted failed 20 times in a row, the last time with: gone"):
        await run(task, verdicts(EngineError("gone")), "other", concurrency=1)


async def test_the_verdict_is_in_the_trace_which_still_replays(make):
    await run(make(), verdicts("correct", "what?", "unsure", EngineError("gone")), trace=True)
    traces = {key: read(Path("out") / result["trace"]) for key, result in results().items()}
    calls = [traces[key].calls[-1] for key in "1234"]
    assert [call.step for call in calls] == ["judge"] * 4
    assert [call.value for call in calls] == ["correct", None, "unsure", None]
    assert calls[0].template == "judge/verdict"
    assert calls[1].problem.startswith("got 'what?'")
    assert all(trace.events[-1] == trace.finished for trace in traces.values())
    assert (await replay(traces["1"])).differences == ()


async def test_the_judge_is_part_of_the_run(make):
    task = make()
    await run(task, verdicts(*["correct"] * 4))
    judge = json.loads(Path("out/run.json").read_text())["judge"]
    assert (judge["model"], list(judge["templates"])) == ("scripted", ["judge/verdict"])
    with pytest.raises(UsageError, match="the task mine is scored by a judge; name its model with --judge-model"):
        await run(task, None)
    with pytest.raises(UsageError, match=r"got --judge-model, and none of \['mine'\] is scored by a judge"):
        await run(make("exact"), verdicts(), "other")


@pytest.mark.parametrize(
    ("template", "error", "message"),
    [
        ("judge/mind", PromptError, "no template 'judge/mind'"),
        ("direct/answer", TaskError, "the template direct/answer has the output text; expected choice or number"),
        ("judge/mine", TaskError, "the template judge/mine has the input picture; expected of a judge: question"),
        ("judge/blind", TaskError, "the template judge/blind has no input answer"),
    ],
)
async def test_a_template_that_cannot_judge_is_refused(make, tmp_path, template, error, message):
    folder = tmp_path / "prompts" / "judge"
    folder.mkdir(parents=True)
    for name, inputs in (("mine", "answer: {kind: text}, picture: {kind: text}"), ("blind", "question: {kind: text}")):
        head = f"name: judge/{name}\ndescription: d\ninputs: {{{inputs}}}\noutput: choice\nmax_tokens: 8\n"
        (folder / f"{name}.jinja").write_text(f"---\n{head}---\nIs it right?")
    with pytest.raises(error, match=message):
        await run(make(f"{{name: judge, options: {{template: {template}}}}}"), verdicts())
