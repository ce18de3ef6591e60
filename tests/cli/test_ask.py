import asyncio
import json
import math
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

import cot.cli
from cot.cli import ask as ask_module
from cot.cli.ask import load_engine, split_arguments, split_choices
from cot.engine import Candidate, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.errors import EngineError, UsageError
from cot.settings import Settings
from cot.shipped import prompts_folder
from cot.trace.read import find_trace, read_trace

PLAN = "1. [count] How many apples are there?\n2. [count] How many cars are there?\nanswer: #1 > #2"
QUESTION = "Are there more apples than cars?"


def completion(text):
    logprobs = (TokenLogprob(text, math.log(0.9)),)
    return Completion((Candidate(text, "stop", logprobs),), Usage(50, 10, 16, len(text.split()), 1, 1))


def reply(request):
    text = request.messages[-1].content[-1]
    if "answer: #1 > #2" in text:
        return completion(PLAN)
    return completion("3" if text.startswith("How many apples") else "1")


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    return "red.png"


@pytest.fixture
def cot_ask(image, tmp_path, monkeypatch, capfd):
    """Runs `cot ask` by `decompose` with a scripted model; gives the exit code, stdout and stderr."""
    monkeypatch.setenv("COT_STRATEGY", "decompose")

    def run(*arguments, script=reply, stdin=b"", terminal=False, loads=None):
        monkeypatch.setattr(ask_module, "load_engine", loads or (lambda settings: ScriptedEngine(script)))
        path = tmp_path / "stdin"
        path.write_bytes(stdin)
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            if terminal:
                monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
            code = cot.cli.main(["ask", "--trace-dir", str(tmp_path / "traces"), *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_templates_of_the_current_folder_are_named(cot_ask, image, tmp_path):
    assert "come before the shipped ones" not in cot_ask(image, "How many apples are there?")[2]
    own = tmp_path / "prompts" / "decompose"
    own.mkdir(parents=True)
    (own / "plan.jinja").write_text((prompts_folder() / "decompose" / "plan.jinja").read_text())
    assert f"templates in {tmp_path / 'prompts'} come before" in cot_ask(image, "How many apples are there?")[2]


def test_stdout_is_the_answer_and_nothing_else(cot_ask, image, tmp_path):
    code, out, err = cot_ask(image, QUESTION)
    assert (code, out) == (0, "yes\n")
    for part in (
        "├─ #1 How many apples are there?  count",
        "├─ The answer is computed as #1 > #2.",
        "├─ #1 3  90%",
        "├─ calculate #1 > #2 (#1 = 3, #2 = 1) = yes",
        "├─ summary: How many apples are there? 3; How many cars are there? 1",
        "└─ answer: yes  81%",
        "3 calls, 150 prompt tokens (48 of images, 30 cached)",
        f"trace: {find_trace('last', tmp_path / 'traces')}",
    ):
        assert part in err


def test_settings_of_the_local_engine_reach_it():
    engine = load_engine(Settings(device="cpu", quantize="int8", kv_memory="1MiB"))
    assert engine.info.quantization.startswith("int8")
    assert engine._runner._kv_bytes == 2**20
    asyncio.run(engine.close())


def test_compiling_reaches_the_engine(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    engine = load_engine(Settings(device="cpu", compile=True))
    assert "decoding is not compiled: the C++ compiler no-such-compiler" in engine.info.note
    asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"quantize": "nf4"}, "got --quantize nf4 for the server 'http://127.0.0.1:9/v1'.*set it to none"),
        ({"kv_memory": "1GiB"}, "got --kv-memory 1GiB for the server .*set it to auto"),
        ({"compile": True}, "got --compile for the server .*set it to false"),
    ],
)
def test_a_server_loads_its_model_for_itself(setting, told):
    with pytest.raises(UsageError, match=told):
        load_engine(Settings(model="http://127.0.0.1:9/v1", **setting))


def test_json_is_one_object(cot_ask, image):
    code, out, err = cot_ask(image, QUESTION, "--json", "--quiet")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert list(found) == [
        "answer", "value", "confidence", "stop_reason", "strategy", "question", "images", "steps", "notes", "usage",
        "seconds", "model", "trace",
    ]  # fmt: skip
    assert (found["answer"], found["value"], found["stop_reason"]) == ("yes", True, "answered")
    assert found["images"][0]["source"] == image
    assert [step["kind"] for step in found["steps"]][-1] == "final_answer"
    assert found["usage"] == {
        "prompt_tokens": 150,
        "cached_tokens": 30,
        "image_tokens": 48,
        "completion_tokens": 20,
        "calls": 3,
        "batches": 3,
    }
    trace = read_trace(find_trace(found["trace"], ask_module.Path()))
    assert trace.started.settings["strategy"] == "decompose"


def test_settings_come_from_the_command_line(cot_ask, image):
    code, out, _ = cot_ask(image, "How many?", "--strategy", "direct", "--seed", "3", "--json", "--max-steps", "5")
    trace = read_trace(find_trace(json.loads(out)["trace"], ask_module.Path()))
    assert code == 0
    assert (trace.started.strategy, trace.started.seed, trace.started.settings["max_steps"]) == ("direct", 3, 5)


@pytest.mark.parametrize(
    ("text", "answer"), [('{"embedded": {"keep": 0.95, "direct_shift": -1}}', "yes\n"), ("{}", "1\n")]
)
def test_a_calibration_tunes_the_route(cot_ask, image, tmp_path, monkeypatch, text, answer):
    (tmp_path / "mine.json").write_text(text)
    monkeypatch.setenv("COT_CALIBRATION", "mine.json")
    assert cot_ask(image, QUESTION, "--strategy", "route")[:2] == (0, answer)


def test_a_calibration_of_other_weights_is_not_used_and_that_is_said(cot_ask, image, tmp_path, monkeypatch):
    (tmp_path / "mine.json").write_text('{"embedded": {"revision": "sha256:0", "direct_shift": -5}}')
    monkeypatch.setenv("COT_CALIBRATION", "mine.json")
    code, out, err = cot_ask(image, "How many?", "--strategy", "direct", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["confidence"] == pytest.approx(0.9)
    why = "its calibration of embedded was made with other weights"
    assert found["notes"] == [f"{tmp_path / 'mine.json'} is not used: {why}"]
    assert f"note: {tmp_path / 'mine.json'} is not used" in err


def test_the_confidence_is_the_calibrated_one_and_the_other_is_kept(cot_ask, image, tmp_path, monkeypatch):
    (tmp_path / "mine.json").write_text('{"embedded": {"steps_slope": 0, "steps_shift": 0}}')
    monkeypatch.setenv("COT_CALIBRATION", "mine.json")
    found = json.loads(cot_ask(image, QUESTION, "--json", "-q")[1])
    assert (found["answer"], found["confidence"]) == ("yes", 0.5)
    assert found["steps"][-1]["uncalibrated"] == pytest.approx(0.81)
    finished = read_trace(find_trace(found["trace"], ask_module.Path())).finished
    assert (finished.answer.confidence, finished.answer.source) == (0.5, "steps")


def test_a_calibration_that_is_none_is_a_wrong_setting(cot_ask, image, tmp_path, monkeypatch):
    (tmp_path / "mine.json").write_text("[]")
    monkeypatch.setenv("COT_CALIBRATION", "mine.json")
    code, out, err = cot_ask(image, QUESTION, "--strategy", "route")
    assert (code, out) == (2, "")
    assert "mine.json: " in err


def test_quiet_is_quiet(cot_ask, image):
    assert cot_ask(image, QUESTION, "-q") == (0, "yes\n", "")


def test_the_embedded_model_says_that_it_takes_one_image(cot_ask, image):
    assert "one image at a time" not in cot_ask(image, QUESTION)[2]
    assert (
        "note: the embedded model has only learned to look at one image at a time" in cot_ask(image, image, QUESTION)[2]
    )
    assert "one image at a time" not in cot_ask(image, image, QUESTION, "--model", "other/model")[2]


def test_the_embedded_model_says_of_letters_that_it_never_saw(cot_ask, image):
    note = "note: the embedded model has only learned English, and has never seen '{}': its answer is a guess"
    assert note.format("有几只狗") in cot_ask(image, "有几只狗？几只？")[2]
    assert note.format("éè") in cot_ask(image, "Is it tea?", "--choices", "café,crème")[2]
    assert "only learned English" not in cot_ask(image, "What’s “left” of 3×2 cups… — a cat?")[2]
    assert "only learned English" not in cot_ask(image, "有几只狗？", "--model", "other/model")[2]


def test_choices(cot_ask, image):
    code, out, _ = cot_ask(image, "What is more?", "--choices", "Yes, no", "-q")
    assert (code, out) == (0, "Yes\n")


def test_the_question_may_be_piped(cot_ask, image):
    for arguments in ((image,), (image, "-")):
        code, out, _ = cot_ask(*arguments, "--json", stdin=f" {QUESTION}\n".encode())
        assert (code, json.loads(out)["question"]) == (0, QUESTION)


def test_an_image_may_be_piped(cot_ask, image, tmp_path):
    code, out, _ = cot_ask("-", QUESTION, "--json", stdin=(tmp_path / image).read_bytes())
    assert (code, json.loads(out)["images"][0]["source"]) == (0, "-")


def test_an_address_with_a_blank_is_an_image_and_a_question_may_be_one_word(cot_ask, image, tmp_path):
    photo = tmp_path / "my photo.png"
    photo.write_bytes((tmp_path / image).read_bytes())
    code, out, _ = cot_ask(image, photo.as_uri().replace("%20", " "), "Why?", "--json")
    assert (code, len(json.loads(out)["images"])) == (0, 2)
    assert split_arguments([image, "https://h/my photo.png", "Why?"], stdin_is_terminal=True)[1] == "Why?"
    assert "has the scheme 'ftp'" in cot_ask(image, "ftp://h/a.png?b", "Why?")[2]


@pytest.mark.parametrize(
    ("arguments", "stdin", "terminal", "reason"),
    [
        ([], b"", False, "no image and no question"),
        (["How many?"], b"", False, "no image was given"),
        (["-"], b"", False, "no image was given"),
        (["", "How many?"], b"", False, "got '' for an image; expected a path or a URL"),
        (["red.png"], b"", True, "the question is missing: 'red.png' looks like an image"),
        (["How many dogs?", "red.png"], b"", False, "the question comes after the images, but 'red.png' is last"),
        (
            ["red.png", "How", "many", "cars", "are", "there?"],
            b"",
            False,
            "got 'How', which is no image; expected the question in quotes, perhaps: "
            "cot ask red.png 'How many cars are there?'",
        ),
        (["red.png", "Is", "this", "like", "b.png"], b"", False, "perhaps: cot ask red.png 'Is this like b.png'"),
        (["How", "many", "cars?", "red.png"], b"", False, "the question comes after the images, but 'red.png' is last"),
        (["red.png", "other.jpg"], b"", True, "the question is missing: 'other.jpg' looks like an image"),
        (["red.png", "-"], b"", True, "stdin is a terminal"),
        (["red.png"], b" \n", False, 'or on stdin: echo "How many dogs are there?" | cot ask photo.jpg'),
        (["red.png", "  "], b"", False, "the question is empty"),
        (["red.png"], b"\xff\xfe", False, "not UTF-8"),
        (["red.png"], b"a" * 20_000, False, "more than 10,000 characters"),
        (["-", "-"], b"x", False, "named twice"),
        (["-", "-", "How many?"], b"x", False, "named twice"),
        (["-", "red.png"], b"x", False, "the question is missing"),
        (["red.png", "How many?", "--choices", "a,a"], b"", False, "distinct"),
        (["red.png", "How many?", "--choices", "a,"], b"", False, "not empty"),
        (["red.png", "How many?", "--choices", "cat"], b"", False, "got --choices 'cat' alone; expected at least two"),
        (["red.png", "How many?", "--strategy", "guess"], b"", False, "unknown strategy 'guess'; known: direct"),
        (["red.png", "How many?", "--max-steps", "0"], b"", False, "--max-steps: got 0; expected an integer from 1"),
        (["red.png", "How many?", "--max-seconds", "nan"], b"", False, "--max-seconds"),
    ],
)
def test_wrong_usage_is_exit_code_2(cot_ask, arguments, stdin, terminal, reason, tmp_path):
    code, out, err = cot_ask(*arguments, stdin=stdin, terminal=terminal)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "traces").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("no.png", None, "does not exist"), ("no.png", b"", "empty"), ("no.png", b"text", "not an image")],
)
def test_image_errors_come_before_the_model(cot_ask, name, content, reason, tmp_path, monkeypatch):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = cot_ask(name, "How many?", script=[])
    assert (code, out) == (1, "")
    assert reason in err


def test_a_failing_model_is_exit_code_1(cot_ask, image):
    code, out, err = cot_ask(image, QUESTION, "-q", script=[EngineError("out of memory")])
    assert (code, out) == (1, "")
    assert err == "stopped: error: plan: out of memory\n"


def test_a_model_that_does_not_know_is_exit_code_1(cot_ask, image):
    code, out, _ = cot_ask(image, QUESTION, "--strategy", "direct", script=lambda _: completion("unknown"))
    assert (code, out) == (1, "unknown\n")


def test_json_of_a_failure_is_still_json(cot_ask, image):
    code, out, _ = cot_ask(image, QUESTION, "--json", script=[EngineError("out of memory")])
    found = json.loads(out)
    assert (code, found["value"], found["stop_reason"], found["notes"]) == (1, None, "error", ["plan: out of memory"])


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["no.png", QUESTION], 1, "image 'no.png' does not exist"),
        (["red.png", QUESTION, "--model", "./nothing"], 2, "no model folder at './nothing'"),
        (["red.png", QUESTION, "--strategy", "guess"], 2, "unknown strategy 'guess'"),
        (["red.png", QUESTION, "--max-steps", "0"], 2, "--max-steps: got 0"),
        (["red.png"], 2, "the question is empty"),
    ],
)
def test_json_of_what_fails_before_asking_is_an_object_too(cot_ask, image, arguments, code, reason):
    loads = load_engine if "--model" in arguments else None
    found = cot_ask(*arguments, "--json", loads=loads)
    assert found[0] == code
    (line,) = found[1].splitlines()
    told = json.loads(line)
    assert (told["answer"], told["value"], told["stop_reason"]) == (None, None, "error")
    assert told["error"].startswith(reason)
    assert found[2] == f"error: {told['error']}\n"


def test_json_is_one_object_also_where_closing_the_model_fails(cot_ask, image):
    class Unclosed(ScriptedEngine):
        async def close(self):
            raise EngineError("cannot be closed")

    code, out, err = cot_ask(image, QUESTION, "--json", loads=lambda settings: Unclosed(reply))
    assert (code, json.loads(out)["answer"]) == (1, "yes")
    assert "error: cannot be closed" in err


def test_the_best_so_far_is_an_answer(cot_ask, image):
    code, out, err = cot_ask(image, QUESTION, "--max-steps", "2", "-q")
    assert (code, out) == (0, "1\n")
    assert err.startswith("stopped: budget_steps")


def test_why_it_stopped_is_said_once(cot_ask, image):
    _, _, err = cot_ask(image, QUESTION, "--max-steps", "2")
    assert err.count("the plan needs 2 more steps") == 2
    assert "note:" not in err
    assert "stopped: budget_steps: the plan needs 2 more steps" in err


def test_hostile_answers_are_plain(cot_ask, image):
    said = "\x1b[31mred\x1b]0;title\x07 \u202e[bold]x[/bold]\x9b2J"
    code, out, err = cot_ask(image, QUESTION, "--strategy", "direct", script=lambda _: completion(said))
    assert (code, out) == (0, "red [bold]x[/bold]\n")
    assert not set(err) & set("\x1b\x9b\x07\u202e")
    _, out, _ = cot_ask(image, QUESTION, "--strategy", "direct", "--json", script=lambda _: completion(said))
    assert out.isascii()
    assert json.loads(out)["value"] == said


def test_timings_say_where_the_time_went(cot_ask, image):
    _, out, err = cot_ask(image, QUESTION, "--timings", "-q")
    assert out == "yes\n"
    names = [line.rpartition("  ")[0].strip() for line in err.splitlines()]
    for name in ("imports and settings", "images", "model", "plan", "sub_question 1", "prefill", "decode"):
        assert name in names


def test_a_trace_folder_that_cannot_be_written_is_said_before_the_model(image, tmp_path, monkeypatch, capfd):
    def load(settings):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(ask_module, "load_engine", load)
    (tmp_path / "file").write_text("")
    assert cot.cli.main(["ask", image, QUESTION, "--trace-dir", str(tmp_path / "file")]) == 1
    assert "--trace-dir" in capfd.readouterr().err


def test_a_missing_model_leaves_no_trace(image, tmp_path, capfd):
    assert cot.cli.main(["ask", image, QUESTION, "--model", "./nothing", "--trace-dir", str(tmp_path / "traces")]) == 2
    assert "nothing" in capfd.readouterr().err
    assert not list((tmp_path / "traces").iterdir())


def test_arguments_are_images_then_the_question(image):
    def split(*arguments, terminal=False):
        return split_arguments(list(arguments), stdin_is_terminal=terminal)

    assert split("a.png", "b.png", "How many?") == (["a.png", "b.png"], "How many?")
    assert split("a.png", "red.png") == (["a.png", "red.png"], None)
    assert split("https://x.org/a?b", "https://x.org/c") == (["https://x.org/a?b", "https://x.org/c"], None)
    assert split("a.png", "what is in b.png", terminal=True) == (["a.png"], "what is in b.png")
    assert split("folder", "a.png", terminal=True) == (["folder"], "a.png")
    assert split("a.png", "x" * 5000, terminal=True) == (["a.png"], "x" * 5000)
    assert split("a.png", "cat", "How many?") == (["a.png", "cat"], "How many?")
    assert split("a.png", "/", "Why?") == (["a.png", "/"], "Why?")
    assert split("a.png", "Why?") == (["a.png"], "Why?")
    assert split("a.png", "nul\0byte", terminal=True) == (["a.png"], "nul\0byte")
    with pytest.raises(UsageError):
        split("red.png", terminal=True)


def test_choices_are_separated_by_commas_or_given_one_by_one():
    assert split_choices(["a, b,c"]) == ("a", "b", "c")
    assert split_choices(["a, b", "c"]) == ("a, b", "c")


SCRIPT = """
import asyncio, sys
import cot.cli
from cot.cli import ask
from cot.engine import ScriptedEngine

class Stuck(ScriptedEngine):
    async def complete(self, request):
        print("asked", file=sys.stderr, flush=True)
        await asyncio.sleep(60)

ask.load_engine = lambda settings: {engine}
sys.exit(cot.cli.main(sys.argv[1:]))
"""


def test_an_interrupt_is_130_with_a_whole_trace(image, tmp_path, root):
    code = SCRIPT.replace("{engine}", "Stuck([])")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ask", image, QUESTION, "--trace-dir", str(tmp_path / "traces")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Who runs the tests in the background may have interrupts ignored, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    path = find_trace("last", tmp_path / "traces")
    assert (process.returncode, out) == (130, "")
    assert err.startswith(f"trace: {path}\n")
    assert read_trace(path).finished.stop_reason == "cancelled"


def test_a_terminal_gets_the_answer_too(image, tmp_path, root):
    main, other = pty.openpty()
    code = SCRIPT.replace("{engine}", "ScriptedEngine(lambda request: 'three [b]apples[/b]')")
    arguments = ["ask", image, QUESTION, "-q", "--strategy", "direct", "--trace-dir", str(tmp_path / "traces")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(root), "TERM": "dumb"},
        stdin=other,
        stdout=other,
        stderr=subprocess.PIPE,
    )
    os.close(other)
    assert process.wait(timeout=20) == 0
    time.sleep(0.05)
    assert b"three [b]apples[/b]" in os.read(main, 1000)
    os.close(main)
    process.stderr.close()


def test_an_answer_outlives_a_stderr_that_cannot_be_written(image, tmp_path, root):
    code = SCRIPT.replace("{engine}", "ScriptedEngine(lambda request: 'three')")
    arguments = ["ask", image, QUESTION, "--strategy", "direct", "--trace-dir", str(tmp_path / "traces")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
        )
    assert (done.returncode, done.stdout) == (0, "three\n")


@pytest.mark.parametrize("strategy", ["direct", "decompose"])
def test_an_answer_outlives_a_stderr_that_nobody_reads(image, tmp_path, root, strategy):
    code = SCRIPT.replace(
        "{engine}", f"ScriptedEngine(lambda request: {PLAN!r} if 'answer: ' in str(request) else '3')"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code, "ask", image, QUESTION, "--strategy", strategy, "--trace-dir", "traces"],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stdout) == (0, {"direct": "3\n", "decompose": "no\n"}[strategy])
    assert read_trace(find_trace("last", tmp_path / "traces")).finished.stop_reason == "answered"


def test_a_long_answer_is_printed_whole(cot_ask, image):
    said = "word " * 1200
    assert cot_ask(image, QUESTION, "--strategy", "direct", script=lambda request: said)[1].split() == said.split()


def test_a_question_on_stdin_may_begin_with_a_byte_order_mark(cot_ask, image, tmp_path):
    asked = f"\ufeff{QUESTION}".encode()
    assert cot_ask(image, "-", "--strategy", "direct", stdin=asked, script=lambda request: "yes")[0] == 0
    assert read_trace(find_trace("last", tmp_path / "traces")).started.question == QUESTION


def test_a_question_on_stdin_is_not_cut(cot_ask, image):
    code, _, err = cot_ask(image, "-", stdin=b" " * 39_990 + QUESTION.encode())
    assert (code, "has more than 10,000 characters" in err) == (2, True)


def test_a_folder_without_a_name_is_not_the_one_stood_in(cot_ask, image, tmp_path):
    before = sorted(tmp_path.iterdir())
    code, _, err = cot_ask(image, QUESTION, "--trace-dir", "")
    assert (code, err) == (
        2, "error: wrong value of '--trace-dir': got no text; expected a path; see cot ask --help\n"
    )  # fmt: skip
    assert {*tmp_path.iterdir()} - {*before} <= {tmp_path / "stdin"}


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "foo://x"])
@pytest.mark.parametrize("place", ["image", "model"])
def test_a_proxy_that_cannot_be_used_is_one_line(image, tmp_path, monkeypatch, capfd, proxy, place):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    asked = {
        "image": ["http://localhost:9/a.png", QUESTION],
        "model": [image, QUESTION, "--model", "http://localhost:9"],
    }
    assert cot.cli.main(["ask", *asked[place], "--trace-dir", str(tmp_path)]) == 1
    err = capfd.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "prox" in err.lower() or "scheme" in err.lower()
