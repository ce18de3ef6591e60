"""A run that goes on: what it looks at again, what it does not, and what it says of data that is not as it was."""

import json

import pytest
from PIL import Image

from cot.compare.stored import open_run
from cot.dataset import LOADERS
from cot.dataset.table import jsonl
from cot.engine import ScriptedEngine
from cot.errors import DataError
from cot.evaluate import Options, RunFolder, SampleResult, evaluate, select
from cot.evaluate.asking import Asking
from cot.evaluate.images import image_opener
from cot.evaluate.shard import Shard
from cot.evaluate.shots import draw_shots
from cot.task import LoadedTask, load_task

N = 12
TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
id: id
group: g
metric: exact
"""
SHOTS = "shots: {data: {loader: jsonl, path: solved.jsonl}}\n"


def write_rows(file, n, **other):
    rows = [
        {"id": f"{file.stem}-{number}", "question": f"Is it {number}?", "answer": "yes", "image": f"{number}.png",
         "g": number, **other}
        for number in range(n)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    """A task of N questions, an image each, and examples."""
    for number in range(N):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"{number}.png")
    write_rows(tmp_path / "rows.jsonl", N)
    write_rows(tmp_path / "solved.jsonl", N, g="other")
    (tmp_path / "task.yaml").write_text(TASK)
    return tmp_path


@pytest.fixture
def made(monkeypatch):
    """The ids of the rows that samples are made of."""
    ids = []
    make = LoadedTask.sample

    def watched(self, named):
        ids.append(named.id)
        return make(self, named)

    monkeypatch.setattr(LoadedTask, "sample", watched)
    return ids


async def run(folder, *, loaders=LOADERS, shots=0, limit=None, shuffle=False, seed=0, ablation=None, **options):
    """Go on with the run in out/; the summary, and what the engine was asked."""
    engine = ScriptedEngine(lambda request: "yes")
    task = load_task(str(folder / "task.yaml"), loaders=loaders)
    examples = draw_shots(task, shots, seed=seed, images=image_opener())
    with RunFolder(folder / "out") as out:
        before = out.definition()
        selection = select(task, limit=limit, shuffle=shuffle, seed=seed, shots=examples, before=before)
        options = Options(("direct",), Asking(seed=seed, ablation=ablation), concurrency=2, **options)
        summary = await evaluate(out, [selection], engine, options)
    return summary.model_dump(exclude={"wall_seconds": True, "parts": {"__all__": {"seconds"}}}), len(engine.requests)


def take_out(folder, *ids):
    """Take results out of the run, as if it had been stopped before them."""
    file = folder / "out" / "samples.jsonl"
    kept = [line for line in file.read_text().splitlines(keepends=True) if json.loads(line)["id"] not in ids]
    file.write_text("".join(kept))


async def test_a_finished_run_makes_no_sample_again(folder, made):
    whole, _ = await run(folder)
    assert len(made) == 2 * N
    made.clear()
    assert await run(folder) == (whole, 0)
    assert made == []


async def test_a_stopped_run_makes_the_samples_that_are_missing(folder, made):
    whole, _ = await run(folder)
    take_out(folder, "rows-3", "rows-8")
    made.clear()
    assert await run(folder) == (whole, 2)
    assert made == ["rows-3", "rows-8"]


@pytest.mark.parametrize(
    "chosen", [{"limit": 5}, {"limit": 5, "shuffle": True}, {"limit": 5, "shuffle": True, "seed": 3}]
)
async def test_the_same_choice_goes_on_without_a_look_and_another_is_refused(folder, made, chosen):
    whole, _ = await run(folder, **chosen)
    one = json.loads((folder / "out" / "samples.jsonl").read_text().splitlines()[2])["id"]
    take_out(folder, one)
    made.clear()
    assert await run(folder, **chosen) == (whole, 1)
    assert made == [one]
    for other, said in [
        ({"limit": 6}, "--limit of mine was 5 and is 6; run it"),
        ({"shuffle": not chosen.get("shuffle")}, "shuffle was"),
        ({"seed": 4}, "seed was"),
    ]:
        with pytest.raises(DataError, match=f"holds another run: .*{said}"):
            await run(folder, **{**chosen, **other})


async def test_samples_drawn_by_another_seed_are_looked_at_again(folder):
    task = load_task(str(folder / "task.yaml"))
    with RunFolder(folder / "out") as out:
        drawn = select(task, limit=5, shuffle=True, seed=1)
        await evaluate(out, [drawn], ScriptedEngine(lambda request: "yes"), Options(("direct",)))
        before = out.definition()
    # The seed of the run is not that of the draw.
    assert before.seed == 0
    again = [select(task, limit=5, shuffle=True, seed=seed, before=before) for seed in (1, 2)]
    assert again[0].identity == drawn.identity
    assert again[1].identity == select(task, limit=5, shuffle=True, seed=2).identity != drawn.identity


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Is it 7?", "Is it 6?", "tasks.mine.data_sha256 was"),
        ('"id": "rows-7"', '"id": "rows-6"', "line 8: the id 'rows-6' is there twice"),
        ("7.png", "seven.png", "line 8: the image .*seven.png' does not exist"),
        ('"answer": "yes", "image": "7.png"', '"image": "7.png"', "line 8: .*answer.* is undefined"),
    ],
)
async def test_other_bytes_are_looked_at_before_anything_is_asked(folder, old, new, said):
    await run(folder)
    take_out(folder, "rows-0")
    kept = (folder / "out" / "samples.jsonl").read_bytes()
    text = (folder / "rows.jsonl").read_text()
    (folder / "rows.jsonl").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=said):
        await run(folder)
    assert (folder / "out" / "samples.jsonl").read_bytes() == kept


async def test_other_bytes_that_say_the_same_go_on(folder, made):
    whole, _ = await run(folder)
    with (folder / "rows.jsonl").open("a") as file:
        file.write("\n")
    made.clear()
    assert await run(folder) == (whole, 0)
    assert len(made) == N


async def test_another_task_or_version_is_looked_at_and_named(folder, made, monkeypatch):
    await run(folder)
    (folder / "task.yaml").write_text(TASK + "category: question\n")
    made.clear()
    with pytest.raises(DataError, match="tasks.mine.data_sha256 was"):
        await run(folder)
    assert len(made) == N
    (folder / "task.yaml").write_text(TASK)
    monkeypatch.setattr("cot.__version__", "99")
    made.clear()
    with pytest.raises(DataError, match="cot was .* and is '99'"):
        await run(folder)
    assert len(made) == N


async def test_an_image_that_has_gone_is_told_when_its_sample_is_asked_and_nothing_is_lost(folder):
    whole, _ = await run(folder)
    take_out(folder, "rows-2", "rows-5", "rows-9")
    (folder / "0.png").unlink()
    image = (folder / "5.png").read_bytes()
    (folder / "5.png").unlink()
    with pytest.raises(DataError, match=r"rows.jsonl, line 6: the image '.*5.png' does not exist; expected it there"):
        await run(folder)
    assert len((folder / "out" / "samples.jsonl").read_text().splitlines()) >= N - 3
    (folder / "5.png").write_bytes(image)
    # That of a sample which is done is not needed any more.
    assert (await run(folder))[0] == whole


async def test_a_run_that_knows_no_hash_looks_at_everything(folder, made):
    whole, _ = await run(folder)
    file = folder / "out" / "run.json"
    definition = json.loads(file.read_text())
    del definition["made_with"]["data"]["mine"]["files_sha256"], definition["made_with"]["data"]["mine"]["draw"]
    file.write_text(json.dumps(definition))
    made.clear()
    assert await run(folder) == (whole, 0)
    assert len(made) == N


async def test_one_of_several_processes_looks_at_everything(folder, made):
    await run(folder)
    with RunFolder(folder / "out") as out:
        before = out.definition()
    made.clear()
    share = select(load_task(str(folder / "task.yaml")), shard=Shard(0, 2, 0), before=before)
    assert (len(made), share.n) == (N, N // 2)


async def test_files_that_change_while_they_are_looked_at_are_looked_at_again(folder, monkeypatch):
    survey, rows = LoadedTask.survey, folder / "rows.jsonl"

    def meanwhile(self, *chosen):
        rows.write_text(rows.read_text() + "\n")
        return survey(self, *chosen)

    monkeypatch.setattr(LoadedTask, "survey", meanwhile)
    assert select(load_task(str(folder / "task.yaml"))).place.files_sha256 is None


async def test_a_few_first_rows_of_a_large_file_are_looked_at_again(folder, made, monkeypatch):
    monkeypatch.setitem(select.__globals__, "MAX_HASHED_BYTES", 10)
    whole, _ = await run(folder, limit=3)
    made.clear()
    assert await run(folder, limit=3) == (whole, 0)
    assert made == ["rows-0", "rows-1", "rows-2"]
    task = load_task(str(folder / "task.yaml"))
    # These are looked at as far as the file goes.
    assert select(task).place.files_sha256 == select(task, limit=3, shuffle=True).place.files_sha256 is not None


async def test_rows_of_another_source_are_looked_at_again(folder, made):
    loaders = {**LOADERS, "jsonl": lambda spec, place: jsonl(spec, place)}
    whole, _ = await run(folder, loaders=loaders)
    assert json.loads((folder / "out" / "run.json").read_text())["made_with"]["data"]["mine"]["files_sha256"] is None
    made.clear()
    assert await run(folder, loaders=loaders) == (whole, 0)
    assert len(made) == N


async def test_examples_are_drawn_again_and_others_are_refused(folder, made):
    (folder / "task.yaml").write_text(TASK + SHOTS)
    whole, _ = await run(folder, shots=1)
    take_out(folder, "rows-4")
    made.clear()
    assert await run(folder, shots=1) == (whole, 1)
    assert made == [*(f"solved-{number}" for number in range(N)), "rows-4"]
    write_rows(folder / "solved.jsonl", N, g="other", answer="no")
    with pytest.raises(DataError, match=r"tasks.mine.shots_sha256 was"):
        await run(folder, shots=1)


async def test_a_wrong_image_is_the_same_one_when_it_is_asked_again(folder, monkeypatch):
    shown = []
    complete = ScriptedEngine.complete

    async def watched(self, request):
        image, text = request.messages[-1].content[:2]
        shown.append((text.splitlines()[0], image.sha256))
        return await complete(self, request)

    monkeypatch.setattr(ScriptedEngine, "complete", watched)
    whole, _ = await run(folder, ablation="wrong-image")
    first = dict(shown)
    take_out(folder, "rows-4", "rows-11")
    shown.clear()
    assert await run(folder, ablation="wrong-image") == (whole, 2)
    assert dict(shown).items() <= first.items()
    assert len(set(first.values())) > 1


async def test_a_retry_that_was_interrupted_is_not_finished(folder):
    await run(folder)
    file = folder / "out" / "samples.jsonl"
    first, *rest = file.read_text().splitlines()
    failed = {"status": "errored", "score": None, "answer": None}
    file.write_text("\n".join([json.dumps(json.loads(first) | failed), *rest]) + "\n")
    assert open_run(folder / "out").state == "finished"
    with RunFolder(folder / "out") as opened:
        opened.open_samples(lambda result: None, retry_errors=True)
        opened.append(SampleResult.model_validate_json(first))
    assert open_run(folder / "out").state == "interrupted"


async def test_errors_are_done_again_and_only_these(folder, made):
    whole, _ = await run(folder)
    file = folder / "out" / "samples.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    failed = {"status": "errored", "score": None, "answer": None}
    changed = [{**line, **failed} if line["id"] == "rows-6" else line for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in changed))
    made.clear()
    assert await run(folder, retry_errors=True) == (whole, 1)
    assert made == ["rows-6"]
