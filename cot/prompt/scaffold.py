"""A new template with a case file, to start from.

In: a name. Out: two files on disk that lint and pass; where a template of that name exists further down the
search path, copies of it and of the pictures that it shows. Nothing is overwritten.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cot.errors import PromptError, UsageError
from cot.prompt.case import read_cases
from cot.prompt.matter import read_matter, split_source
from cot.prompt.source import ENGLISH, Folder, Located, inside, is_name, list_located, locate, read_inside, select

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


def scaffold(reference: str, *, folder: Folder, folders: Sequence[Folder], language: str = ENGLISH) -> tuple[Path, ...]:
    """Write a template and its cases into `folder`; give the paths of all that was written.

    reference: `direct/answer` or `zh/direct/answer`. language: where the reference names none, that of what is copied
    if it is translated; a copy of the English one would not take its place. New templates are English.
    Raises UsageError for a name that is none, PromptError if a file is there already or a copy would not work.
    """
    origin, colon, rest = reference.rpartition(":")
    if colon:
        raise UsageError(f"got {origin + colon!r} before the name {rest!r}; expected the name alone; --user says where")
    name, spoken, _ = select(reference, language=ENGLISH, folders=folders)
    source, cases = _TEMPLATE.format(name=name), _CASES
    known = None
    if any(found.name == name for found in list_located(folders)):
        known = locate(name, language=language if name == reference else spoken, folders=folders)
        spoken = known.language if name == reference else spoken
        source = read_inside(known.path, known.folder.path, name=name)
        if known.cases_path.exists():
            cases = read_inside(known.cases_path, known.folder.path, name=name, max_bytes=2**20)
    elif not is_name(name):
        raise UsageError(f"got the name {reference!r}; expected strategy/step, for example direct/short_answer")
    path = folder.path / (f"{name}.jinja" if spoken == ENGLISH else f"{spoken}/{name}.jinja")
    target = Located(name, spoken, folder, path)
    for file in (path, target.cases_path):
        if file.exists():
            raise PromptError(f"{file} exists already; expected a new name; edit it, or take it away first")
    pictures = dict(_pictures(known, source, target)) if known else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, text in ((path, source), (target.cases_path, cases)):
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    for place, picture in pictures.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, place)
    return path, target.cases_path, *pictures


def _pictures(known: Located, source: str, target: Located) -> Iterator[tuple[Path, Path]]:
    """Where pictures of a template's examples and cases are missing beside a copy of it, and where they are."""
    shown = [example.image for example in read_matter(split_source(source)[0] or "", name=known.name).examples]
    shown += [image for case in read_cases(known) for image in case.images]
    for name in filter(None, dict.fromkeys(shown)):
        place = (target.path.parent / name).resolve()
        if target.folder.path.resolve() not in place.parents:
            raise PromptError(f"{known.name}: {name} leads out of {target.folder.path}; expected a place inside")
        if not place.exists():
            yield place, inside(known.path.parent / name, known.folder.path, name=known.name)
