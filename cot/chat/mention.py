r"""Images that a message names: typed, dropped on the terminal, or pasted.

In: a line. Out: the sources named in it, and the text for the model. A source is a path (in quotes, or with `\ ` for a
space), a pattern such as `shots/*.png`, or a `file://`, `http://` or `https://` address with an image's ending.
Nothing is opened; files are only looked for.
"""

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cot.errors import ImageError
from cot.source import shown

ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""What the name of an image ends with, in small letters."""

MAX_IMAGES: Final = 64
"""Files that one pattern may name."""

_STOPS: Final = "，。？！；：、"
_WIDE: Final = f"{_STOPS}…（）「」『』【】《》“”‘’"
"""Marks that have no blanks between them and a name."""

_OPENING: Final = "([{<`（「『【《“‘"
_CLOSING: Final = f"]?!.,;:)}}>`{_WIDE}"
_OWNING: Final = ("'s", "’s")
"""Behind a name whose image something is of."""

_LEADING: Final = " \n,;:，；：、"
"""What a text does not begin with once the images before it are left out."""

_WORD: Final = re.compile(
    r"""(?<!\S)(?:'(?P<single>(?:[^'\n]|'\\'')+)'|"(?P<double>[^"\n]+)")"""
    rf"""(?=[]\s?!.,;:)}}{_WIDE}]|'s\b|$)|(?P<bare>(?:\\.|\S)+)"""
)
_PIECE: Final = re.compile(rf"(?:\\.|[^\s{_WIDE}])+")
_SINGLE_QUOTED: Final = re.compile(r"'(?:[^'\n]|'\\'')+'")
"""As terminals put what is dropped on them: `'it'\\''s.png'`."""

_PATTERN: Final = re.compile(r"[*?]|\[[^\]]+\]")
_ADDRESS: Final = re.compile(r"(?:file|https?)://\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Mentioned:
    """A message taken apart. parts: texts, and between them indices into `sources`."""

    sources: tuple[str, ...]
    parts: tuple[str | int, ...]

    def numbered(self, number: Callable[[int], int]) -> str:
        """The text for the model.

        number: place of a source among the conversation's images, from 1. Images before the text are left out, and
        those behind a whole sentence; one within it, or of which something is asked, becomes `[2]`.
        """
        parts = list(self.parts)
        while parts and (isinstance(parts[0], int) or not parts[0].strip(_LEADING)):
            if any(isinstance(part, str) and part.startswith(_OWNING) for part in parts[1:2]):
                break
            parts.pop(0)
        if parts and isinstance(parts[0], str) and len(parts) < len(self.parts):
            parts[0] = parts[0].lstrip(_LEADING)
        words, tail = parts, len(parts)
        while tail and (isinstance(words[tail - 1], int) or not str(words[tail - 1]).strip()):
            tail -= 1
        before = str(words[tail - 1]).rstrip() if tail else ""
        if before.endswith(("?", "!", ".", ":", "？", "。", "！")):
            words = words[:tail]
        text = "".join(f"[{number(part)}]" if isinstance(part, int) else part for part in words).strip()
        asks = any(isinstance(part, str) and re.search(r"\w", part) for part in words)
        return text if asks or not self.sources else ""


class _Place(NamedTuple):
    """What a part of a line names, and where that part begins and ends."""

    sources: list[str]
    start: int
    end: int


def mentioned(line: str) -> Mentioned:
    """Find the images in a message. Raises ImageError for what is a path with an image's ending but no file."""
    whole = unquoted(line.strip())
    if _is_file(whole) and (_has_ending(whole) or os.sep in whole):
        return Mentioned((whole,), (0,))
    alone = len(_WORD.findall(line)) == 1 and not re.search(f"[{_STOPS}]", line)
    sources: list[str] = []
    parts: list[str | int] = []
    at = 0
    for word in _WORD.finditer(line):
        for found, start, end in _sources(word, alone=alone):
            parts.append(line[at:start])
            for source in found:
                if source not in sources:
                    sources.append(source)
                parts += [sources.index(source), " "]
            parts.pop()
            at = end
    parts.append(line[at:])
    return Mentioned(tuple(sources), tuple(parts))


def expand(argument: str) -> list[str]:
    """What `/image` or the command line names: a path, an address, or the files of a pattern, in order.

    Raises ImageError if a pattern fits nothing, or too much.
    """
    name = unquoted(argument.strip())
    path = with_home(name)
    if "://" in name or os.path.lexists(path) or not _PATTERN.search(path):
        return [name]
    found = _fitting(path)
    if not found:
        raise ImageError(f"no image fits {shown(name)}; expected files that end with {', '.join(ENDINGS)}")
    if len(found) > MAX_IMAGES:
        raise ImageError(f"{len(found)} images fit {shown(name)}; expected at most {MAX_IMAGES}; name fewer")
    return found


def named(argument: str) -> list[str]:
    """What `/image` names: as `expand`, or several of these with spaces between them. Raises ImageError."""
    words = [word[0] for word in _WORD.finditer(argument)]
    if _leads_somewhere(argument) or not any(map(_leads_somewhere, words)):
        return expand(argument)
    return [source for word in words for source in expand(word)]


def unquoted(text: str) -> str:
    r"""Without the quotes around it, or without backslashes before spaces and other marks; `\\` is one backslash."""
    if _SINGLE_QUOTED.fullmatch(text):
        return text[1:-1].replace(r"'\''", "'")
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]:
        return text[1:-1]
    if _is_file(text):
        return text
    return re.sub(r"\\([^A-Za-z0-9])", r"\1", text)


def with_home(name: str) -> str:
    """The path with a home folder in place of the `~` that it begins with, if there is such a folder."""
    try:
        return os.path.expanduser(name)
    except ValueError:
        # No user's name holds the character NUL.
        return name


def _sources(word: re.Match[str], *, alone: bool) -> list[_Place]:
    """What a word names: as a whole, or as pieces between the marks that need no blanks."""
    line, trouble = word.string, None
    if word["bare"] is None:
        found = _named(unquoted(word[0]), alone=alone)
        return [_Place(found, *word.span())] if found else []
    try:
        if places := _without_marks(line, *word.span(), alone=alone):
            return places
    except ImageError as error:
        trouble = error
    pieces = _PIECE.finditer(line, *word.span())
    places = [place for piece in pieces for place in _without_marks(line, *piece.span(), alone=False)]
    if trouble and not places:
        raise trouble
    return places


def _without_marks(line: str, start: int, end: int, *, alone: bool) -> list[_Place]:
    """What a part of a line names. Marks around a path are not of its name, unless there is a file of that name."""
    text, trouble = line[start:end], None
    bare = text.rstrip(_CLOSING).removesuffix(_OWNING[0]).rstrip(_CLOSING)
    first, last = end - len(text.lstrip(_OPENING)), start + len(bare)
    for left, right in dict.fromkeys(((start, end), (start, last), (first, last))):
        try:
            if found := _named(unquoted(line[left:right]), alone=alone and (left, right) == (start, end)):
                return [_Place(found, left, right)]
            trouble = None
        except ImageError as error:
            trouble = error
    if trouble:
        raise trouble
    return []


def _named(name: str, *, alone: bool) -> list[str]:
    scheme = name.partition("://")[0].lower() if "://" in name else ""
    if scheme == "file":
        return [name]
    if scheme in ("http", "https"):
        return [name] if alone or _has_ending(_path_of(name)) else []
    if not _has_ending(name):
        return [name] if name[:1] in "/~." and os.sep in name and _is_file(name) else []
    if _is_file(name):
        return [name]
    if _PATTERN.search(name):
        return expand(name)
    if _is_there(name):
        return [name] if alone else []
    if alone or os.sep in name:
        raise ImageError(f"image {shown(name)} does not exist; expected an image file; check the path")
    return []


def _leads_somewhere(text: str) -> bool:
    """Whether it is an address, a file, or a pattern that files fit."""
    name = with_home(unquoted(text))
    return (
        _ADDRESS.fullmatch(name) is not None
        or _is_file(name)
        or (_PATTERN.search(name) is not None and bool(_fitting(name)))
    )


def _fitting(pattern: str) -> list[str]:
    """The images that fit a pattern, in order."""
    try:
        return sorted(file for file in glob.glob(pattern) if _has_ending(file) and os.path.isfile(file))
    except ValueError:
        # No folder's name holds the character NUL.
        return []


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _has_ending(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _is_there(name: str) -> bool:
    return os.path.lexists(with_home(name))


def _is_file(name: str) -> bool:
    return os.path.isfile(with_home(name))
