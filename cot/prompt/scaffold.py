"""A new template with a case file, to start from.

In: a name. Out: two files on disk that lint and pass; where a template of that name exists further down the
search path, copies of it. Nothing is overwritten.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cot.errors import PromptError, UsageError
from cot.prompt.source import ENGLISH, Folder, Located, is_name, list_located, locate, read_inside, select

_TEMPLATE: Final = """\
---
name: {name}
description: Asks a question about the image, answered with yes, no or unknown.
version: 1
inputs:
  question: {{kind: text, required: true}}
output: yes_no
max_tokens: 8
---
{{{{ question }}}}
Yes, no or unknown:
"""
_CASES: Final = """\
- name: the question stands first
  inputs: {question: "Is there a dog?"}
  prompt:
    matches: ^Is there a dog\\?$
    max-tokens: 40
  output: "yes"
  expect: {parses-as: yes_no}
"""


def scaffold(reference: str, *, folder: Folder, folders: Sequence[Folder]) -> tuple[Path, Path]:
    """Write a template and its cases into `folder`; give their paths.

    reference: `direct/answer` or `zh/direct/answer`.
    Raises UsageError for a name that is none, PromptError if a file is there already.
    """
    origin, colon, rest = reference.rpartition(":")
    if colon:
        raise UsageError(f"got {origin + colon!r} before the name {rest!r}; expected the name alone; --user says where")
    name, language, _ = select(reference, language=ENGLISH, folders=folders)
    relative = f"{name}.jinja" if language == ENGLISH else f"{language}/{name}.jinja"
    path = folder.path / relative
    target = Located(name, language, folder, path)
    source, cases = _TEMPLATE.format(name=name), _CASES
    if any(found.name == name for found in list_located(folders)):
        known = locate(name, language=language, folders=folders)
        source = read_inside(known.path, known.folder.path, name=name)
        if known.cases_path.exists():
            cases = read_inside(known.cases_path, known.folder.path, name=name, max_bytes=2**20)
    elif not is_name(name):
        raise UsageError(f"got the name {reference!r}; expected strategy/step, for example direct/short_answer")
    for file in (path, target.cases_path):
        if file.exists():
            raise PromptError(f"{file} exists already; expected a new name; edit it, or take it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, text in ((path, source), (target.cases_path, cases)):
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    return path, target.cases_path
