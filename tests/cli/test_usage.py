"""Wrong command lines: exit code 2, and one line on stderr."""

import pytest
import typer
from PIL import Image

import cot.cli


def _commands(command, path=()):
    """Every command with the words that name it."""
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(cot.cli.app)))
PATHS = {path: hasattr(command, "commands") for path, command in COMMANDS.items()}
"""Whether each has others below it."""


@pytest.fixture
def refused(capfd):
    """Runs a command line that is wrong, and gives what it says."""

    def run(line):
        assert cot.cli.main(line.split(" ")) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err[len("error: ") : -1]

    return run


@pytest.mark.parametrize("path", PATHS)
def test_no_help_is_broken_within_a_sentence(path):
    # Typer joins the lines of the first paragraph alone.
    later = (COMMANDS[path].help or "").split("\n\n")[1:]
    assert [line for text in later for line in text.splitlines()[:-1] if not line.rstrip().endswith((".", ":"))] == []


@pytest.mark.parametrize("path", PATHS)
def test_every_command_says_in_one_line_that_it_lacks_an_option(refused, path):
    whole = f"cot {path}".strip()
    assert refused(f"{path} --unheard-of".strip()) == (f"{whole} has no option '--unheard-of'; see {whole} --help")


@pytest.mark.parametrize("path", [path for path, has_others in PATHS.items() if has_others])
def test_every_group_names_the_commands_that_it_has(refused, path):
    whole = f"cot {path}".strip()
    assert refused(f"{path} no-such-command".strip()).startswith(f"{whole} has no command 'no-such-command'; known: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("asl", "cot has no command 'asl', did you mean 'ask'?; known: ask, eval, "),
        ("trace lst", "cot trace has no command 'lst', did you mean 'list'?; known: list, "),
        ("ask --max-step 3", "cot ask has no option '--max-step', did you mean '--max-steps'?; see cot ask --help"),
        ("ask --hlep", "cot ask has no option '--hlep', did you mean '--help'?; see cot ask --help"),
        ("ask -z", "cot ask has no option '-z'; see cot ask --help"),
        ("ask --max-steps many", "got 'many' for '--max-steps': input should be a valid integer"),
        ("eval shapes --limit 3.5", "got '3.5' for '--limit': input should be a valid integer"),
        ("ask a.png b --seed", "option '--seed' requires an argument; see cot ask --help"),
        ("ask --json=3", "option '--json' does not take a value; see cot ask --help"),
        ("--version=3", "option '--version' does not take a value; see cot --help"),
        ("models info", "the argument 'MODEL' is missing; expected: cot models info [OPTIONS] {MODEL}; see cot models"),
        ("prompts compare a", "the argument 'B' is missing; expected: cot prompts compare "),
        ("prompts compare a b", "the option '--task' is missing; expected: cot prompts compare "),
        (
            "config show all",
            "got unexpected extra argument(s) (all); expected: cot config show [OPTIONS]; see cot conf",
        ),
        ("\x1b[31m\nred", "cot has no command '"),
        ("ask --\x1b[31mred\n", "cot ask has no option '--"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(refused, line, message):
    said = refused(line)
    assert said.startswith(message)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("ask red.png x --strategy guess", 2, "unknown strategy 'guess'"),
        ("ask red.png x --model guess", 2, "no model folder at 'guess'; expected"),
        ("ask red.png x --model embeded", 2, "no model folder at 'embeded', did you mean 'embedded'?; expected"),
        ("ask red.png x --model ./guess", 2, "no model folder at './guess'"),
        ("ask red.png x --model localhost:8000/v1", 2, "no model folder at 'localhost:8000/v1'"),
        ("ask red.png x --model http://", 2, "server 'http://' has no host"),
        ("ask red.png x --device gpu", 2, "--device: got 'gpu'"),
        ("ask red.png x --device cuda:99", 1, "device 'cuda:99' "),
        ("ask red.png x --quantize int3", 2, "--quantize: got 'int3'"),
        ("ask none.png x", 1, "image 'none.png' does not exist"),
        ("eval guess", 2, "unknown task 'guess'"),
        ("eval guess.yaml", 2, "guess.yaml"),
        ("eval shapes --strategy guess", 2, "unknown strategy 'guess'"),
        ("models info guess", 2, "no model folder at 'guess'"),
        ("models quantize embedded out --quantize int3", 2, "unknown quantisation 'int3'"),
        ("prompts show direct/guess", 2, "no template 'direct/guess'"),
        ("prompts lint guess", 2, "no template 'guess'"),
        ("prompts render there:direct/answer", 2, "got the origin 'there'"),
        ("trace show guess", 1, "no trace at 'guess'"),
        ("runs show guess", 1, ""),
    ],
)
def test_exit_codes_tell_a_name_of_nothing_from_what_is_not_there(line, code, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 6), "red").save("red.png")
    monkeypatch.setenv("COT_TRACE_DIR", "traces")
    assert cot.cli.main(line.split(" ")) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_without_a_command_there_is_help(capfd):
    assert cot.cli.main(["prompts"]) == 2
    out, err = capfd.readouterr()
    assert "Usage: cot prompts" in out + err
    assert "error:" not in out + err


@pytest.mark.parametrize("line", ["--help", "-h", "ask --help", "prompts compare -h", "--version"])
def test_who_asks_for_help_gets_it(capfd, line):
    assert cot.cli.main(line.split(" ")) == 0
    assert "cot" in capfd.readouterr().out
