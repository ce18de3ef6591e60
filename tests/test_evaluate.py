import asyncio
import itertools
import json
import math

import pytest
from eval_runs import result
from PIL import Image

from cot.engine import ScriptedEngine
from cot.errors import DataError, EngineError, RequestError, UnfitReplyError, UsageError
from cot.evaluate import Options, RunFolder, Watch, evaluate, select
from cot.evaluate.asking import Asking
from cot.evaluate.running import Running
from cot.planner.budget import Budget
from cot.task import load_task

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
id: id
metric: METRIC
"""


def asked(request):
    return request.messages[-1].content[-1]


def reply(request):
    """Right about even numbers."""
    number = int("".join(c for c in asked(request).splitlines()[0] if c.isdigit()))
    return "yes" if number % 2 == 0 else "no"


class Engine(ScriptedEngine):
    """Forgets what it was asked, so that a long run does not fill the memory of the test."""

    async def complete(self, request):
        self.most = max(getattr(self, "most", 0), len(asyncio.all_tasks()))
        if len(self.requests) > 1000:
            self.requests.clear()
        return await super().complete(request)


@pytest.fixture
def make(tmp_path):
    """Writes a task of n questions, two an image, and loads it."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")

    def made(n=10, metric="exact", answer="yes", image=lambda number: "red.png", more=""):
        lines = [
            {"id": number, "question": f"Is it {number}?", "answer": answer, "image": image(number), "g": number // 2}
            for number in range(n)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / "task.yaml").write_text(TASK.replace("METRIC", metric) + "group: g\n" + more)
        return load_task(str(tmp_path / "task.yaml"))

    return made


async def run(task, out, script=reply, *, limit=None, shuffle=False, watch=None, **options):
    engine = Engine(script)
    options = Options(options.pop("strategies", ("direct",)), **options)
    with RunFolder(out) as folder:
        selected = select(task, limit=limit, shuffle=shuffle)
        return await evaluate(folder, [selected], engine, options, watch or Watch())


def results(out):
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


async def test_a_run_has_every_sample_and_its_score(make, tmp_path):
    out = tmp_path / "out"
    summary = await run(make(), out, concurrency=3)
    (part,) = summary.parts
    assert (part.n, part.score, part.interval_method, part.images) == (10, 0.5, "wilson", 5)
    assert part.counts == {"correct": 5, "partial": 0, "wrong": 5, "unparsed": 0, "errored": 0}
    assert part.usage["calls"] == 10
    found = results(out)
    assert sorted(int(result["id"]) for result in found) == list(range(10))
    assert list(found[0])[:5] == ["task", "id", "group", "category", "strategy"]
    assert json.loads((out / "summary.json").read_text())["parts"][0]["score"] == 0.5
    definition = json.loads((out / "run.json").read_text())
    assert definition["templates"]["direct/answer"]
    assert (definition["model"], definition["tasks"][0]["n"]) == ("scripted", 10)


async def test_unparsed_counts_as_nothing_and_errored_is_left_out(make, tmp_path):
    def script(request):
        number = int(asked(request).split("Is it ")[1].split("?")[0])
        return {0: "yes", 1: "no", 2: "unknown", 3: EngineError("gone")}[number]

    (part,) = (await run(make(4), tmp_path / "out", script)).parts
    assert part.counts == {"correct": 1, "partial": 0, "wrong": 1, "unparsed": 1, "errored": 1}
    assert (part.n, part.scored, part.score) == (4, 3, pytest.approx(1 / 3))
    by_id = {result["id"]: result for result in results(tmp_path / "out")}
    assert by_id["2"]["score"] is None
    assert "gone" in by_id["3"]["explanation"]


async def test_a_reply_that_is_not_what_was_asked_for_is_unparsed(make, tmp_path):
    (part,) = (await run(make(4), tmp_path / "out", lambda request: UnfitReplyError("got 'Hm'"))).parts
    assert (part.counts["unparsed"], part.counts["errored"], part.score) == (4, 0, 0.0)
    assert results(tmp_path / "out")[0]["explanation"] == "no answer (unparsed): answer: got 'Hm'"


async def test_what_a_reply_that_does_not_fit_said_and_cost_is_kept(make, tmp_path):
    error = UnfitReplyError("got 'Hm'", text="Hm", usage={"prompt_tokens": 7, "completion_tokens": 2, "calls": 1})
    (part,) = (await run(make(4), tmp_path / "out", lambda request: error)).parts
    assert (part.counts["unparsed"], part.usage["calls"], part.usage["prompt_tokens"]) == (4, 4, 28)
    first = results(tmp_path / "out")[0]
    assert (first["raw"], first["answer"], first["usage"]["completion_tokens"]) == ("Hm", None, 2)


@pytest.mark.parametrize(
    ("said", "truth", "metric", "score"),
    [
        ("Yes", "Yes", "{name: exact, options: {normalise: vqa}}", 1),
        ("2.50", "2.50", "{name: exact, options: {normalise: vqa}}", 1),
        ("Answer: Two.", "Two", "anls", 1),
        ("1,234", "1,234", "anls", 1),
        ("1,000", "1000", "relaxed", 0),
        ("NO", "no", "pope", 0),
        ("12%", "12%", "anls", 1),
    ],
)
async def test_metrics_read_the_words_of_the_model(make, tmp_path, said, truth, metric, score):
    (part,) = (await run(make(2, metric=metric, answer=truth), tmp_path / "out", lambda request: said)).parts
    assert part.score == score


async def test_a_computed_answer_is_scored_by_its_value(make, tmp_path):
    def script(request):
        return "1. [count] How many?\nanswer: #1 > 1" if "answer: " in asked(request) else "two"

    options = {"strategies": ("decompose",)}
    (part,) = (await run(make(1, metric="anls", answer="yes"), tmp_path / "out", script, **options)).parts
    assert part.score == 1
    assert results(tmp_path / "out")[0]["raw"] != "yes"


@pytest.mark.parametrize(
    ("metric", "said", "counts"),
    [
        ("choice", "I believe it is (B) because of the tail.", {"correct": 2}),
        ("choice", "I believe it is (A) because of the tail.", {"wrong": 2}),
        ("mmmu", "The animal shown here is B", {"correct": 2}),
        ("choice", "I cannot tell.", {"unparsed": 2}),
        ("exact", "I believe it is (B) because of the tail.", {"unparsed": 2}),
    ],
)
async def test_a_metric_that_finds_choices_in_free_text_is_given_it(make, tmp_path, metric, said, counts):
    task = make(2, metric=metric, answer="dog", more="choices: \"['cat', 'dog']\"\n")
    (part,) = (await run(task, tmp_path / "out", lambda request: said)).parts
    assert {status: n for status, n in part.counts.items() if n} == counts
    first = results(tmp_path / "out")[0]
    assert first["raw"] == said
    assert (first["answer"] is None) == ("unparsed" in counts)


async def test_why_there_is_no_answer_is_not_what_was_noted_before(make, tmp_path):
    await run(make(1), tmp_path / "out", lambda request: "unknown")
    (first,) = results(tmp_path / "out")
    assert first["explanation"] == "no answer (answered): the model says that it does not know"


async def test_partial_scores_have_a_bootstrap_over_images(make, tmp_path):
    (part,) = (await run(make(6, metric="anls", answer="yet"), tmp_path / "out")).parts
    assert part.interval_method == "clustered_bootstrap"
    assert part.interval[0] <= part.score <= part.interval[1]


async def test_the_same_folder_goes_on(make, tmp_path):
    out, task = tmp_path / "out", make()
    whole = await run(task, tmp_path / "whole")
    await run(task, out)
    lines = (out / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (out / "samples.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    seen = []

    class Seen(Watch):
        def started(self, total, skipped):
            seen.append((total, skipped))

    summary = await run(task, out, watch=Seen())
    assert seen == [(10, 4)]
    assert len(results(out)) == 10
    assert summary.parts[0].score == whole.parts[0].score


async def test_errors_are_done_again_when_asked(make, tmp_path):
    out, task = tmp_path / "out", make(4)
    count = itertools.count()
    await run(task, out, lambda request: EngineError("gone") if next(count) == 0 else "yes")
    (part,) = (await run(task, out, lambda request: "yes")).parts
    assert part.counts["errored"] == 1
    (part,) = (await run(task, out, lambda request: "yes", retry_errors=True)).parts
    assert (part.counts["errored"], part.counts["correct"]) == (0, 4)
    assert len(results(out)) == 4


async def test_another_run_is_refused_by_name(make, tmp_path, monkeypatch):
    out = tmp_path / "out"
    await run(make(), out)
    with pytest.raises(DataError, match=r"holds another run: settings.max_tokens was 2048 and is 9; run it as it was"):
        await run(make(), out, asking=Asking(Budget(max_tokens=9)))
    with pytest.raises(DataError, match=r"seed was 0 and is 3"):
        await run(make(), out, asking=Asking(seed=3))
    with pytest.raises(DataError, match=r"strategies was \['direct'\] and is \['cot'\]"):
        await run(make(), out, strategies=("cot",))
    with pytest.raises(DataError, match=r"tasks.mine.data_sha256 was"):
        await run(make(answer="no"), out)
    with pytest.raises(DataError, match=r"another run: --limit of mine was not given and is 3; run it"):
        await run(make(), out, limit=3)
    monkeypatch.chdir(tmp_path)
    template = tmp_path / "prompts" / "direct" / "answer.jinja"
    template.parent.mkdir(parents=True)
    shipped = (load_task.__globals__["find_task"]("pope").parent.parent / "prompts/direct/answer.jinja").read_text()
    template.write_text(shipped + "\nBe brief.")
    with pytest.raises(DataError, match=r"templates.direct/answer was"):
        await run(make(), out)


async def test_results_that_are_none_of_the_run_are_refused(make, tmp_path):
    out = tmp_path / "out"
    await run(make(), out)
    kept = (out / "samples.jsonl").read_text()
    for name in ("task", "strategy"):
        stray = json.dumps({**results(out)[0], name: "other"})
        (out / "samples.jsonl").write_text(f"{kept}{stray}\n")
        with pytest.raises(DataError, match="out has a result of .*other.*, which its run.json does not name"):
            await run(make(), out)
        (out / "samples.jsonl").write_text(kept)
    (out / "run.json").write_text("{")
    with pytest.raises(DataError, match="run.json is not what this version writes: Invalid JSON: EOF"):
        await run(make(), out)


async def test_a_folder_with_other_files_is_refused(make, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("x")
    with pytest.raises(DataError, match=r"holds 'thesis.doc' and no run.json"):
        await run(make(), tmp_path / "full")


async def test_two_writers_are_refused(make, tmp_path):
    with RunFolder(tmp_path / "out"), pytest.raises(DataError, match="another process writes the run"):
        RunFolder(tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^cannot write to \S+/file: File exists: "):
        RunFolder(tmp_path / "file")
    assert not (tmp_path / "out").exists()


async def test_a_bad_image_errs_and_the_rest_goes_on(make, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    (part,) = (await run(make(image=lambda n: "bad.png" if n == 2 else "red.png"), tmp_path / "out")).parts
    assert (part.counts["errored"], part.scored) == (1, 9)


async def test_an_engine_that_always_fails_stops_the_run(make, tmp_path):
    with pytest.raises(EngineError, match=r"stopped: scripted failed 2. times in a row, .*gone.*--retry-errors"):
        await run(make(100), tmp_path / "out", lambda request: EngineError("gone"), concurrency=4)
    assert len(results(tmp_path / "out")) < 40
    (part,) = (await run(make(100), tmp_path / "out", retry_errors=True)).parts
    assert (part.counts["errored"], part.scored) == (0, 100)


async def test_an_engine_that_fails_now_and_then_does_not_stop_the_run(make, tmp_path):
    def script(request):
        return EngineError("busy") if int(asked(request).split("Is it ")[1].split("?")[0]) % 20 else "yes"

    (part,) = (await run(make(100), tmp_path / "out", script, concurrency=1)).parts
    assert (part.counts["errored"], part.scored) == (95, 5)


async def test_what_fails_for_its_own_data_does_not_stop_the_run(make, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")

    def script(request):
        return RequestError("prompt too long") if "Is it 2" not in asked(request) else "yes"

    task = make(150, image=lambda n: "bad.png" if 100 <= n < 150 else "red.png")
    (part,) = (await run(task, tmp_path / "out", script, concurrency=1)).parts
    assert (part.counts["errored"], part.scored) == (139, 11)


async def test_a_run_in_which_nothing_goes_well_stops(make, tmp_path):
    task = make(150)
    with pytest.raises(EngineError, match=r"stopped: all 100 samples so far failed, the last with: .*too long.*--re"):
        await run(task, tmp_path / "out", lambda request: RequestError("prompt too long"), concurrency=1)
    assert len(results(tmp_path / "out")) == 100
    await run(task, tmp_path / "out")
    with pytest.raises(DataError, match="holds another run"):
        await run(task, tmp_path / "out", strategies=("cot",))


async def test_where_samples_went_well_before_others_may_fail(make, tmp_path):
    first, out = itertools.count(), tmp_path / "out"
    with pytest.raises(EngineError, match="in a row"):
        await run(
            make(200), out, lambda request: "yes" if next(first) == 0 else EngineError("gone"), concurrency=1
        )  # fmt: skip
    (part,) = (await run(make(200), out, lambda request: RequestError("prompt too long"), concurrency=1)).parts
    assert (part.scored, part.counts["errored"]) == (1, 199)


async def test_nothing_scored_is_no_zero(make, tmp_path):
    (part,) = (await run(make(2), tmp_path / "out", lambda request: EngineError("gone"))).parts
    assert (part.score, part.interval) == (None, None)


async def test_limit_and_shuffle(make, tmp_path):
    task = make(100)
    await run(task, tmp_path / "first", limit=5)
    assert {result["id"] for result in results(tmp_path / "first")} == set("01234")
    await run(task, tmp_path / "drawn", limit=5, shuffle=True)
    drawn = {result["id"] for result in results(tmp_path / "drawn")}
    assert len(drawn) == 5
    assert drawn != set("01234")
    with pytest.raises(UsageError, match="--shuffle without --limit"):
        select(task, shuffle=True)
    with pytest.raises(UsageError, match="got --limit 0; expected a whole number of at least 1$"):
        select(task, limit=0)


async def test_samples_of_one_image_are_asked_together(make, tmp_path):
    task = make(8)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(lines[::2] + lines[1::2]))
    assert [sample.id for sample in select(task).samples()] == list("01234567")


async def test_traces_and_figures(make, tmp_path):
    (part,) = (await run(make(4, metric="pope"), tmp_path / "out", trace=True)).parts
    assert part.figures[""]["recall"] == 0.5
    trace = results(tmp_path / "out")[0]["trace"]
    assert (tmp_path / "out" / trace / "trace.jsonl").exists()


async def test_a_fault_of_the_program_costs_one_sample(make, tmp_path):
    (part,) = (await run(make(4), tmp_path / "out", lambda r: 1 / 0 if "Is it 2" in asked(r) else "yes")).parts
    assert (part.counts["errored"], part.counts["correct"]) == (1, 3)


@pytest.mark.slow
async def test_twenty_thousand_samples_keep_memory_flat(make, tmp_path):
    psutil = pytest.importorskip("psutil")
    task, sizes = make(20_000), []

    class Sizes(Watch):
        def finished(self, result):
            if int(result.id) % 1000 == 0:
                sizes.append(psutil.Process().memory_info().rss)

    (part,) = (await run(task, tmp_path / "out", watch=Sizes())).parts
    assert part.n == 20_000
    assert math.isclose(part.score, 0.5)
    assert sizes[-1] - sizes[len(sizes) // 4] < 24 * 2**20


def test_a_mean_of_confidences_that_nobody_gave_is_none():
    for confidence, mean in ((0.0, None), (0.5, 0.5)):
        running = Running("exact")
        running.add(result(1, confidence=confidence))
        assert running.part("mine", "direct").mean_confidence == mean


def test_an_answer_without_a_confidence_is_not_one_that_is_surely_wrong():
    """As where a server gives probabilities with some replies, and not with all."""
    running = Running("exact")
    for number, confidence in enumerate((0.9, 0.9, 0.0)):
        running.add(result(number, confidence=confidence))
    running.add(result(3, "unparsed", confidence=0.0))
    part = running.part("mine", "direct")
    assert (part.calibration_error, part.risk_coverage_area) == (pytest.approx(0.1), 0)
    assert part.mean_confidence == pytest.approx(0.9)


async def test_unknown_is_right_where_it_is_the_ground_truth(make, tmp_path):
    await run(make(2, answer="unknown"), tmp_path / "out", lambda request: "unknown")
    await run(make(2), tmp_path / "other", lambda request: "unknown")
    assert [one["status"] for one in results(tmp_path / "out")] == ["correct"] * 2
    assert [one["status"] for one in results(tmp_path / "other")] == ["unparsed"] * 2
