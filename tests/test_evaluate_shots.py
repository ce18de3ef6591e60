"""Few-shot examples of an evaluation: which a sample is shown, which never, and what a run says of them."""

import json

import pytest
from PIL import Image

from cot.engine import ScriptedEngine
from cot.errors import DataError, EngineError, TaskError, UsageError
from cot.evaluate import Options, RunFolder, evaluate, select
from cot.evaluate.ablation import GREY
from cot.evaluate.asking import Asking
from cot.evaluate.gate import check_comparable
from cot.evaluate.images import image_opener
from cot.evaluate.shots import MAX_SHOTS, check_strategies, draw_shots
from cot.task import load_task

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: answer
images: image
group: g
id: id
metric: exact
"""
NORMALISED = "metric: {name: exact, options: {normalise: vqa}}\n"
SHOTS = "shots: {data: {loader: jsonl, path: solved.jsonl}}\n"


def row(kind, number, **fields):
    """A row of one of two kinds, of an image and a group of its own."""
    given = {"id": f"{kind}{number}", "question": f"{kind} {number}?", "answer": f"a{number}", "g": f"{kind}{number}"}
    return {**given, "image": f"{kind}{number}.png", **fields}


@pytest.fixture
def make(tmp_path):
    """Writes a task of rows `q` and solved rows `e`, and their images, and loads it."""

    def made(asked=3, solved=20, task=TASK + SHOTS):
        asked = [row("q", n) for n in range(asked)] if isinstance(asked, int) else asked
        solved = [row("e", n) for n in range(solved)] if isinstance(solved, int) else solved
        for name, rows in (("rows", asked), ("solved", solved)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
            for one in rows:
                if not (tmp_path / one["image"]).exists():
                    number = int("".join(c for c in one["image"] if c.isdigit()))
                    Image.new("RGB", (8, 6), (number, 0, 200 * one["image"].startswith("q"))).save(
                        tmp_path / one["image"]
                    )
        (tmp_path / "task.yaml").write_text(task)
        return load_task(str(tmp_path / "task.yaml"))

    return made


def draw(task, n, seed=0):
    return draw_shots(task, n, seed=seed, images=image_opener())


async def run(task, out, shots, *, script=lambda request: "a1", strategies=("direct",), seed=0, **asking):
    engine = ScriptedEngine(script)
    with RunFolder(out) as folder:
        selection = select(task, shots=draw(task, shots, seed), seed=seed)
        options = Options(strategies, Asking(seed=seed, **asking), concurrency=2, trace=True)
        summary = await evaluate(folder, [selection], engine, options)
    return engine, summary


def shown(request):
    """The questions, answers and pictures before the question."""
    turns = request.messages[:-1]
    return [
        (user.content[-1].splitlines()[0], said.content[0], user.content[0].sha256)
        for user, said in zip(turns[::2], turns[1::2], strict=True)
    ]


def questions(request):
    return [question for question, _, _ in shown(request)]


def results(out):
    return {one["id"]: one for one in map(json.loads, (out / "samples.jsonl").read_text().splitlines())}


async def test_every_sample_is_shown_the_same_solved_questions_of_other_rows(make, tmp_path):
    task = make(asked=5)
    engine, summary = await run(task, tmp_path / "out", 3)
    (first,) = {tuple(shown(request)) for request in engine.requests}
    assert len(engine.requests) == 5
    assert len({question for question, _, _ in first}) == 3
    assert all(question == f"e {answer[1:]}?" for question, answer, _ in first)
    (identity,) = json.loads((tmp_path / "out" / "run.json").read_text())["tasks"]
    assert (identity["shots"], len(identity["shots_sha256"])) == (3, 64)
    assert identity["shots_ids"] == [f"e{answer[1:]}" for _, answer, _ in first]
    assert summary.tasks[0].shots == 3


async def test_reasoning_is_free_and_the_answer_is_given_behind_them(make, tmp_path):
    engine, _ = await run(make(asked=1), tmp_path / "out", 2, strategies=("cot",))
    reasoned, answered = engine.requests
    assert (len(shown(reasoned)), len(shown(answered))) == (0, 2)


def test_the_draw_goes_by_the_seed_and_more_begin_with_the_same(make):
    task = make()
    assert draw(task, 8).ids[:3] == draw(task, 3).ids
    assert draw(task, 8).sha256 == draw(task, 8).sha256
    assert len({draw(task, 8, seed).ids for seed in range(5)}) > 1
    rows = [row("e", n) for n in reversed(range(20))]
    assert draw(make(solved=rows), 8).ids == draw(task, 8).ids


def test_examples_show_different_images(make):
    task = make(solved=[row("e", n, g=f"g{n % 4}") for n in range(40)])
    drawn = draw(task, 4)
    assert len({int(name[1:]) % 4 for name in drawn.ids}) == 4
    with pytest.raises(DataError, match=r"task.yaml: images in its `shots`: 4; expected at least 5, one for each"):
        draw(task, 5)


@pytest.mark.parametrize("ablation", [None, "blank"])
@pytest.mark.parametrize("same", [{"g": "q1"}, {"id": "q1"}, {"image": "q1.png"}])
async def test_what_shares_group_id_or_image_with_a_sample_is_never_shown_to_it(make, tmp_path, same, ablation):
    alike = row("e", 0, **same)
    task = make(solved=[alike, row("e", 1), row("e", 2)])
    seed = next(seed for seed in range(50) if alike["id"] in draw(task, 2, seed).ids)
    engine, _ = await run(task, tmp_path / "out", 2, seed=seed, ablation=ablation)
    seen = {request.messages[-1].content[-1].splitlines()[0]: questions(request) for request in engine.requests}
    assert alike["question"] in seen["q 0?"]
    assert seen["q 0?"] == seen["q 2?"]
    assert len(seen["q 1?"]) == 2
    assert alike["question"] not in seen["q 1?"]
    # An ablation takes from the question alone.
    before = [turn.content[0] for request in engine.requests for turn in request.messages[:-1:2]]
    assert GREY not in {image.pixels.getpixel((0, 0)) for image in before}
    notes = {name: result["notes"] for name, result in results(tmp_path / "out").items()}
    assert notes["q1"][0] == f"shown other examples than {alike['id']}, which share its image, group or id"
    assert not any("other examples" in note for note in notes["q0"])


async def test_numbers_of_rows_in_two_files_tell_nothing(make, tmp_path):
    task = make(asked=3, solved=3, task=(TASK + SHOTS).replace("id: id\n", ""))
    engine, _ = await run(task, tmp_path / "out", 3)
    assert len({tuple(questions(request)) for request in engine.requests}) == 1


def test_a_sample_that_too_few_examples_are_left_for_is_found_before_anything_is_asked(make):
    task = make(solved=[row("e", 0), row("e", 1, g="q1")])
    with pytest.raises(DataError, match=r"rows.jsonl, line 2: examples of other images: 1; expected 2; lower --shots"):
        select(task, shots=draw(task, 2))


async def test_a_picture_that_too_few_examples_are_left_for_errors_alone(make, tmp_path):
    task = make(solved=[row("e", 0), row("e", 1, image="q1.png")])
    _, summary = await run(task, tmp_path / "out", 2)
    assert summary.parts[0].counts["errored"] == 1
    assert "examples of other images: 1; expected 2" in results(tmp_path / "out")["q1"]["explanation"]


@pytest.mark.parametrize(
    ("fields", "more", "answer"),
    [
        ({"answer": ["no", "yes", "yes"]}, "", "yes"),
        ({"answer": ["no", "yes"]}, "", "no"),
        ({"answer": "B"}, 'choices: \'["a cat", "a dog"]\'\nmetric: choice\n', "a dog"),
        ({"answer": "A Dog"}, f'choices: \'["a cat", "a dog"]\'\n{NORMALISED}', "a dog"),
        ({"answer": "A"}, 'choices: \'["B", "A"]\'\n', "A"),
        ({"answer": "A"}, 'choices: \'["B", "A"]\'\nmetric: choice\n', "B"),
    ],
)
def test_the_answer_is_what_most_say_or_the_text_of_the_right_option(make, fields, more, answer):
    task = TASK.replace("metric: exact\n", "") if "metric" in more else TASK
    task = make(asked=[row("q", 0, **fields)], solved=[row("e", 0, **fields)], task=task + SHOTS + more)
    shots = draw(task, 1)
    ((example,), _) = shots.before(next(task.samples()), ())
    assert example.answer == answer
    assert example.choices == next(task.samples()).target.choices


async def test_examples_of_one_file_told_apart_by_a_column(make, tmp_path):
    rows = [row("q", 0, split="test"), row("e", 0, split="train"), row("e", 1, split="train", answer=None, said="b")]
    more = "only: split == 'test'\nshots: {only: split == 'train', answers: said | default(answer)}\n"
    engine, summary = await run(make(asked=rows, task=TASK + more), tmp_path / "out", 2)
    assert summary.parts[0].n == 1
    assert sorted(shown(engine.requests[0]))[1][:2] == ("e 1?", "b")


async def test_a_run_does_not_go_on_with_other_examples(make, tmp_path):
    out, task = tmp_path / "out", make()
    await run(task, out, 2)
    with pytest.raises(DataError, match=r"another run: --shots of mine was 2 and is 3; run it"):
        await run(task, out, 3)
    with pytest.raises(DataError, match=r"another run: --shots of mine was 2 and is 0; run it"):
        await run(task, out, 0)
    Image.new("RGB", (8, 6), "white").save(tmp_path / f"{draw(task, 2).ids[0]}.png")
    with pytest.raises(DataError, match=r"holds another run: tasks.mine.shots_sha256 was '\w+…' and is '\w+…'; run it"):
        await run(task, out, 2)


async def test_a_gate_wants_the_same_examples(make, tmp_path):
    task = make()
    _, baseline = await run(task, tmp_path / "out", 2)
    check_comparable(baseline, [select(task, shots=draw(task, 2)).identity], ("direct",), None)
    for shots, seed, message in ((3, 0, "has 3 examples"), (2, 1, "has 2 other examples"), (0, 0, "has 0 examples")):
        now = select(task, shots=draw(task, shots, seed)).identity
        with pytest.raises(UsageError, match=f"the baseline of mine was made with --shots 2, and this run {message}"):
            check_comparable(baseline, [now], ("direct",), None)


async def test_a_model_that_they_are_too_long_for_gives_errored_samples(make, tmp_path):
    def script(request):
        return EngineError("prompt too long for tiny: got 300 tokens") if len(request.messages) > 3 else "a1"

    _, summary = await run(make(), tmp_path / "out", 2, script=script)
    assert summary.parts[0].counts["errored"] == 3
    found = results(tmp_path / "out")["q0"]["explanation"]
    assert found == "answer: prompt too long for tiny: got 300 tokens (asked with --shots 2)"


@pytest.mark.parametrize("n", [-1, MAX_SHOTS + 1])
def test_a_number_out_of_range(make, n):
    with pytest.raises(UsageError, match=f"got --shots {n}; expected 0 to 32"):
        draw(make(), n)
    assert draw(make(), 0) is None


def test_a_task_without_examples_says_what_to_add(make):
    with pytest.raises(
        TaskError, match=r"task.yaml does not say where examples .*add .*`shots: {data: {loader: jsonl, …"
    ):
        draw(make(task=TASK), 1)


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        ("{}", "shots are the rows that are asked; expected others"),
        ("{data: {loader: jsonl, path: rows.jsonl}, images: image}", "shots are the rows that are asked"),
        ("{data: {loader: nothing}}", "unknown loader 'nothing'"),
        ("{data: {loader: jsonl, file: a}}", "unknown field 'shots.data.file'; known: loader, path"),
        ("{facts: a}", "unknown field 'shots.facts'; known: data, only"),
        ("{only: 'a(1)'}", "only: 'a.1.' is no expression"),
    ],
)
def test_a_wrong_source_of_examples_is_one_line(make, shots, message):
    with pytest.raises(TaskError, match=message) as caught:
        make(task=f"{TASK}shots: {shots}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answer": "owl"}, r"solved.jsonl, line 1: got 'owl' as the right one of 2 options"),
        ({"image": "text.png"}, r"example 'e0', .*solved.jsonl, line 1: .*text.png"),
    ],
)
def test_a_bad_example_is_told_with_its_line(make, tmp_path, fields, message):
    (tmp_path / "text.png").write_text("no picture")
    task = make(solved=[row("e", 0, **fields)], task=TASK + SHOTS + 'choices: \'["a0", "b"]\'\n')
    with pytest.raises(DataError, match=message):
        draw(task, 1)


def test_a_strategy_that_answers_in_json_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prompts" / "own"
    folder.mkdir(parents=True)
    (folder / "strategy.yaml").write_text("description: d\nsteps: [{name: say}]\n")
    head = "---\nname: own/say\ndescription: d\ninputs: {question: {kind: text, required: true}}\noutput: "
    (folder / "say.jinja").write_text(head + "{json_schema: {type: object}}\n---\n{{ question }}")
    check_strategies(0, ("own",))
    check_strategies(2, ("direct", "cot", "route"))
    with pytest.raises(UsageError, match=r"got --shots 2 for the strategy own, whose step 'say' answers in JSON"):
        check_strategies(2, ("own",))
