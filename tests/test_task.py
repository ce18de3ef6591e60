import base64
import io
import json
import os
import tracemalloc
import unicodedata

import jinja2
import pytest
from PIL import Image

from cot.dataset import LOADERS, Row
from cot.errors import DataError, TaskError
from cot.prompt.sandbox import compile_expression
from cot.task import load_task, task_names

TASK = """
name: mine
version: 1
data: {loader: jsonl, path: rows.jsonl}
question: question
answers: "[answer]"
images: image
metric: exact
"""
ROW = '{"question": "Is there a cat?", "answer": "yes", "image": "red.png"}\n'


@pytest.fixture
def write(tmp_path):
    """Writes a task and its rows, and loads it."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")

    def made(task=TASK, rows=ROW, **how):
        (tmp_path / "task.yaml").write_text(task)
        (tmp_path / "rows.jsonl").write_text(rows)
        return load_task(str(tmp_path / "task.yaml"), **how)

    return made


def test_a_row_becomes_a_sample(write, tmp_path):
    (sample,) = write().samples()
    assert (sample.id, sample.question, sample.group) == ("1", "Is there a cat?", "red.png")
    assert sample.images == (tmp_path / "red.png",)
    assert sample.target.answers == ("yes",)
    assert sample.where.endswith("rows.jsonl, line 1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: exact", "metric: acc", r"unknown metric 'acc' in .*task.yaml; known: anls, choice"),
        ("metric: exact", "metric: {name: exact, options: {x: y}}", "task.yaml: unknown option 'x'"),
        ("loader: jsonl", "loader: excel", r"unknown loader 'excel' in .*; known: jsonl, json, json-map, csv"),
        ("version: 1", "", "the field 'version' is missing"),
        ("version: 1", "version: 1\nscore: 3", "unknown field 'score'; known: name, version"),
        ("metric: exact", "metrics: exact", "unknown field 'metrics'; known: name, version"),
        ("question: question", "question: question(1)", "no expression: call is not allowed"),
        ("question: question", "question: 'a }}{{ b'", "no expression"),
        ("name: mine", "name: [", "no YAML"),
        ("name: mine", "name: &a mine\nid: *a", "aliases .* are not allowed"),
        ("name: mine", "name: mine\nname: yours", "'name' in line 3 is there already"),
        ("name: mine", "name: !!timestamp foo", "no YAML"),
        ("version: 1", f"version: 1{':1' * 200}.0", "version: Input should be a valid integer"),
        ("question: question", f"question: {'(' * 3000}question{')' * 3000}", "no expression"),
        ("question: question", f"question: '{'1' * 5000}'", "no expression"),
        ('"[answer]"', "''", "task.yaml: answers"),
        (TASK, "- a", "holds a list"),
    ],
)
def test_a_wrong_task_is_one_line_that_names_the_file(write, old, new, message):
    with pytest.raises(TaskError, match=message) as caught:
        write(TASK.replace(old, new))
    assert "task.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "has no rows"),
        (ROW + "{oops", "rows.jsonl, line 2: no JSON"),
        (ROW + "[1]", "line 2: got a list; expected an object"),
        (ROW + '{"question": "a"}', "line 2: 'image' is undefined; the row has: question"),
        (ROW.replace("red.png", "blue.png"), "line 1: the image '.*blue.png' does not exist"),
        (ROW.replace("red.png", "../red.png"), "line 1: .*leads out of the folder"),
        (ROW.replace("red.png", "/etc/hostname"), "line 1: .*leads out of the folder"),
        (ROW.replace("red.png", "https://example.org/a.png"), "is a URL; expected a file"),
        (ROW.replace('"yes"', "null"), "answers is null, which stands for a missing value; .* leave the row out with"),
        (ROW.replace('"yes"', "true"), 'answers is the truth value True; .* as in: "yes" if FIELD else "no"'),
        (
            ROW.replace('"red.png"', '{"bytes": "", "path": "red.png"}'),
            "images: got several fields: bytes, path; expected an image; name one, as in image.bytes",
        ),
        (
            ROW.replace('"yes"', '{"a": 1, "b": 2}'),
            "answers holds several fields: a, b; expected text or a number; name",
        ),
        (ROW.replace('"yes"', "NaN"), "line 1: answers is nan, which stands for a missing value; expected text or a "),
        (ROW.replace('"yes"', "-Infinity"), "answers is -inf, which stands for a missing value"),
        (ROW.replace('"Is there a cat?"', "NaN"), "question is nan, which stands for a missing value"),
        (ROW.replace("Is there a cat?", " "), "question is empty"),
    ],
)
def test_a_bad_row_is_one_line_with_its_place(write, rows, message):
    with pytest.raises(DataError, match=message):
        list(write(rows=rows).samples())


def test_a_field_called_row_stands_for_itself_and_what_it_hides_is_told(write):
    task = TASK.replace("question: question", "question: row.question")
    row = ROW.replace("{", '{"row": {"question": "Is it red?"}, "a-b": "yes", ')
    (sample,) = write(task, row).samples()
    assert sample.question == "Is it red?"
    with pytest.raises(DataError, match=r"line 1: .* has no attribute 'a-b'; .*; `row` is the field of that name, so"):
        list(write(task.replace("[answer]", "row['a-b']"), row).samples())


def test_a_missing_value_may_stand_where_none_is_needed(write):
    task = TASK + "choices: '[answer, b, c]'\nprecision: places\ngroup_scores: {pairs: pair}\n"
    for nothing in ("null", "NaN"):
        more = f'"b": "no", "c": {nothing}, "places": {nothing}, "pair": {nothing}'
        (sample,) = write(task, ROW.replace("{", "{" + more + ", ")).samples()
        assert (sample.target.choices, sample.target.precision, sample.in_groups) == (("yes", "no"), None, ())
    with pytest.raises(DataError, match="choices is nan, which stands for a missing value"):
        list(write(task, ROW.replace("{", '{"b": NaN, "c": "no", "places": 1, "pair": 1, ')).samples())


def test_whole_numbers_of_a_column_with_gaps_are_whole_numbers(write):
    answers = [
        sample.target.answers
        for sample in write(rows=ROW.replace('"yes"', "3.0") + ROW.replace('"yes"', "2.5")).samples()
    ]
    assert answers == [("3",), ("2.5",)]


def test_rows_can_be_left_out(write):
    rows = ROW + ROW.replace("cat", "dog")
    (sample,) = write(TASK + "only: '\"dog\" in question'\n", rows).samples()
    assert (sample.id, sample.question) == ("2", "Is there a dog?")
    with pytest.raises(DataError, match="no sample was chosen; .*raise --limit, or see what `only` leaves out"):
        write(TASK + "only: answer == 'no'\n", rows).survey()


@pytest.mark.parametrize("keep", ['"False"', '"0"', '"no "'])
def test_text_that_says_true_or_false_does_not_choose_rows(write, keep):
    task = write(TASK + "only: keep\n", ROW.replace("{", f'{{"keep": {keep}, '))
    with pytest.raises(DataError, match="line 1: only is the text .*, and any text counts as true; expected a comp"):
        list(task.rows())
    assert len(list(write(TASK + "only: keep\n", ROW.replace("{", '{"keep": "some", ')).rows())) == 1


def test_columns_may_be_called_as_they_like(write):
    rows = ROW.replace('"image": "red.png"', '"images": ["red.png"], "row": "r1"')
    (sample,) = write(TASK.replace("images: image", "images: images[0]") + "id: row\n", rows).samples()
    assert (sample.id, [path.name for path in sample.images]) == ("r1", ["red.png"])


def test_an_image_whose_name_is_no_text_has_a_group_that_is(write, tmp_path):
    Image.new("RGB", (8, 6), "red").save(os.fsencode(tmp_path) + b"/caf\xe9.png")
    write(TASK.replace("{loader: jsonl, path: rows.jsonl}", "{loader: folder, path: .}").replace(
        "question: question", "question: \"'What is this?'\"").replace('"[answer]"', "\"'red'\""))  # fmt: skip
    groups = [sample.group for sample in load_task(str(tmp_path / "task.yaml")).samples()]
    assert groups == ["caf\\xe9.png", "red.png"]


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_image_is_found_in_whatever_form_its_name_has_accents(write, tmp_path, written, on_disk):
    folder, name = unicodedata.normalize(on_disk, "été"), unicodedata.normalize(on_disk, "à la plage é.png")
    (tmp_path / folder).mkdir()
    (tmp_path / unicodedata.normalize(written, "été")).mkdir()
    (tmp_path / "red.png").rename(tmp_path / folder / name)
    path = unicodedata.normalize(written, "été/à la plage é.png")
    (sample,) = write(rows=ROW.replace("red.png", path)).samples()
    assert sample.images == (tmp_path / folder / name,)
    assert sample.group == unicodedata.normalize("NFC", path)


def test_places_of_decimals_may_be_text(write):
    task = TASK + "precision: places\nanswer_type: \"'float'\"\n"
    rows = ROW.replace('"yes"', '"1.25"').replace("{", '{"places": "2", ')
    (sample,) = write(task.replace("metric: exact", "metric: mathvista"), rows).samples()
    assert sample.target.precision == 2


def test_words_that_do_not_fit_are_one_line(write):
    with pytest.raises(DataError, match="line 1: truncate: "):
        list(write(TASK + "category: question | truncate(2)\n").samples())


def test_an_id_that_is_there_twice_is_refused(write):
    task = write(TASK + "id: question\n", ROW * 2)
    with pytest.raises(DataError, match=r"line 2: the id 'Is there a cat\?' is there twice"):
        task.survey()


def test_a_ground_truth_that_the_metric_cannot_use_is_found_at_once(write):
    with pytest.raises(DataError, match="line 1: got the ground truth 'maybe'; expected yes or no"):
        write(TASK.replace("metric: exact", "metric: pope"), ROW.replace('"yes"', '"maybe"')).survey()


def test_a_ground_truth_that_is_no_choice_is_found_at_once(write):
    with pytest.raises(DataError, match=r"none of the choices \['cat', 'dog'\] is right .* exact, .* \['yes'\]"):
        write(TASK + 'choices: \'["cat", "dog"]\'\n').survey()
    normalised = TASK.replace("metric: exact", "metric: {name: exact, options: {normalise: vqa}}")
    write(normalised + 'choices: \'["Yes", "no"]\'\n').survey()


@pytest.mark.parametrize(
    ("choices", "answer", "left", "right"),
    [
        ("two three two four", "D", "two three four", "four"),
        ("two three two four", "C", "two three four", "two"),
        ("two three two four", "three", "two three four", "three"),
        ("B three A four", "B", "B three A four", "B"),
    ],
)
def test_equal_choices_are_one(write, choices, answer, left, right):
    row = json.dumps({"question": "?", "answer": answer, "image": "red.png", "choices": choices.split()})
    task = write(TASK.replace("exact", "choice") + "choices: choices\n", row)
    (sample,) = task.samples()
    assert (sample.target.choices, sample.target.answers) == (tuple(left.split()), (right,))
    assert [task.metric(choice, sample.target).value for choice in sample.target.choices].count(1) == 1


@pytest.mark.parametrize("choices", ["B three A B", "two two"])
def test_equal_choices_that_leave_no_question_are_refused(write, choices):
    row = json.dumps({"question": "?", "answer": "B", "image": "red.png", "choices": choices.split()})
    with pytest.raises(DataError, match=r"line 1: choices must be distinct, .*; mend them, or leave the row out"):
        write(TASK.replace("exact", "choice") + "choices: choices\n", row).survey()


def test_bad_rows_are_counted_where_that_is_asked(write):
    told = []
    (sample,) = write(rows='{"question": "?"}\n' + ROW + '{"answer": 3}\n').samples(told.append)
    assert (sample.id, len(told)) == ("2", 2)
    assert "line 3: 'image' is undefined" in str(told[1])


def test_addresses_are_taken_where_the_task_says_so(write):
    task = write(TASK + "allow_urls: true\n", ROW.replace("red.png", "https://example.org/a.png"))
    assert next(task.samples()).images == ("https://example.org/a.png",)


def test_images_in_base64_and_empty_choices_at_the_end(write):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "PNG")
    row = (
        ROW.replace("red.png", base64.b64encode(buffer.getvalue()).decode())[:-2] + ', "A": "yes", "B": "no", "C": ""}'
    )
    task = write(TASK + "image_format: base64\nchoices: '[A, B, C]'\n", row)
    (sample,) = task.samples()
    assert sample.images == (buffer.getvalue(),)
    assert sample.target.choices == ("yes", "no")
    with pytest.raises(DataError, match="is not base64"):
        list(write(TASK + "image_format: base64\n").samples())


def test_data_may_be_elsewhere(write, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "rows.jsonl").write_text(ROW)
    Image.new("RGB", (8, 6), "red").save(folder / "red.png")
    (sample,) = write(data=folder).samples()
    assert sample.images == (folder / "red.png",)


def test_the_survey_tells_data_apart(write):
    first = write().survey()
    assert first.n == 1
    assert write().survey() == first
    assert write(rows=ROW.replace("yes", "no")).survey() != first


def test_the_survey_tells_other_images_apart(write, tmp_path):
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "blue.png")
    grouped = TASK + "group: question\n"
    assert write(grouped, ROW.replace("red", "blue")).survey() != write(grouped).survey()


def test_the_survey_is_the_same_wherever_a_package_has_its_images(write, tmp_path_factory):
    found = []
    for _ in range(2):
        image = tmp_path_factory.mktemp("package") / "red.png"
        Image.new("RGB", (8, 6), "red").save(image)
        row = Row({"question": "?", "answer": "yes", "image": image, "g": 1}, "row 1")
        loaders = {"packaged": lambda _spec, _where, row=row: iter([row])}
        task = TASK.replace("{loader: jsonl, path: rows.jsonl}", "{loader: packaged}") + "group: g\n"
        found.append(write(task, loaders=loaders).survey())
    assert found[0] == found[1]


def test_tasks_that_ship_load_and_are_short(root):
    assert {"easy-vqa", "scenes", "shapes", "charts", "vqav2", "pope", "mme"} <= set(task_names())
    loaders = {**LOADERS, "generated": iter, "easy-vqa": iter}
    for name in task_names():
        assert load_task(name, loaders=loaders).task.name == name
        assert len((root / "tasks" / f"{name}.yaml").read_text().splitlines()) < 40


def test_an_unknown_name_and_a_missing_file():
    with pytest.raises(TaskError, match="unknown task 'popes', did you mean 'pope'?"):
        load_task("popes")
    with pytest.raises(TaskError, match=r"~nobody-is-called-this/a.yaml cannot be read: .*home"):
        load_task("~nobody-is-called-this/a.yaml")
    with pytest.raises(TaskError, match=r"no.yaml is no file"):
        load_task("no.yaml")


def test_what_is_not_allowed_is_not_computed_either():
    tracemalloc.start()
    for text in ("'a' * 90000000", "'%090000000d' % 1"):
        with pytest.raises(jinja2.TemplateSyntaxError, match="is not allowed"):
            compile_expression(text)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_an_expression_gives_values_and_not_text():
    assert compile_expression("[a, b ~ '!']")({"a": 1, "b": "x"}) == [1, "x!"]
    assert compile_expression("images")({"images": b"x"}) == b"x"
    assert compile_expression(" images ")({"images": None}) is None
    assert compile_expression("true")({"true": 0}) is True
    assert isinstance(compile_expression("images")({}), jinja2.Undefined)
