"""Where template files lie, and reading them within bounds.

In: a name and a language. Out: the file that they stand for, and its text. The first of these folders that has
a file wins: `./prompts`, `prompts` in the user's settings folder, the shipped one. Files below
`<language>/` are translations. Nothing outside of these folders is read, not even through a link.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from cot.config import user_file
from cot.errors import PromptError, UnknownTemplateError, did_you_mean
from cot.shipped import prompts_folder

MAX_TEMPLATE_BYTES: Final = 100_000
ENGLISH: Final = "en"

Origin = Literal["project", "user", "shipped"]

_PART: Final = "[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
_NAME: Final = re.compile(f"{_PART}/{_PART}")
_LANGUAGE: Final = re.compile("[a-z]{2,3}(-[A-Za-z]{2,4})?")

_NO_TEMPLATE: Final = (
    "no template; expected strategy/step.jinja of letters, digits, _ and -, and for other languages than English a"
    " folder around it, like zh or pt-BR"
)


@dataclass(frozen=True)
class Folder:
    """One folder of the search path, which need not exist."""

    origin: Origin
    path: Path


@dataclass(frozen=True)
class Located:
    """The file that a name stands for.

    shadows: the files of the same name and language further down the search path.
    """

    name: str
    language: str
    folder: Folder
    path: Path
    shadows: tuple[Path, ...] = ()

    @property
    def cases_path(self) -> Path:
        """Where its cases lie, if it has any."""
        return self.path.with_suffix(".cases.yaml")


def search_path() -> tuple[Folder, ...]:
    """The folders, first the one that wins. In a checkout `./prompts` is the shipped one, and is named once."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the current folder was deleted, so it has no templates
        here = None
    return _search_path(here, user_file().parent)


def own_notes() -> tuple[str, ...]:
    """What to say of each folder with templates that come before the shipped ones: who asks may not know of them."""
    shipped = _shipped()
    return tuple(
        f"templates in {folder.path} come before the shipped ones"
        for folder in search_path()
        if folder != shipped and any(any(folder.path.glob(f"{depth}*.jinja")) for depth in ("*/", "*/*/"))
    )


def _shipped() -> Folder:
    return Folder("shipped", prompts_folder())


@lru_cache(maxsize=64)
def _search_path(here: str | None, settings: Path) -> tuple[Folder, ...]:
    # Remembered, since every prompt that is rendered asks for it.
    shipped = _shipped()
    own = (Folder("project", Path(here) / "prompts"),) if here else ()
    folders = (*own, Folder("user", settings / "prompts"))
    return (*(folder for folder in folders if not _same(folder.path, shipped.path)), shipped)


def select(reference: str, *, language: str, folders: Sequence[Folder]) -> tuple[str, str, tuple[Folder, ...]]:
    """Take `shipped:zh/direct/answer` apart: name, language, and the folders to look in.

    Without a language in the reference it is the one given; without an origin all folders are meant.
    """
    origin, colon, rest = reference.rpartition(":")
    if colon and origin not in ("project", "user", "shipped"):
        raise UnknownTemplateError(f"got the origin {origin!r} in {reference!r}; expected project, user or shipped")
    chosen = tuple(folder for folder in folders if folder.origin == origin or not colon)
    if not chosen:
        raise UnknownTemplateError(
            f"got the origin {origin!r} in {reference!r}, and no folder is called so here; see cot prompts list"
        )
    first, slash, name = rest.partition("/")
    if slash and _NAME.fullmatch(name) and _LANGUAGE.fullmatch(first):
        return name, first, chosen
    return rest, language, chosen


def is_name(text: str) -> bool:
    """Whether a text can be the name of a template: `strategy/step`."""
    return bool(_NAME.fullmatch(text))


def locate(name: str, *, language: str = ENGLISH, folders: Sequence[Folder]) -> Located:
    """Find a template, or its English version where it has no translation. Raises UnknownTemplateError.

    What bears its name but is no file hides what lies further down, as a file does; reading it is the error.
    """
    if _NAME.fullmatch(name) and _LANGUAGE.fullmatch(language):
        for spoken in dict.fromkeys((language, ENGLISH)):
            relative = f"{name}.jinja" if spoken == ENGLISH else f"{spoken}/{name}.jinja"
            hits = [folder for folder in folders if _is_there(folder.path / relative)]
            if hits:
                paths = [folder.path / relative for folder in hits]
                return Located(name, spoken, hits[0], paths[0], tuple(paths[1:]))
    located = list_located(folders)
    if spoken_in := [found.language for found in located if found.name == name]:
        raise UnknownTemplateError(
            f"{name} is there in {', '.join(map(repr, spoken_in))} alone; expected an English one, which stands in for"
            f" other languages, or the name {spoken_in[0]}/{name}"
        )
    known = sorted({found.name for found in located})
    where = f" in {folders[0].path}" if len(folders) == 1 else ""
    raise UnknownTemplateError(
        f"no template {name!r}{where}{did_you_mean(name, known)}; known: {', '.join(known) or 'none'}"
    )


def list_located(folders: Sequence[Folder]) -> tuple[Located, ...]:
    """Every template in every language, by name; parts whose file name begins with _ are left out."""
    paths = ((path, folder) for folder in folders for path in _files(folder, ".jinja", depths=("*/", "*/*/")))
    found = {named for path, folder in paths if (named := _named(path, folder))}
    return tuple(locate(name, language=language, folders=folders) for name, language in sorted(found))


def strays(folders: Sequence[Folder]) -> Iterator[tuple[Path, str]]:
    """Files of the user's own that look like a template, its cases or a strategy and are none, and what each should
    be. What is hidden is nobody's template."""
    depths = ("", "*/", "*/*/", "*/*/*/")
    for folder in folders:
        if folder.origin == "shipped":
            continue
        for path in _files(folder, ".jinja", depths=depths):
            if not path.name.startswith(("_", ".")) and not _named(path, folder):
                yield path, _NO_TEMPLATE
        for path in _files(folder, "strategy.yml", depths=depths):
            if path.name == "strategy.yml":
                yield path, "no strategy; expected the name strategy.yaml"
        for ending in (".cases.yaml", ".cases.yml"):
            for path in _files(folder, ending, depths=depths):
                template = path.with_name(f"{path.name.removesuffix(ending)}.jinja")
                if ending == ".cases.yml" or not _is_there(template):
                    yield path, f"cases of no template; expected {template.stem}.cases.yaml beside {template.name}"


def _files(folder: Folder, ending: str, *, depths: Sequence[str]) -> Iterator[Path]:
    for depth in depths:
        found = sorted(folder.path.glob(f"{depth}*{ending}"))
        yield from (path for path in found if not any(p.startswith(".") for p in path.relative_to(folder.path).parts))


def _named(path: Path, folder: Folder) -> tuple[str, str] | None:
    """The name and the language of a file, None if it is no template: what is English stands in no folder of it."""
    *above, last = path.relative_to(folder.path).with_suffix("").parts
    if not 1 <= len(above) <= 2 or above[:-1] == [ENGLISH] or last.startswith("_"):
        return None
    name, language = f"{above[-1]}/{last}", above[0] if len(above) == 2 else ENGLISH
    return (name, language) if _NAME.fullmatch(name) and _LANGUAGE.fullmatch(language) else None


def read_inside(path: Path, folder: Path, *, name: str, max_bytes: int = MAX_TEMPLATE_BYTES) -> str:
    """The text of a file that must lie in a folder. Raises PromptError if it does not, or is no text."""
    path = inside(path, folder, name=name)
    try:
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise PromptError(f"{name}: larger than {max_bytes:,} bytes; expected a short text; split {path}")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{name}: cannot be read: {error}; expected text in UTF-8") from error


def inside(path: Path, folder: Path, *, name: str) -> Path:
    """`path` with links followed. Raises PromptError if it is no file, or lies outside of `folder`."""
    try:
        resolved, root = path.resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise PromptError(f"{name}: {str(path)!r} cannot be found: {error}; expected a file in {folder}") from error
    if root not in resolved.parents:
        raise PromptError(f"{name}: {path} leads out of {folder}; expected a file inside; copy it there")
    if not resolved.is_file():
        raise PromptError(f"{name}: {path} is no file; expected one; check the path")
    return resolved


def _is_there(path: Path) -> bool:
    """Whether there is anything of this name, be it a link that leads nowhere."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
