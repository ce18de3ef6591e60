"""What may come next on the line: commands, their options, and paths.

In: the text before the cursor. Out: completions for prompt-toolkit. Only names are looked up, no file is opened.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, get_args

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document

from cot.chat.command import ALIASES, COMMANDS, is_command
from cot.chat.event import Detail
from cot.chat.mention import ENDINGS, with_home
from cot.planner.names import strategy_names
from cot.settings import NAMES
from cot.trace.plain import plain

MAX_FILES: Final = 200
"""Files and folders that are shown at most; where there are more, it is open which."""

_LAST_WORD: Final = re.compile(r"(?<!\S)(?:\\.|[^\s\\]|\\\Z)*\Z")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "set": NAMES,
    "steps": get_args(Detail),
    "system": ("off",),
}
_WITH_PATHS: Final = ("image", "model", "export")


class LineCompleter(Completer):
    """images: how many there are, for `/drop`. models: names for `/model`. saved: names for `/load`."""

    def __init__(
        self, images: Callable[[], int], models: Callable[[], Sequence[str]], saved: Callable[[], Sequence[str]]
    ) -> None:
        self._images = images
        self._models = models
        self._saved = saved

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Completions of the last word."""
        text = document.text_before_cursor
        match = _LAST_WORD.search(text)
        word = match[0] if match else ""
        command, space, _ = text.partition(" ")
        if text.startswith("/") and not space and "/" not in text[1:]:
            for name, what in COMMANDS.items():
                if name.startswith(text[1:]):
                    yield Completion(f"/{name}", -len(text), display=what.usage, display_meta=what.help)
            return
        known = ALIASES.get(command[1:], command[1:]) if is_command(command) else ""
        if text == f"{command} {word}" or known == "template":
            options = self._options(known)
            yield from (Completion(option, -len(word)) for option in options if option.startswith(word))
        if known in _WITH_PATHS or (not known and word and ("/" in word or complete_event.completion_requested)):
            yield from _paths(word, folders_only=known == "model")

    def _options(self, command: str) -> Sequence[str]:
        match command:
            case "drop":
                return tuple(map(str, range(1, self._images() + 1)))
            case "model":
                return self._models()
            case "load":
                return self._saved()
            case "strategy":
                return strategy_names()
            case "template":
                from cot.prompt.source import list_located, search_path

                return tuple(dict.fromkeys(found.name for found in list_located(search_path())))
        return _OPTIONS.get(command, ())


def complete(buffer: Buffer) -> None:
    """What Tab does: go to the next completion that is shown, or complete as far as there is no doubt.

    prompt-toolkit's own way loses a Tab that comes while it still looks up what to show as the user types.
    """
    if buffer.complete_state:
        buffer.complete_next()
        return
    event = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, event))
    if len(found) == 1:
        buffer.apply_completion(found[0])
        return
    if len(found) < MAX_FILES:
        # Where some are left out, these may go on in another way.
        buffer.insert_text(get_common_complete_suffix(buffer.document, found))
    buffer.start_completion()


def _paths(word: str, *, folders_only: bool) -> Iterator[Completion]:
    """Folders and images whose path begins with the word; spaces in them get a backslash."""
    folder, _, start = re.sub(r"\\(.)", r"\1", word).rpartition("/")
    folder = with_home(f"{folder}/") if folder or word.startswith("/") else "."

    def kept(entry: os.DirEntry[str]) -> bool:
        name = entry.name
        if not name.startswith(start) or (name.startswith(".") and not start):
            return False
        may_be_meant = entry.is_dir() or (not folders_only and name.lower().endswith(ENDINGS))
        return may_be_meant and name == plain(name, one_line=True)

    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_dir()) for e in islice(filter(kept, entries), MAX_FILES))
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return
    for name, is_folder in found:
        shown = f"{name}/" if is_folder else name
        yield Completion(re.sub(r"([\s'\"\\])", r"\\\1", shown[len(start) :]), display=shown)
