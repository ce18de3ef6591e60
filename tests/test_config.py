"""Settings come from four places, in order, and every wrong one is named."""

import json
import logging
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import cot.cli
from cot.config import load_settings, user_file, with_setting
from cot.engine.remote.address import check_server
from cot.errors import ConfigError, CotError, ImageError
from cot.settings import NAMES, Settings

LONG = "a" * 150 + "..." + "a" * 40
SPACE = "free some space or check the path"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_user_file(text: str) -> Path:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(text, "utf-8")
    return user_file()


def refused(**environment: str) -> str:
    """The one line of the ConfigError that loading gives."""
    with pytest.raises(ConfigError) as caught:
        load_settings({}, environment=environment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    settings, origins = load_settings({}, environment={})
    assert settings == Settings()
    assert (settings.model, settings.strategy, settings.device, settings.seed) == ("embedded", "route", "auto", 0)
    assert settings.trace_dir.parts[-2:] == ("cot", "traces")
    assert origins == dict.fromkeys(NAMES, "default")


def test_precedence(folder: Path) -> None:
    user = write_user_file("seed = 1\nmax_steps = 1\nmax_tokens = 1\nmax_seconds = 1")
    (folder / "cot.toml").write_text("seed = 2\nmax_steps = 2\nmax_tokens = 2", "utf-8")
    environment = {"COT_SEED": "3", "COT_MAX_STEPS": "3"}
    settings, origins = load_settings({"seed": 4, "device": None}, environment=environment)
    assert (settings.seed, settings.max_steps, settings.max_tokens, settings.max_seconds) == (4, 3, 2, 1.0)
    assert origins["seed"] == "command line"
    assert origins["max_steps"] == "COT_MAX_STEPS"
    assert origins["max_tokens"] == "cot.toml"
    assert origins["max_seconds"] == str(user)
    assert origins["device"] == "default"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().seed = 1


@pytest.mark.parametrize(
    ("line", "got", "expected"),
    [
        ("max_steps = '3'", "'3'", "an integer from 1 to 1000"),
        ("max_steps = true", "True", "an integer from 1 to 1000"),
        ("max_steps = 0", "0", "an integer from 1 to 1000"),
        ("max_steps = 1001", "1001", "an integer from 1 to 1000"),
        ("max_steps = 1.0", "1.0", "an integer from 1 to 1000"),
        ("max_seconds = nan", "nan", "a number above 0, at most 1e+06"),
        ("max_seconds = inf", "inf", "a number above 0, at most 1e+06"),
        ("seed = 4294967296", "4294967296", "an integer from 0 to 4294967295"),
        ("model = ''", "''", "text, not empty"),
        ("model = 2026-01-01", "datetime.date(2026, 1, 1)", "text, not empty"),
        ("model = ['a']", "['a']", "text, not empty"),
        ("device = 'gpu'", "'gpu'", "text like 'auto', 'cpu', 'mps', 'cuda', 'cuda:1'"),
        ("quantize = 'nf5'", "'nf5'", "text like 'none', 'nf4', 'fp4', 'int8'"),
        ("kv_memory = '2GB'", "'2GB'", "auto, or a whole number of MiB or GiB, as in 512MiB or 2GiB"),
        ("kv_memory = '64KiB'", "'64KiB'", "auto, or a whole number of MiB or GiB, as in 512MiB or 2GiB"),
        ("compile = 1", "1", "true or false"),
        ("strategy = '../x'", "'../x'", "a name of a to z, 0 to 9 and _, a letter first, as in route or decompose"),
        ("trace_dir = 3", "3", "the path of a folder, as text"),
        ("calibration = 3", "3", "text like 'calibration.json'"),
        ("trace_dir = ''", "''", "the path of a folder, as text"),
    ],
)
def test_wrong_values_in_a_file(folder: Path, line: str, got: str, expected: str) -> None:
    (folder / "cot.toml").write_text(line, "utf-8")
    assert refused() == f"{line.split()[0]} in cot.toml: got {got}; expected {expected}"


@pytest.mark.parametrize("name", ["system", "templates"])
def test_text_may_be_empty_where_that_means_none(folder: Path, name: str) -> None:
    (folder / "cot.toml").write_text(f"{name} = ''", "utf-8")
    assert load_settings({}, environment={})[1][name] == "cot.toml"


def test_a_path_that_no_system_has(folder: Path) -> None:
    (folder / "cot.toml").write_text('trace_dir = "a\\u0000b"', "utf-8")
    assert "NUL" in refused()


def test_a_number_without_end_is_no_toml(folder: Path) -> None:
    (folder / "cot.toml").write_text("max_steps = " + "9" * 5000, "utf-8")
    assert refused().startswith("cot.toml is not TOML")


def test_a_file_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "cot.toml").write_text("max_steps = 7", "utf-8-sig")
    assert load_settings({}, environment={})[0].max_steps == 7


def test_memory_in_bytes() -> None:
    found = [load_settings({"kv_memory": size}, environment={})[0].kv_bytes for size in ("auto", "512MiB", "2GiB")]
    assert found == [None, 512 * 2**20, 2 * 2**30]


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_truth_in_the_environment(text: str, expected: bool) -> None:
    assert load_settings({}, environment={"COT_COMPILE": text})[0].compile is expected


@pytest.mark.parametrize("value", ["x", "1.5", "-1", "1e3", "true"])
def test_wrong_values_in_the_environment(value: str) -> None:
    assert refused(COT_SEED=value) == f"COT_SEED: got {value!r}; expected an integer from 0 to 4294967295"


@pytest.mark.parametrize("value", ["3", True, 3.5, [3], -1])
def test_wrong_values_on_the_command_line(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"--max-steps: got .* expected an integer from 1 to 1000"):
        load_settings({"max_steps": value}, environment={})


@pytest.mark.parametrize("name", ["max_stepz", "max-steps", "MAX_STEPS_"])
def test_unknown_names_in_a_file(folder: Path, name: str) -> None:
    (folder / "cot.toml").write_text(f"{name} = 3", "utf-8")
    message = refused()
    assert message.startswith(f"unknown setting {name!r} in cot.toml")
    assert message.endswith(f"known: {', '.join(NAMES)}")
    assert ("did you mean 'max_steps'?" in message) == name.islower()


def test_unknown_names_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="unknown setting 'sead', did you mean 'seed'"):
        load_settings({"sead": 1}, environment={})
    with caplog.at_level(logging.WARNING):
        assert load_settings({}, environment={"COT_MODLE": "x", "COT_X": "", "OTHER": "y"})[0] == Settings()
        load_settings({}, environment={"COT_FOO": "x"})
    assert [record.getMessage() for record in caplog.records] == [
        "warning: environment variable COT_MODLE is no setting, did you mean 'COT_MODEL'?",
        "warning: environment variable COT_FOO is no setting",
    ]


def test_an_empty_variable_is_not_set() -> None:
    assert load_settings({}, environment={"COT_MODEL": ""})[1]["model"] == "default"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"seed = = 1", "line 1, column 8"),
        (b"seed = 1\n= 2", "line 2, column 1"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"#" * (2**20 + 1), "more than 1048576 bytes"),
    ],
)
def test_files_that_are_no_toml(folder: Path, data: bytes, reason: str) -> None:
    (folder / "cot.toml").write_bytes(data)
    message = refused()
    assert reason in message
    assert message.startswith("cot.toml ")


def test_a_folder_in_place_of_the_file(folder: Path) -> None:
    (folder / "cot.toml").mkdir()
    assert refused().startswith("cot.toml cannot be read: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_the_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "cot.toml")
    assert refused() == "cot.toml is a named pipe; expected a TOML file, or none"


def test_trace_dir_is_relative_to_its_file(folder: Path) -> None:
    user = write_user_file("trace_dir = 'here'")
    assert load_settings({}, environment={})[0].trace_dir == user.parent / "here"
    settings, _ = load_settings({"trace_dir": Path("there")}, environment={})
    assert settings.trace_dir == folder / "there"
    assert with_setting(settings, "trace_dir", "elsewhere").trace_dir == folder / "elsewhere"
    user.unlink()
    (folder / "cot.toml").write_text("trace_dir = 'traces'", "utf-8")
    assert load_settings({}, environment={})[0].trace_dir == folder / "traces"
    assert load_settings({}, environment={"COT_TRACE_DIR": "~"})[0].trace_dir == Path.home()
    assert "COT_TRACE_DIR: got '~no-such-user/x', a home folder" in refused(COT_TRACE_DIR="~no-such-user/x")


def test_it_is_known_what_a_folder_has_set_wherever_it_lies(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "cot.toml").write_text("model = 'http://elsewhere/v1'\nmax_steps = 3", "utf-8")
    settings, _ = load_settings({"max_steps": 4}, environment={"COT_SEED": "5"}, folder=folder / "below")
    assert [name for name in NAMES if settings.set_by_folder(name)] == ["model"]
    assert not settings.with_value("model", "embedded").set_by_folder("model")
    with pytest.raises(ConfigError, match="is on another machine"):
        check_server(settings)


@pytest.mark.parametrize("name", ["trace_dir", "calibration"])
def test_a_folder_names_no_path_out_of_it(folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "link").symlink_to(elsewhere)
    for named in (str(elsewhere), "../x", "~/x", "link", "link/x"):
        (folder / "cot.toml").write_text(f"{name} = '{named}'", "utf-8")
        message = refused()
        assert message.startswith(f"{name} in cot.toml: got ")
        assert f"name it yourself, in COT_{name.upper()} or in" in message
        # The user's own word goes anywhere.
        for own in (
            load_settings({}, environment={f"COT_{name.upper()}": str(elsewhere)}),
            load_settings({name: elsewhere}, environment={}),
        ):
            assert getattr(own[0], name) == elsewhere


def test_the_folder_of_traces_is_the_users_if_he_names_one(folder: Path) -> None:
    user = write_user_file("trace_dir = 'mine'")
    for named in ("traces", "/elsewhere"):
        (folder / "cot.toml").write_text(f"trace_dir = '{named}'", "utf-8")
        settings, origins = load_settings({}, environment={})
        assert (settings.trace_dir, origins["trace_dir"]) == (user.parent / "mine", str(user))


@pytest.mark.parametrize(
    ("own", "folders", "both", "whose"),
    [
        ("images", "none", "images", "own"),
        ("all", "none", "all", "own"),
        ("prompts,images", "images", "prompts,images", "own"),
        ("images", "prompts", "images,prompts", "both"),
        ("all", "prompts", "all", "own"),
        ("none", "images", "images", "folder's"),
        ("none", "none", "none", "folder's"),
    ],
)
def test_a_folder_leaves_more_out_of_traces_and_never_less(
    folder: Path, own: str, folders: str, both: str, whose: str
) -> None:
    user = write_user_file(f"redact = '{own}'")
    (folder / "cot.toml").write_text(f"redact = '{folders}'", "utf-8")
    settings, origins = load_settings({}, environment={})
    expected = {"own": str(user), "folder's": "cot.toml", "both": f"cot.toml and {user}"}
    assert (settings.redact, origins["redact"]) == (both, expected[whose])
    # The user's own word holds, whatever it is.
    assert load_settings({}, environment={"COT_REDACT": "none"})[0].redact == "none"
    assert load_settings({"redact": "prompts"}, environment={})[0].redact == "prompts"


def test_a_current_folder_that_was_deleted_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert "got 'x', and the current folder was deleted" in refused(COT_TRACE_DIR="x")


class TestCommandLine:
    def test_show(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COT_MODEL", "[red]some/very-long-name[/red]" + "x" * 200)
        assert cot.cli.main(["config", "show"]) == 0
        lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
        assert lines["setting"] == ["value", "from"]
        assert lines["model"] == [os.environ["COT_MODEL"], "COT_MODEL"]
        assert lines["seed"] == ["0", "default"]
        assert lines["compile"] == ["false", "default"]

    def test_show_json(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COT_SEED", "7")
        assert cot.cli.main(["config", "show", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert tuple(rows) == NAMES
        assert rows["seed"] == {"value": 7, "from": "COT_SEED"}

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_show_says_that_there_is_no_such_strategy(
        self, form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COT_STRATEGY", "direkt")
        assert cot.cli.main(["config", "show", *form]) == 0
        out, err = capsys.readouterr()
        assert "direkt" in out
        assert err.startswith("warning: unknown strategy 'direkt', did you mean 'direct'?; known: direct, decompose")
        assert err.count("\n") == 1
        (tmp_path / "prompts" / "direkt").mkdir(parents=True)
        steps = "description: d\nsteps: [{name: one, template: direct/answer}]\n"
        (tmp_path / "prompts" / "direkt" / "strategy.yaml").write_text(steps)
        assert cot.cli.main(["config", "show", *form]) == 0
        assert capsys.readouterr().err == ""

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cot.cli.main(["--version"]) == 0
        assert capsys.readouterr().out == f"cot {cot.__version__}\n"

    @pytest.mark.parametrize("arguments", [["nope"], ["config", "show", "--nope"], ["--nope"], []])
    def test_usage_errors(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert cot.cli.main(arguments) == 2
        assert capsys.readouterr() != ("", "")

    def test_a_wrong_setting_is_one_line(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COT_SEED", "x\ny")
        assert cot.cli.main(["config", "show"]) == 2
        assert capsys.readouterr().err == ("error: COT_SEED: got 'x\\ny'; expected an integer from 0 to 4294967295\n")

    @pytest.mark.parametrize(
        ("error", "code", "line"),
        [
            (ImageError("no\nimage"), 1, "error: no image\n"),
            (CotError("wrong"), 1, "error: wrong\n"),
            (CotError("\x1b]0;title\x07\x1b[31mred\u202e\x9b2J"), 1, "error: red\n"),
            (OSError(36, "too long", "a" * 5000), 1, f"error: the system refused: too long ({LONG!r}); {SPACE}\n"),
            (ConfigError("wrong"), 2, "error: wrong\n"),
            (KeyboardInterrupt(), 130, ""),
        ],
    )
    def test_errors_become_exit_codes(
        self,
        error: BaseException,
        code: int,
        line: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(_: object) -> None:
            raise error

        monkeypatch.setattr("cot.config.load_settings", fail)
        assert cot.cli.main(["config", "show"]) == code
        assert capsys.readouterr().err == line

    def test_a_bug_keeps_its_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("cot.config.load_settings", fail)
        with pytest.raises(ZeroDivisionError):
            cot.cli.main(["config", "show"])


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_while_the_command_line_is_imported_is_quiet(root: Path, tmp_path: Path) -> None:
    # Found before the real one, it interrupts as soon as the command line asks for it.
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root)))}
    name, _, function = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["cot"].partition(":")
    script = f"import sys; from {name} import {function}; sys.exit({function}())"
    for command in (["-m", "cot", "--version"], ["-c", script, "--version"]):
        done = subprocess.run(
            [sys.executable, *command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            # Who runs the tests in the background may have interrupts ignored, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def run_command(root: Path, output: Any) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "cot", "config", "show", "--json"]
    return subprocess.run(command, env=environment, stdout=output, stderr=subprocess.PIPE)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_broken_pipe_is_silent(root: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_command(root, writer)
    finally:
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(root: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run_command(root, full)
    assert done.stderr.startswith(b"error: the system refused: No space left on device")
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 1


def test_settings_are_equal_by_their_values_wherever_they_came_from(folder: Path) -> None:
    settings, _ = load_settings({}, environment={"COT_SEED": "7"})
    same = Settings.model_validate(settings.model_dump())
    assert settings == same
    assert hash(settings) == hash(same)
    assert settings != with_setting(settings, "seed", "8")
    assert settings != settings.model_dump()


def test_hostile_values_are_shown_as_text(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cot.toml").write_text(r'model = "\u001b]0;title\u0007\u001b[31mred\u202e"', "utf-8")
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        assert cot.cli.main(arguments) == 0
        shown = capsys.readouterr().out
        assert "red" in shown
        assert not set(shown) & set("\x1b\x07\u202e")


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("arguments", "code"), [("config show --json", 0), ("ask a.png b.png", 2)])
def test_closed_streams_are_empty_ones(root: Path, closed: str, arguments: str, code: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = ["sh", "-c", f'"$0" -m cot {arguments} {closed}', sys.executable]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_an_output_that_lacks_characters_gets_escapes(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "cot", "ask", "--help"], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
