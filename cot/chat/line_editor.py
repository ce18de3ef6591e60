"""The line that is typed into: prompt-toolkit's editor with history, completion and several lines.

In: where earlier lines are kept, what to complete, keys, and the line below. Out: a `PromptSession`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import CompleteStyle

from cot.chat.checked import MAX_QUESTION_CHARACTERS
from cot.settings import NAMES

_REFRESH_SECONDS = 0.25

_ADDRESS: Final = re.compile(r"://\S+")
"""Without its scheme: to look for where that begins takes the square of the time in a long word."""

_NAME_AND_PASSWORD: Final = re.compile(r"(?<=://)(?:[^/?#]*|[^/?#:@\[]*:(?![0-9]*(?:[/?#]|$)).*)@")
"""In an address. What stands behind a name and a colon, and is no port, is a password, whatever marks it has."""

_QUERY: Final = re.compile(r"(?<=\?)[^#\w]*\w[^#]*")
_SET: Final = re.compile(r"\s*/set\s+(\S+)", re.IGNORECASE)
_MODEL: Final = re.compile(
    r"^(\s*/(?:set\s+)?model\s+)[^\s/:@]+:(?:[^\s/?#\\]*|(?![0-9]*(?:[/?#\\]|$))\S*)@", re.IGNORECASE
)
"""A model whose name begins with a name and a password, as an address does that lacks its `http://`."""


def line_editor(
    history_file: Path,
    completer: Completer,
    keys: KeyBindings,
    *,
    line_below: Callable[[int], str],
    words_only: bool = False,
) -> PromptSession[str]:
    """An editor of lines.

    line_below: what stands below the prompt, for so many columns. words_only: there is none, nothing is drawn while
    the user types, and no colours.
    """
    prompt: PromptSession[str] = PromptSession(
        "> ",
        history=EarlierLines(history_file),
        completer=completer,
        complete_while_typing=False if words_only else Condition(_types_a_command),
        complete_style=CompleteStyle.READLINE_LIKE if words_only else CompleteStyle.COLUMN,
        key_bindings=keys,
        multiline=True,
        prompt_continuation="  ",
        bottom_toolbar=None if words_only else lambda: line_below(prompt.app.output.get_size().columns),
        refresh_interval=0 if words_only else _REFRESH_SECONDS,
        reserve_space_for_menu=0 if words_only else 4,
        color_depth=ColorDepth.DEPTH_1_BIT if words_only else None,
    )
    return prompt


class EarlierLines(FileHistory):
    """Lines of this and earlier conversations. Where they cannot be kept, the chat goes on without."""

    def __init__(self, path: Path) -> None:
        """path: its folder is made if it can be."""
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(str(path))

    def load_history_strings(self) -> Iterable[str]:
        """The newest one first; none if the file cannot be read."""
        try:
            return super().load_history_strings()
        except OSError:
            return ()

    def store_string(self, string: str) -> None:
        """Keep a line without its secrets, unless it is longer than a message may be."""
        if len(string) > MAX_QUESTION_CHARACTERS:
            return
        if kept := without_secrets(string):
            with contextlib.suppress(OSError):
                super().store_string(kept)


def without_secrets(line: str) -> str:
    """A line as it may lie on a disk: addresses without name, password and what stands behind `?`, which may be a key.

    Empty for a `/set` of what is no setting: people try keys in it.
    """
    setting = _SET.match(line)
    if setting and setting[1] not in NAMES:
        return ""
    line = _MODEL.sub(r"\1", line)
    return _ADDRESS.sub(lambda found: _QUERY.sub("…", _NAME_AND_PASSWORD.sub("", found[0]), count=1), line)


def _types_a_command() -> bool:
    app = get_app_or_none()
    return app is not None and app.current_buffer.text.startswith("/")
