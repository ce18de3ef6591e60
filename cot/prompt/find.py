"""Name -> loaded template, with what it includes and shows.

In: a name, a language and the folders to look in. Out: a `Template`. Includes, inheritance and the images of
examples are found in the search path only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from cot.errors import PromptError
from cot.image import LoadedImage, load_image
from cot.prompt.matter import split_source
from cot.prompt.sandbox import Resolve
from cot.prompt.source import ENGLISH, Folder, Located, locate, read_inside, search_path
from cot.prompt.source import inside as inside_folder
from cot.prompt.template import OpenImage, Template, parse_template

__all__ = ["load_template", "read_template", "replaced", "resolver", "search_path"]

_INSTEAD: ContextVar[Mapping[str, Template]] = ContextVar("templates that stand in for others")


def load_template(name: str, *, language: str = ENGLISH, folders: Sequence[Folder] | None = None) -> Template:
    """Load a template by name, from `search_path()` unless `folders` says otherwise; a process reads it once.

    Where it has no translation the English one is loaded; its `language` tells.
    Raises PromptError if there is none or it is malformed.
    """
    if name in (instead := _INSTEAD.get({})):
        return instead[name]
    return _load(name, language, search_path() if folders is None else tuple(folders))


@contextmanager
def replaced(name: str, template: Template) -> Iterator[None]:
    """While it lasts, this template is what the name stands for, in every language: to compare two of them."""
    token = _INSTEAD.set({**_INSTEAD.get({}), name: template})
    try:
        yield
    finally:
        _INSTEAD.reset(token)


@lru_cache(maxsize=256)
def _load(name: str, language: str, folders: tuple[Folder, ...]) -> Template:
    return read_template(locate(name, language=language, folders=folders), folders)


def read_template(found: Located, folders: Sequence[Folder]) -> Template:
    """Read the file as it is now. Raises PromptError if it is malformed."""
    return parse_template(
        read_inside(found.path, found.folder.path, name=found.name),
        name=found.name,
        resolve=resolver(found.language, folders),
        open_image=_image_opener(found),
        language=found.language,
        path=found.path,
    )


def resolver(language: str, folders: Sequence[Folder]) -> Resolve:
    """Finds the body of what a template includes or extends, in its language if there is one."""

    def resolve(name: str) -> str:
        try:
            found = locate(name, language=language, folders=folders)
        except PromptError as error:
            raise PromptError(f"includes {name!r}, which is not in the search path: {error}") from error
        return split_source(read_inside(found.path, found.folder.path, name=name))[1]

    return resolve


def _image_opener(found: Located) -> OpenImage:
    def open_image(path: str) -> LoadedImage:
        place = inside_folder(found.path.parent / path, found.folder.path, name=found.name)
        return load_image(Path(place))

    return open_image
