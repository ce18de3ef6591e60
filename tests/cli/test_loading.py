"""A model that loads for long is named on a terminal, and only there."""

import io
import sys
import time

import pytest
from PIL import Image

import cot.cli
from cot.cli import ask as ask_module
from cot.cli import eval_run, loading, prompts_compare
from cot.cli.loading import said_if_slow
from cot.engine import ScriptedEngine


class Terminal(io.StringIO):
    """A stderr that somebody watches."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Puts a terminal in place of stderr; in the test itself, since pytest puts its own there after the fixtures."""

    def put():
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return put


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(loading, "PATIENCE_SECONDS", 0.01)


def test_a_slow_model_is_named_once(terminal, impatient):
    stderr, until = terminal(), time.monotonic() + 20
    with said_if_slow("some/model\x1b[2J"):
        while not stderr.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    assert stderr.getvalue() == "loading some/model …\n"


def test_a_quick_model_is_not_named(terminal):
    stderr, begun = terminal(), time.monotonic()
    with said_if_slow("some/model"):
        pass
    assert time.monotonic() - begun < loading.PATIENCE_SECONDS
    assert stderr.getvalue() == ""


def test_what_cannot_be_loaded_ends_it_at_once(terminal):
    stderr = terminal()
    with pytest.raises(ValueError, match="damaged"), said_if_slow("some/model"):
        raise ValueError("damaged")
    assert stderr.getvalue() == ""


@pytest.mark.parametrize(("on_terminal", "options", "lines"), [(True, [], 1), (True, ["--quiet"], 0), (False, [], 0)])
def test_cot_ask_names_it_on_a_terminal_only(impatient, tmp_path, monkeypatch, capsys, on_terminal, options, lines):
    def load_engine(settings):
        time.sleep(0.5)
        return ScriptedEngine(lambda request: "3")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ask_module, "load_engine", load_engine)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal)
    Image.new("RGB", (8, 6), "red").save("red.png")
    code = cot.cli.main(["ask", "red.png", "How many?", "--strategy", "direct", "--trace-dir", "traces", *options])
    out, err = capsys.readouterr()
    assert (code, out) == (0, "3\n")
    assert err.count("loading embedded …\n") == lines
    # The engine gives no probabilities.
    assert "0%" not in err


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (["eval", "task.yaml", "--strategy", "direct", "--out", "run"], 1),
        (["eval", "task.yaml", "--strategy", "direct", "--out", "run", "--quiet"], 0),
        (["prompts", "compare", "direct/answer", "zh/direct/answer", "--task", "task.yaml", "--out", "run"], 1),
    ],
)
def test_what_asks_a_whole_task_names_it_too(impatient, tmp_path, monkeypatch, capsys, command, lines):
    def load_engine(settings):
        time.sleep(0.5)
        return ScriptedEngine(lambda request: "3")

    monkeypatch.chdir(tmp_path)
    for module in (eval_run, prompts_compare):
        monkeypatch.setattr(module, "load_engine", load_engine)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Image.new("RGB", (8, 6), "red").save("red.png")
    (tmp_path / "rows.csv").write_text("question,answer,image\nHow many?,3,red.png\n")
    (tmp_path / "task.yaml").write_text(
        "{name: one, version: 1, data: {loader: csv, path: rows.csv}, question: question, answers: answer,"
        " images: image, metric: exact}"
    )
    assert cot.cli.main(command) == 0
    assert capsys.readouterr().err.count("loading embedded …\n") == lines
