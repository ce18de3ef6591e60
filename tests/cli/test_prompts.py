"""`cot prompts`, with real files in a folder of its own."""

import json
import subprocess
import sys

import pytest
from PIL import Image

import cot.cli
import cot.prompt.watch
from cot.cli import ask
from cot.config import user_file
from cot.engine import Choices, ScriptedEngine
from cot.shipped import prompts_folder

ANSWER = prompts_folder() / "direct" / "answer.jinja"


@pytest.fixture
def prompts(tmp_path, monkeypatch, capfd):
    """Runs `cot prompts` in an empty folder; gives the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cot.cli.main(["prompts", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def write(tmp_path):
    def save(path, text):
        (tmp_path / "prompts" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prompts" / path).write_text(text, "utf-8")
        return tmp_path / "prompts" / path

    return save


def body(text, more="", inputs="question: {kind: text, required: true}"):
    return f"---\nname: a/b\ndescription: d\ninputs: {{{inputs}}}\noutput: text\nmax_tokens: 8\n{more}---\n{text}\n"


def test_list_says_who_wins_and_what_is_shadowed(prompts, write, tmp_path):
    write("direct/answer.jinja", ANSWER.read_text("utf-8"))
    code, out, err = prompts("list", "--json")
    assert (code, err) == (0, "")
    rows = {(row["name"], row["language"]): row for row in json.loads(out)}
    assert rows["direct/answer", "en"] == {
        "name": "direct/answer",
        "language": "en",
        "from": "project",
        "path": str(tmp_path / "prompts" / "direct" / "answer.jinja"),
        "shadows": [str(ANSWER)],
    }
    assert rows["decompose/plan", "en"]["from"] == "shipped"
    assert rows["decompose/plan", "zh"]["shadows"] == []
    code, out, err = prompts("list")
    assert ["direct/answer", "en", "project", str(ANSWER)] in [line.split() for line in out.splitlines()]
    assert f"user: {user_file().parent / 'prompts'} (not there)" in err


def test_show_prints_the_file(prompts):
    code, out, err = prompts("show", "direct/answer")
    assert (code, out, err) == (0, ANSWER.read_text("utf-8"), f"shipped: {ANSWER}\n")


def test_a_template_that_one_folder_lacks_is_missing_there(prompts, write, tmp_path):
    code, _, err = prompts("show", "project:direct/answer")
    assert (code, err) == (2, f"error: no template 'direct/answer' in {tmp_path / 'prompts'}; known: none\n")
    write("a/b.jinja", body("x"))
    code, _, err = prompts("diff", "shipped:a/b", "a/b")
    assert (code, err.partition(";")[0]) == (2, f"error: no template 'a/b' in {prompts_folder()}")


def test_new_works_at_once(prompts, tmp_path):
    code, out, _ = prompts("new", "mine/first")
    files = [tmp_path / "prompts" / "mine" / name for name in ("first.jinja", "first.cases.yaml")]
    assert (code, out) == (0, "".join(f"wrote {path}\n" for path in files))
    assert prompts("lint", "mine/first") == (0, "", "1 template, 0 errors, 0 warnings\n")
    assert prompts("test", "mine/first")[::2] == (0, "1 passed, 0 failed, 0 skipped\n")
    code, out, err = prompts("new", "mine/first")
    assert (code, out) == (1, "")
    assert "first.jinja exists already; expected a new name" in err


def test_new_copies_what_is_shipped(prompts, tmp_path):
    assert prompts("new", "zh/direct/answer", "--user")[0] == 0
    made = user_file().parent / "prompts" / "zh" / "direct" / "answer.jinja"
    shipped = prompts_folder() / "zh" / "direct" / "answer.jinja"
    assert made.read_bytes() == shipped.read_bytes()
    assert made.with_suffix(".cases.yaml").read_bytes() == shipped.with_suffix(".cases.yaml").read_bytes()


def test_new_copies_what_is_asked_with_in_the_language_of_the_settings(prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("COT_LANGUAGE", "zh")
    folder = tmp_path / "prompts"
    assert prompts("new", "direct/answer")[0] == 0
    assert (folder / "zh/direct/answer.jinja").read_bytes() == (
        prompts_folder() / "zh/direct/answer.jinja"
    ).read_bytes()
    assert prompts("show", "direct/answer")[2] == f"project: {folder / 'zh/direct/answer.jinja'}\n"
    assert prompts("new", "en/direct/answer")[0] == 0
    assert (folder / "direct/answer.jinja").read_bytes() == ANSWER.read_bytes()
    # There is no translation whose place it could take.
    assert prompts("new", "mine/first")[1].startswith(f"wrote {folder / 'mine/first.jinja'}\n")


def test_new_says_where_it_writes_among_what_ships(prompts, tmp_path, monkeypatch):
    (tmp_path / "cot").mkdir()
    (tmp_path / "prompts").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr("cot.shipped.__file__", str(tmp_path / "cot" / "shipped.py"))
    said = f"note: {tmp_path / 'prompts'} is the folder of what ships; a template of your own lies elsewhere, or with"
    assert said not in prompts("new", "mine/first", "--user")[2]
    code, out, err = prompts("new", "mine/first")
    assert (code, out.splitlines()[0]) == (0, f"wrote {tmp_path / 'prompts' / 'mine' / 'first.jinja'}")
    assert err.startswith(said)
    code, _, err = prompts("show", "project:mine/first")
    assert (code, "no folder is called so here" in err) == (2, True)


def test_new_copies_the_pictures_that_a_template_shows(prompts, write, tmp_path):
    write("a/b.jinja", body("{{ question }}", "examples: [{image: ../c.png, inputs: {question: q}, output: red}]\n"))
    write("a/b.cases.yaml", "- {name: n, inputs: {question: q}, images: [d/d.png], live: true, expect: {equals: red}}")
    for path, colour in (("c.png", "red"), ("a/d/d.png", "blue")):
        Image.new("RGB", (4, 3), colour).save(write(path, ""), "PNG")
    code, out, _ = prompts("new", "zh/a/b")
    new = [tmp_path / "prompts" / "zh" / name for name in ("a/b.jinja", "a/b.cases.yaml", "c.png", "a/d/d.png")]
    assert (code, out) == (0, "".join(f"wrote {path}\n" for path in new))
    assert new[2].read_bytes() == (tmp_path / "prompts" / "c.png").read_bytes()
    assert prompts("lint", "zh/a/b")[0] == 0
    new[0].unlink()
    new[1].unlink()
    Image.new("RGB", (4, 3), "green").save(new[2])
    kept = new[2].read_bytes()
    assert prompts("new", "zh/a/b")[1] == "".join(f"wrote {path}\n" for path in new[:2])
    assert new[2].read_bytes() == kept


def test_new_copies_no_picture_to_outside_of_its_folder(prompts, write, tmp_path):
    write("a/b.jinja", body("{{ question }}", "examples: [{image: d/c.png, inputs: {question: q}, output: red}]\n"))
    Image.new("RGB", (4, 3)).save(write("a/d/c.png", ""), "PNG")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "prompts" / "zh" / "a").mkdir(parents=True)
    (tmp_path / "prompts" / "zh" / "a" / "d").symlink_to(outside)
    code, _, err = prompts("new", "zh/a/b")
    assert (code, list(outside.iterdir())) == (1, [])
    assert "d/c.png leads out of" in err
    assert not (tmp_path / "prompts" / "zh" / "a" / "b.jinja").exists()


@pytest.mark.parametrize("name", ["one", "../a/b", "a/b/c/d", "a/", "/a/b", "a/b c"])
def test_new_wants_a_name(prompts, tmp_path, name):
    code, out, err = prompts("new", name)
    assert (code, out) == (2, "")
    assert "expected strategy/step" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("origin", ["user", "project", "shipped", "elsewhere"])
def test_new_takes_no_place_with_the_name(prompts, tmp_path, origin):
    code, out, err = prompts("new", f"{origin}:direct/mine")
    assert (code, out) == (2, "")
    assert err == f"error: got '{origin}:' before the name 'direct/mine'; expected the name alone; --user says where\n"
    assert not (tmp_path / "prompts").exists()


def test_render_with_inputs_examples_and_tokens(prompts, write):
    inputs = ("--input", "question=What is it?", "-i", "choices=cat, dog", "--tokens")
    code, out, err = prompts("render", "direct/answer", *inputs)
    assert (code, out) == (0, "What is it?\nChoices: cat, dog. Answer with one of them.\n")
    count = int(err.split()[0])
    assert 8 < count < 40
    assert err == f"{count} tokens under the embedded model's tokenizer, images not counted\n"
    code, out, err = prompts("render", "direct/answer")
    assert (code, out) == (0, "How many dogs are there?\nAnswer briefly.\n")
    assert err.startswith("inputs: the case 'without choices a short answer is asked for'")
    listed = "known: {kind: list, required: true}, n: {kind: number, required: true}"
    write("a/b.jinja", body("{{ known | join('+') }} {{ n }}", inputs=listed))
    assert prompts("render", "a/b")[:2] == (0, "one+two 3\n")
    assert prompts("render", "a/b", "-i", 'known=["x,y", "z"]', "-i", "n=2.5")[:2] == (0, "x,y+z 2.5\n")
    assert prompts("render", "direct/answer", "-i", "question=q", "-i", "choices=")[1] == "q\nAnswer briefly.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["direct/answer", "-i", "question"], 2, "got the input 'question'; expected name=value"),
        (["direct/answer", "-i", "quest=x"], 2, "got the input 'quest'; direct/answer knows question, choices"),
        (["direct/answer", "-i", "question=a", "-i", "question=b"], 2, "'question' twice"),
        (["direct/answer", "-i", "choices=[1"], 2, "got choices='[1'; expected a list"),
        (["direct/answer", "-i", "choices=a"], 1, "input 'question' (text) is missing"),
        (["a/b", "-i", "n=three"], 2, "got n='three'; expected a number"),
        (["a/c"], 2, "no template 'a/c', did you mean 'a/b'?"),
        (["../a"], 2, "no template '../a'"),
        (["other:a/b"], 2, "got the origin 'other'"),
    ],
)
def test_wrong_usage_of_render(prompts, write, arguments, code, reason):
    write("a/b.jinja", body("{{ n }}", inputs="n: {kind: number}"))
    got, out, err = prompts("render", *arguments)
    assert (got, out) == (code, "")
    assert reason in err
    assert len(err.splitlines()) == 1


def test_a_long_prompt_is_rendered_whole(prompts, write):
    write("a/b.jinja", body("{{ question }}"))
    assert prompts("render", "a/b", "-i", f"question={'x' * 5000}")[1].count("x") == 5000


def test_the_language_is_a_setting_and_english_stands_in(prompts, write, monkeypatch):
    write("a/b.jinja", body("english {{ question }}"))
    monkeypatch.setenv("COT_LANGUAGE", "zh")
    assert prompts("render", "direct/answer", "-i", "question=q")[1] == "q\n请简短回答。\n"
    code, out, err = prompts("render", "a/b", "-i", "question=q")
    assert (code, out) == (0, "english q\n")
    assert err == "note: a/b has no translation into 'zh'; this is the English one\n"
    monkeypatch.setenv("COT_LANGUAGE", "Klingon!")
    assert prompts("render", "a/b")[0] == 2


def test_hostile_templates_are_shown_plain(prompts, write):
    write("a/b.jinja", body("\x1b]0;title\x07red \u202e{{ question }}"))
    for command in (("show", "a/b"), ("render", "a/b", "-i", "question=\x1b[31mq")):
        _, out, err = prompts(*command)
        assert not set(out + err) & set("\x1b\x07\u202e")


def test_lint_exits_by_errors_alone(prompts, write):
    write("a/b.jinja", body("fixed"))
    assert prompts("lint", "a/b")[::2] == (0, "1 template, 0 errors, 1 warning\n")
    write("a/c.jinja", body("{{ oops }}").replace("a/b", "a/c"))
    code, out, err = prompts("lint")
    assert code == 1
    assert "a/c: error: undefined input 'oops'" in out
    assert "a/b: warning: unused input 'question'" in out
    assert err.endswith(" templates, 1 error, 2 warnings\n")


def test_lint_tells_of_files_that_are_never_found(prompts, write):
    path = write("zh_CN/direct/answer.jinja", ANSWER.read_text("utf-8"))
    code, out, err = prompts("lint")
    assert (code, err.endswith(" templates, 0 errors, 1 warning\n")) == (0, True)
    assert out.startswith(f"{path}: warning: no template; expected strategy/step.jinja")


def test_all_shipped_cases_pass(prompts):
    code, out, err = prompts("test")
    assert (code, out.count("failed"), out.count("skipped")) == (0, 0, 0)
    assert "passed  zh/direct/answer: 列出选项" in out
    assert int(err.split()[0]) >= 16


def test_own_cases_come_before_the_shipped_ones(prompts, write):
    write("zoo/b.jinja", body("{{ question }}").replace("a/b", "zoo/b"))
    write("zoo/b.cases.yaml", "- {name: n, inputs: {question: q}, prompt: {equals: q}}")
    code, out, _ = prompts("test")
    assert (code, out.splitlines()[0]) == (0, "passed  zoo/b: n")
    assert "passed  direct/answer: " in out


def test_a_failing_case_is_exit_code_1(prompts, write):
    write("a/b.jinja", body("{{ question }}"))
    write("a/b.cases.yaml", "- {name: n, inputs: {question: q}, prompt: {equals: p}, output: x, expect: {equals: x}}")
    code, out, err = prompts("test", "a/b")
    assert (code, out) == (1, "failed  a/b: n\n    prompt: equals: got 'q'; expected 'p'\n")
    assert err == "0 passed, 1 failed, 0 skipped\n"
    write("a/b.jinja", "broken")
    code, out, _ = prompts("test", "a/b")
    assert (code, out.splitlines()[0]) == (1, "failed  a/b: loading")


def test_a_named_template_without_cases_is_said(prompts, write):
    write("a/b.jinja", body("x"))
    code, out, err = prompts("test", "a/b")
    assert (code, out) == (1, "")
    assert "a/b has no cases; expected" in err


def test_a_model_that_would_not_be_asked_is_a_wrong_command_line(prompts):
    code, out, err = prompts("test", "direct/answer", "--model", "other")
    assert (code, out, err.startswith("error: got --model without --live;")) == (2, "", True)


def test_live_cases_go_to_the_model_of_ask(prompts, write, monkeypatch):
    engine = ScriptedEngine(lambda request: "red")
    models = []
    monkeypatch.setattr(ask, "load_engine", lambda settings: models.append(settings.model) or engine)
    write("a/b.jinja", body("{{ question }}", more="stop: ['!']\n").replace("output: text", "output: phrase"))
    write(
        "a/b.cases.yaml",
        "- {name: n, inputs: {question: q}, images: [c.png], live: true, expect: {equals: red, max-tokens: 1}}",
    )
    Image.new("RGB", (4, 3)).save(write("a/c.png", ""), "PNG")
    code, out, err = prompts("test", "a/b")
    assert (code, out, models) == (0, "skipped  a/b: n\n", [])
    assert "run them with --live" in err
    code, out, _ = prompts("test", "a/b", "--live", "--model", "other")
    assert (code, out, models) == (0, "passed  a/b: n\n", ["other"])
    (request,) = engine.requests
    assert (request.messages[-1].content[0].width, request.messages[-1].content[-1]) == (4, "q")
    assert (request.max_tokens, request.stop, request.constraint is None) == (8, ("!",), False)
    assert engine._closed


def test_choices_that_a_template_has_itself_are_those_of_its_cases(prompts, write, monkeypatch):
    engine = ScriptedEngine(lambda request: "red")
    monkeypatch.setattr(ask, "load_engine", lambda settings: engine)
    choices = "question: {kind: text}, choices: {kind: list, default: [red, blue]}"
    source = body("{{ question }} {{ choices | join }}", inputs=choices).replace("output: text", "output: choice")
    write("a/b.jinja", source)
    write(
        "a/b.cases.yaml",
        "- {name: said, inputs: {question: q}, output: blue, expect: {parses-as: choice}}\n"
        "- {name: live, inputs: {question: q}, live: true, expect: {parses-as: choice}}\n",
    )
    code, out, _ = prompts("test", "a/b", "--live")
    assert (code, out) == (0, "passed  a/b: said\npassed  a/b: live\n")
    assert engine.requests[0].constraint == Choices(("red", "blue", "unknown"))


def test_diff_shows_front_matter_and_text(prompts, write):
    source = ANSWER.read_text("utf-8")
    write("direct/answer.jinja", source.replace("version: 1", "version: 2").replace("Answer briefly.", "Be brief."))
    code, out, err = prompts("diff", "shipped:direct/answer", "direct/answer", "-i", "question=Is it?")
    assert (code, err) == (0, "")
    changed = [line for line in out.splitlines() if line[0] in "+-"]
    assert changed == [
        "--- shipped:direct/answer (front matter)",
        "+++ direct/answer (front matter)",
        "-version: 1",
        "+version: 2",
        "--- shipped:direct/answer (rendered)",
        "+++ direct/answer (rendered)",
        "-Answer briefly.",
        "+Be brief.",
    ]
    assert prompts("diff", "direct/answer", "direct/answer") == (0, "", "no difference\n")


def test_watch_renders_again_on_save(prompts, write, monkeypatch):
    write("a/b.jinja", body("{% include 'a/_part' %} {{ question }}"))
    write("a/_part.jinja", "one")
    saves = iter(
        [lambda: write("a/_part.jinja", "three"), lambda: None, lambda: write("a/b.jinja", "broken, for now"),
         lambda: write("a/b.jinja", body("fixed {{ question }}"))]
    )  # fmt: skip

    def sleep(seconds):
        save = next(saves, None)
        if save is None:
            raise KeyboardInterrupt
        save()

    monkeypatch.setattr(cot.prompt.watch.time, "sleep", sleep)
    code, out, err = prompts("watch", "a/b", "-i", "question=q")
    assert (code, out) == (0, "one q\nthree q\nfixed q\n")
    assert err.count("error: a/b: expected YAML front matter") == 1


def test_help_loads_no_template_engine_and_no_trace():
    show = "import cot.cli, sys; cot.cli.main(['prompts', '--help'])"
    code = f"{show}; print({{'jinja2', 'cot.trace'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
