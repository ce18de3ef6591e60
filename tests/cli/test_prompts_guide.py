"""Runs docs/templates.md from its first line to its last: saves its files, runs its commands, reads its output."""

import fnmatch
import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import cot.cli
import cot.prompt.watch
from cot.answer import NUMBER_PATTERN
from cot.cli import ask, eval_run, prompts_compare
from cot.engine import Regex, ScriptedEngine

_SAVE = re.compile(r"as\s`(prompts/\S+)`:$")


def _steps(text):
    """(command, expected lines), or (path, lines of a file), in order."""
    words, block = "", []
    for line in [*text.splitlines(), "."]:
        if line.startswith("    ") or (not line and block):
            block.append(line[4:])
            continue
        if block:
            yield from _blocks(words, block)
            words, block = "", []
        words = f"{words} {line}".strip() if line else words
        if not line:
            words = words[-200:]


def _blocks(words, block):
    commands = [index for index, line in enumerate(block) if line.startswith("$ ")]
    first = commands[0] if commands else len(block)
    if any(block[:first]):
        saved = _SAVE.search(words)
        assert saved, f"a block that is neither saved nor run: {block[0]!r}"
        yield saved[1], block[:first]
    for start, end in itertools.pairwise([*commands, len(block)]):
        yield block[start], [line for line in block[start + 1 : end] if line]


def _pattern(line):
    return "*".join(re.sub(r"([\[\]*?])", r"[\1]", part) for part in line.split("…"))


def _say(request):
    """A number where one is asked for."""
    return "95" if isinstance(request.constraint, Regex) and request.constraint.pattern == NUMBER_PATTERN else "brown"


def test_the_guide_does_what_it_says(root, tmp_path, monkeypatch, capfd):
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
    shutil.copytree(root / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    for module in (ask, eval_run, prompts_compare):
        monkeypatch.setattr(module, "load_engine", lambda settings: ScriptedEngine(_say))

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cot.prompt.watch.time, "sleep", interrupt)
    ran = set()
    for what, lines in _steps((root / "docs" / "templates.md").read_text("utf-8")):
        if not what.startswith("$ "):
            Path(what).parent.mkdir(exist_ok=True)
            Path(what).write_text("\n".join(lines).rstrip() + "\n", "utf-8")
            continue
        program, *arguments = shlex.split(what[2:])
        if program == "cd":
            monkeypatch.chdir(arguments[0])
            continue
        if program in ("cp", "mkdir"):
            subprocess.run([program, *arguments], check=True)
            continue
        assert program == "cot"
        ran.add(" ".join(arguments[:2]) if arguments[0] == "prompts" else arguments[0])
        code = cot.cli.main([*arguments, *(["--trace-dir", str(tmp_path / "traces")] if arguments[0] == "ask" else [])])
        out, err = capfd.readouterr()
        assert code == (1 if any(": error: " in line for line in lines) else 0), (what, out, err)
        printed = [line.rstrip() for line in (out + err).splitlines()]
        for line in lines:
            assert fnmatch.filter(printed, _pattern(line)), (what, line, printed)
    verbs = ("list", "show", "new", "render", "watch", "lint", "test", "diff", "compare")
    assert ran == {"ask", "eval", *(f"prompts {verb}" for verb in verbs)}


@pytest.mark.parametrize("command", ["list", "show", "new", "render", "watch", "lint", "test", "diff", "compare"])
def test_the_guide_shows_every_verb(command, root):
    assert f"$ cot prompts {command}" in (root / "docs" / "templates.md").read_text("utf-8")
